import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { appendFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createSocket } from 'node:net'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { makeExt4, makeGrubDisk } from '../boot-media.ts'
import { debianArchives, makeDebianRoot, ROOT_COMMAND_LINE, rootArchives, rootLinux } from '../debian-root.ts'
import { runRetrap } from '../processes.ts'
import { type BootRow, DEADLINE_MS } from './row.ts'
import { sha256 } from '../sha256.ts'

const COPY_BYTES = 50 << 20
const NETWORK_PACKAGES = ['apt', 'openssh-server', 'iproute2', 'netbase']
/** A package's description, as `dpkg` keeps it. */
const controlOf = (path: string): string => execFileSync('dpkg-deb', ['-f', path], { encoding: 'utf8' }).trimEnd()

/** A repository of one folder, whose index names a package. */
function serve(folder: string, archive: string): Server {
  const bytes = readFileSync(archive)
  const index = `${controlOf(archive)}\nFilename: ./${basename(archive)}\nSize: ${bytes.length}\nSHA256: ${sha256(bytes)}\n`
  writeFileSync(join(folder, 'Packages'), index)
  return createServer(({ url = '' }, response) => {
    if (url.endsWith('/Packages')) response.end(index)
    else if (url.endsWith('.deb')) response.end(bytes)
    else response.writeHead(404).end()
  }).listen(0, '127.0.0.1')
}

/** What Debian's packages would have set up in the guest: dpkg's list of what is there, the network, and ssh. */
function configure(root: string, archives: string, key: string): void {
  const debs = globSync(join(archives, '*.deb')).toSorted()
  const status = debs.map((path) => controlOf(path).replace(/^(Package: .*)$/m, '$1\nStatus: install ok installed'))
  const write = (path: string, text: string, mode = 0o644): void => {
    mkdirSync(join(root, path, '..'), { recursive: true })
    writeFileSync(join(root, path), text, { mode })
  }
  write('var/lib/dpkg/status', `${status.join('\n\n')}\n`)
  for (const path of debs) write(`var/lib/dpkg/info/${basename(path).split('_')[0]!}.list`, '')
  for (const folder of ['updates', 'triggers', 'alternatives'])
    mkdirSync(join(root, 'var/lib/dpkg', folder), { recursive: true })
  write('etc/apt/apt.conf.d/99retrap', 'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
  write('etc/systemd/network/card.network', '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n')
  write('etc/ssh/sshd_config', 'HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\nSubsystem sftp internal-sftp\n')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(root, 'etc/ssh/ssh_host_ed25519_key')])
  mkdirSync(join(root, 'root/.ssh'), { recursive: true, mode: 0o700 })
  write('root/.ssh/authorized_keys', readFileSync(`${key}.pub`, 'utf8'), 0o600)
  for (const [id, name] of [
    [101, 'sshd'],
    [102, 'systemd-network'],
  ] as const) {
    appendFileSync(join(root, 'etc/passwd'), `${name}:x:${id}:${id}::/run:/usr/sbin/nologin\n`)
    appendFileSync(join(root, 'etc/group'), `${name}:x:${id}:\n`)
  }
  const wants = 'etc/systemd/system/multi-user.target.wants'
  mkdirSync(join(root, wants), { recursive: true })
  for (const unit of ['ssh', 'systemd-networkd'])
    symlinkSync(`/lib/systemd/system/${unit}.service`, join(root, wants, `${unit}.service`))
}

async function freePort(): Promise<number> {
  const server = createSocket().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Logs in, installs a package from a mirror of the host's, copies a file in and out by `scp`, reboots, and powers off. */
export const NETWORK_ROW: BootRow = {
  name: 'apt and scp over the network, a reboot, and a file system in order',
  async run(scratch) {
    const linux = await rootLinux()
    const root = join(scratch, 'root')
    mkdirSync(root)
    if (linux === undefined || !(await makeDebianRoot(root, NETWORK_PACKAGES)))
      return 'there is no apt to fetch Debian with'
    const [hello = ''] = globSync(join(await debianArchives(['hello']), 'hello_*.deb'))
    const key = join(scratch, 'key')
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    configure(root, await rootArchives(NETWORK_PACKAGES), key)
    const disk = join(scratch, 'root.img')
    makeExt4(disk, 1 << 30, root)
    const loader = await makeGrubDisk(mkdtempSync(join(scratch, 'loader-')), linux, ROOT_COMMAND_LINE)
    const data = randomBytes(COPY_BYTES)
    writeFileSync(join(scratch, 'data'), data)
    writeFileSync(join(scratch, 'copied'), '')
    const mirror = serve(scratch, hello)
    await once(mirror, 'listening')
    const port = await freePort()
    const scp = (from: string, to: string): Promise<unknown> =>
      promisify(execFile)('scp', [
        ...['-q', '-P', `${port}`, '-i', key, '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null'],
        ...[from, to],
      ])
    const copy = async (): Promise<string> => {
      await scp(join(scratch, 'data'), 'root@127.0.0.1:/root/data')
      await scp('root@127.0.0.1:/root/data', join(scratch, 'back'))
      await scp(join(scratch, 'copied'), 'root@127.0.0.1:/root/copied')
      return sha256(readFileSync(join(scratch, 'back')))
    }
    let copied: Promise<string> | undefined
    const source = `deb [trusted=yes] http://10.0.2.2:${(mirror.address() as AddressInfo).port} ./`
    try {
      const { code, stdout } = await runRetrap(
        [
          ...['run', '--memory', '512M', '--nic', `user,hostfwd=tcp::${port}-:22`],
          ...['--hda', loader ?? '', '--drive', `file=${disk},if=virtio,format=raw`],
        ],
        {
          deadlineMs: DEADLINE_MS,
          answers: [
            { to: 'login: ', type: 'root\n' },
            { to: 'Password: ', type: 'retrap\n' },
            {
              to: '# ',
              type: `export DEBIAN_FRONTEND=noninteractive; echo '${source}' > /etc/apt/sources.list; until ip -4 addr show scope global | grep -q inet; do sleep 1; done; apt-get update && apt-get install -y hello; hello; systemctl is-active ssh; echo ready-$((6 * 7)); until [ -e /root/copied ]; do sleep 1; done; sha256sum /root/data; systemctl reboot\n`,
            },
            { to: 'login: ', type: 'root\n' },
            { to: 'Password: ', type: 'retrap\n' },
            { to: '# ', type: 'hello; sha256sum /root/data; echo again-$((6 * 7)); systemctl poweroff\n' },
          ],
          onOutput: (output) => {
            if (output.includes('ready-42')) copied ??= copy()
            copied?.catch(() => undefined)
          },
        },
      )
      const back = await copied
      const expected = sha256(data)
      const trouble = `it ended with ${code}:\n${stdout.slice(-5000)}`
      if (code !== 0 || !stdout.includes('again-42')) return trouble
      if (stdout.split('Hello, world!').length !== 3) return `hello was not there before and after: ${trouble}`
      if (back !== expected || stdout.split(expected).length !== 3) return `the copies differ: ${trouble}`
      execFileSync('e2fsck', ['-fn', disk], { stdio: 'pipe' })
    } finally {
      mirror.close()
      mirror.closeAllConnections()
    }
  },
}
