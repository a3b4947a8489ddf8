// `retrap exec` on a host that has Node and nothing else: no apt, no dpkg, no keyring, no compiler, no shell. What it fetches comes from
// a server of this program's that has what the last run fetched from Debian; each step has it in another way.
import { spawn, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { keep, withPackages } from '@retrap/debian'
import type { Soak } from '@retrap/tooling/soak'

const repository = join(import.meta.dirname, '../../../..')
const DEADLINE_MS = 900_000

/** A folder with Node, its libraries and what every root has. Nothing of it can run but Node. */
function makeRoot(): string {
  const root = fs.mkdtempSync(join(tmpdir(), 'retrap-bare-'))
  const libraries = spawnSync('ldd', [process.execPath], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+) \(0x/g)
  for (const [, path = ''] of libraries) {
    fs.mkdirSync(join(root, dirname(path)), { recursive: true })
    fs.copyFileSync(path, join(root, path))
  }
  for (const name of ['usr/bin', 'etc', 'tmp', 'root', 'proc', 'dev', repository.slice(1)])
    fs.mkdirSync(join(root, name), { recursive: true })
  fs.cpSync(process.execPath, join(root, 'usr/bin/node'))
  for (const name of ['null', 'zero', 'urandom']) fs.writeFileSync(join(root, 'dev', name), '')
  fs.writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
  return root
}

/** Enters the root in name spaces of its own. */
const ENTER = `set -e
mount --rbind "$2" "$1$2"
mount -t proc proc "$1/proc"
for name in null zero urandom; do mount --bind /dev/$name "$1/dev/$name"; done
cd "$2"
root=$1; shift 2
exec chroot "$root" "$@"
`

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(root: string, environment: Readonly<Record<string, string>>, program: readonly string[]): Promise<Ended> {
  const main = join(repository, 'apps/retrap/src/main.ts')
  const argv = ['/usr/bin/node', '--conditions=retrap-source', main, 'exec', '--', ...program]
  // A user, mounts and processes of its own, where it is root.
  const entered = ['-Urmpf', 'sh', '-c', ENTER, 'enter', root, repository]
  const env = { PATH: process.env['PATH'], HOME: '/root', ...environment }
  const child = spawn('unshare', [...entered, ...argv], {
    env,
    timeout: DEADLINE_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })))
}

/** The packages, once from Debian. */
const packages = (): Promise<string> =>
  keep({
    name: 'debian-12/exec-bare',
    make: (folder, directory) =>
      withPackages({ directory, withoutSecurity: true }, undefined, async (source) => {
        const { dependsOn } = await source.show('linux-image-amd64')
        const from = await source.download(['linux-image-amd64', dependsOn[0]!, 'busybox-static'])
        fs.mkdirSync(folder, { recursive: true })
        for (const name of fs.readdirSync(from)) fs.cpSync(join(from, name), join(folder, name))
        return {}
      }),
  }).then(({ folder }) => folder)

const WAYS = ['mirror', 'snapshots', 'proxy', 'folder'] as const

export const soak: Soak = {
  name: 'exec-bare',
  count: WAYS.length,
  async step(_rng, index) {
    const way = WAYS[index % WAYS.length]!
    const folder = await packages()
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url!)
      const path = join(folder, basename(request.url!))
      if (fs.existsSync(path)) fs.createReadStream(path).pipe(response.writeHead(200))
      else response.writeHead(404).end()
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    // Nothing listens on the discard port.
    const nowhere = 'http://127.0.0.1:9'
    const root = makeRoot()
    fs.cpSync(folder, join(root, 'debs'), { recursive: true })
    const environment = {
      mirror: { RETRAP_DEBIAN_MIRROR: `${url}/debian`, RETRAP_DEBIAN_SNAPSHOTS: nowhere },
      snapshots: { RETRAP_DEBIAN_MIRROR: nowhere, RETRAP_DEBIAN_SNAPSHOTS: url },
      proxy: { http_proxy: url, RETRAP_DEBIAN_SNAPSHOTS: nowhere },
      folder: { RETRAP_DEBIAN_FILES: '/debs' },
    }[way]
    try {
      const program = ['/usr/bin/node', '-p', '`${process.platform} ${6 * 7}`']
      const first = await run(root, environment, program)
      if (first.code !== 0 || first.stdout !== 'linux 42\n')
        throw new Error(`${way}: ${first.code}\n${first.stdout}\n${first.stderr}`)
      // From now on there is no network.
      const before = asked.length
      server.close().closeAllConnections()
      const second = await run(root, { RETRAP_DEBIAN_MIRROR: nowhere }, program)
      if (second.code !== 0 || second.stdout !== 'linux 42\n' || second.stderr !== '')
        throw new Error(`offline: ${second.code}\n${second.stdout}\n${second.stderr}`)
      if (way !== 'folder' && before === 0) throw new Error('the server was not asked')
    } finally {
      server.close()
      fs.rmSync(root, { recursive: true, force: true })
    }
  },
}
