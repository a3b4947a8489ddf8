import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import { TO_DEVICES } from '../support/first-process.ts'
import { echoWhenReady, freePort, linesOf, openHost } from '../support/network-host.ts'
import { cableLinux } from '../support/network-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const QEMU = 'qemu-system-x86_64'
const folder = temporaryFolder('cable')
// Passt makes its socket as the user nobody, where it is started by root.
chmodSync(folder, 0o777)
const linux = await cableLinux()

/** A program at the other end of the cable, which has a network of its own, and a port of the host that leads to the guest. */
interface End {
  readonly program: string
  readonly is: boolean
  readonly args: (path: string, port: number) => readonly string[]
  readonly lease: RegExp
}

const ENDS = withLong<End>(
  [
    {
      program: QEMU,
      is: spawnSync(QEMU, ['--version']).status === 0,
      args: (path: string, port: number) => [
        ...['-machine', 'none', '-nodefaults', '-display', 'none'],
        ...['-netdev', `stream,id=cable,server=on,addr.type=unix,addr.path=${path}`],
        ...['-netdev', `user,id=user,hostfwd=tcp:127.0.0.1:${port}-:7`],
        ...['-netdev', 'hubport,id=a,hubid=0,netdev=cable', '-netdev', 'hubport,id=b,hubid=0,netdev=user'],
      ],
      lease: /^lease 10\.0\.2\.15 10\.0\.2\.2/m,
    },
  ],
  [
    {
      program: 'passt',
      is: spawnSync('passt', ['--version']).status === 0,
      args: (path: string, port: number) => [
        ...['--foreground', '--quiet', '--socket', path, '--tcp-ports', `127.0.0.1/${port}:7`],
        ...['--address', '10.0.3.15', '--netmask', '24', '--gateway', '10.0.3.2'],
      ],
      lease: /^lease 10\.0\.3\.15 10\.0\.3\.2/m,
    },
  ],
)

describe.each(ENDS)('--netdev stream to $program', ({ program, is, args, lease }) => {
  const runs = is && linux !== undefined
  const note = skipNote(runs, `there is no ${is ? 'apt' : program}`)
  test.skipIf(!runs)(`Linux gets an address, and moves data both ways${note}`, { timeout: 150_000 }, async () => {
    const host = await openHost()
    const [path, port] = [join(folder, program), await freePort()]
    const other = spawn(program, args(path, port), { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    for (const output of [other.stdout, other.stderr]) output.on('data', (bytes: Buffer) => (said += String(bytes)))
    const sent = randomBytes(2_000_000)
    const echo = echoWhenReady(port, sent)
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const { http, sink } = host.ports
    try {
      await vi.waitFor(() => expect(existsSync(path), said).toBe(true), 100_000)
      const { stdout, stderr, code } = await runRetrap(
        [
          ...['run', '--memory', '256M', '--kernel', linux!.kernelPath, '--initrd', initrd],
          ...['--append', `${TO_DEVICES} rdinit=/auto http=${http} sink=${sink}`],
          ...['--netdev', `stream,id=n,addr.type=unix,addr.path=${path}`, '--device', 'virtio-net-pci,netdev=n'],
        ],
        { deadlineMs: 140_000, onOutput: echo.onOutput },
      )
      const text = stdout + stderr + said
      const line = linesOf(stdout)
      expect.soft(stdout, text).toMatch(lease)
      expect.soft(line('get'), text).toContain(sha256(host.data))
      expect.soft(line('put')).toContain(sha256(Buffer.concat(host.taken)))
      expect.soft(sha256(echo.received())).toBe(sha256(sent))
      expect(code).toBe(0)
    } finally {
      other.kill('SIGKILL')
      host.close()
    }
  })
})
