import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Hub, UserNetwork } from '@retrap/network'
import { nodeSockets, StreamNetwork } from '@retrap/network/node'
import { TEST_LONG } from '@retrap/tooling/long'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { TO_DEVICES } from '../support/first-process.ts'
import { echoWhenReady, freePort, type Host, linesOf, openHost } from '../support/network-host.ts'
import { runRetrap } from '../support/processes.ts'
import { e1000Linux, networkLinux } from '../support/network-linux.ts'
import { sha256 } from '../support/sha256.ts'

const QEMU = 'qemu-system-x86_64'
const linux = await networkLinux()
/** An e1000 in the user network has a case in controllers.test.ts as well. */
const CARDS = [
  { device: 'virtio-net-pci', system: linux },
  ...(TEST_LONG ? [{ device: 'e1000', system: await e1000Linux() }] : []),
]
const hasQemu = hasProgram(QEMU)
const folder = temporaryFolder('network')

/** Looks at what the guest has printed. */
function expectAll(text: string, host: Host, boot: Uint8Array): void {
  const line = linesOf(text)
  expect.soft(line('lease'), text).toBe('10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3 guest test')
  expect.soft(line('ping')).toContain('2 packets received')
  expect.soft(line('name')).toBe('1')
  expect.soft(line('get')).toContain(sha256(host.data))
  expect.soft(line('put')).toContain(sha256(Buffer.concat(host.taken)))
  expect.soft(line('refused')).toBe('1')
  expect.soft(line('udp')).toBe('hello')
  expect.soft(line('tftp')).toContain(sha256(boot))
  expect.soft(text).toContain('DONE')
}

const note = skipNote(linux !== undefined, 'there is no apt')
const append = ({ ports: { http, sink } }: Host, name: string, address: string): string =>
  `${TO_DEVICES} rdinit=/auto http=${http} sink=${sink} name=${name} address=${address}`

test.skipIf(linux === undefined).each(CARDS)(
  `Linux uses a $device in the user network${note}`,
  { timeout: 300_000 },
  async ({ device, system }) => {
    const host = await openHost()
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, system!.initrd)
    const boot = randomBytes(70_000)
    writeFileSync(join(folder, 'boot.img'), boot)
    const capture = join(folder, 'n.pcap')
    const port = await freePort()
    const sent = randomBytes(2_000_000)
    const echo = echoWhenReady(port, sent)
    try {
      const { stdout, stderr, code } = await runRetrap(
        [
          ...['run', '--memory', '256M', '--kernel', system!.kernelPath, '--initrd', initrd],
          ...['--append', append(host, 'localhost', '127.0.0.1')],
          ...[
            '--netdev',
            `user,id=n,hostname=guest,domainname=test,hostfwd=tcp::${port}-:7,tftp=${folder},pcap=${capture}`,
          ],
          ...['--device', `${device},netdev=n`],
        ],
        { deadlineMs: 280_000, onOutput: echo.onOutput },
      )
      expectAll(stdout + stderr, host, boot)
      expect(code).toBe(0)
      expect(sha256(echo.received())).toBe(sha256(sent))
      expect(statSync(capture).size).toBeGreaterThan(12_000_000)
    } finally {
      host.close()
    }
  },
)

const hasBoth = hasQemu && linux !== undefined
const qemuNote = skipNote(hasBoth, 'there is no QEMU or no apt')
test.skipIf(!hasBoth)(`Linux under QEMU uses the user network${qemuNote}`, { timeout: 120_000 }, async () => {
  const host = await openHost()
  const initrd = join(folder, 'initrd')
  writeFileSync(initrd, linux!.initrd)
  const boot = randomBytes(70_000)
  const sockets = nodeSockets()
  const network = await UserNetwork.open({
    sockets: { ...sockets, lookup: async (name) => (name === 'guest.test' ? ['192.0.2.80'] : null) },
    hostName: 'guest',
    domainName: 'test',
    hostForwards: [{ hostPort: 0, guestPort: 7 }],
    bootFiles: async (name) => (name === 'boot.img' ? boot : null),
  })
  const path = join(folder, 'cable')
  const cable = await StreamNetwork.listen({ path })
  const hub = new Hub()
  hub.attach(network)
  hub.attach(cable)
  const qemu = spawn(QEMU, [
    ...['-machine', 'pc', '-m', '256', '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', linux!.kernelPath, '-initrd', initrd],
    ...['-append', append(host, 'guest.test', '192.0.2.80')],
    ...['-netdev', `stream,id=n,server=off,addr.type=unix,addr.path=${path}`],
    ...['-device', 'virtio-net-pci,netdev=n,romfile='],
  ])
  const stuck = setTimeout(() => qemu.kill('SIGKILL'), 100_000)
  let text = ''
  qemu.stderr.on('data', (bytes: Buffer) => (text += bytes.toString()))
  const sent = randomBytes(2_000_000)
  const echo = echoWhenReady(network.hostPorts[0]!, sent)
  qemu.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    echo.onOutput(text)
  })
  try {
    await once(qemu, 'exit')
    expectAll(text, host, boot)
    expect(/^none 1\s*$/m.test(text)).toBe(true)
    expect(sha256(echo.received())).toBe(sha256(sent))
  } finally {
    clearTimeout(stuck)
    qemu.kill('SIGKILL')
    cable.close()
    network.close()
    host.close()
  }
})
