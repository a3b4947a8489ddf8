import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createSocket } from 'node:dgram'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Hub, UserNetwork } from '@retrap/network'
import { nodeSockets, StreamNetwork } from '@retrap/network/node'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { afterAll, expect, test } from 'vitest'
import { runRetrap } from '../support/processes.ts'
import { e1000Linux, networkLinux } from '../support/network-linux.ts'

const QEMU = 'qemu-system-x86_64'
const linux = await networkLinux()
const CARDS = [
  { device: 'virtio-net-pci', system: linux },
  { device: 'e1000', system: await e1000Linux() },
]
const hasQemu = hasProgram(QEMU)
const folder = mkdtempSync(join(tmpdir(), 'retrap-network-'))
afterAll(() => rmSync(folder, { recursive: true }))

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** What a guest meets on the host: a web server, and a port that takes what it is sent. */
async function openHost() {
  const data = randomBytes(5_000_000)
  const http = createHttp((_request, response) => response.end(data)).listen(0, '127.0.0.1')
  const taken: Buffer[] = []
  const sink = createServer((socket) => socket.on('data', (bytes) => taken.push(bytes)).on('error', () => {})).listen(
    0,
    '127.0.0.1',
  )
  await Promise.all([once(http, 'listening'), once(sink, 'listening')])
  const port = (sink.address() as AddressInfo).port
  const udp = createSocket('udp4')
  // A TFTP server for files of one block: its only text is the name that it was asked for.
  udp.on('message', (bytes, from) => {
    const name = bytes.subarray(2, bytes.indexOf(0, 2))
    if (bytes[1] === 1) udp.send(Buffer.concat([Buffer.from([0, 3, 0, 1]), name]), from.port, from.address)
  })
  udp.bind(port, '127.0.0.1')
  return {
    data,
    taken,
    ports: { http: (http.address() as AddressInfo).port, sink: port },
    close() {
      http.close()
      http.closeAllConnections()
      sink.close()
      udp.close()
    },
  }
}

type Host = Awaited<ReturnType<typeof openHost>>

/** Talks to the guest's port 7, which answers with what it is sent, through a port of the host's. */
function echoThrough(port: number, sent: Uint8Array): Buffer[] {
  const echoed: Buffer[] = []
  const connectIn = (): void => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('data', (part) => echoed.push(part))
    // The guest does not listen yet, and refuses.
    socket.on('error', () => setTimeout(connectIn, 100))
    socket.end(sent)
  }
  connectIn()
  return echoed
}

/** Looks at what the guest has printed. */
function expectAll(text: string, host: Host, boot: Uint8Array): void {
  const line = (word: string): string => new RegExp(`^${word} (.*?)\\s*$`, 'm').exec(text)?.[1] ?? ''
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
  `console=ttyS0 quiet rdinit=/auto http=${http} sink=${sink} name=${name} address=${address}`

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
    const free = createServer().listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = free.address() as AddressInfo
    await new Promise((resolve) => free.close(resolve))
    const sent = randomBytes(2_000_000)
    let echoed: Buffer[] | undefined
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
        {
          deadlineMs: 280_000,
          onOutput: (output) => {
            if (output.includes('READY')) echoed ??= echoThrough(port, sent)
          },
        },
      )
      expectAll(stdout + stderr, host, boot)
      expect(code).toBe(0)
      expect(sha256(Buffer.concat(echoed ?? []))).toBe(sha256(sent))
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
  let echoed: Buffer[] | undefined
  qemu.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString()
    if (text.includes('READY')) echoed ??= echoThrough(network.hostPorts[0]!, sent)
  })
  try {
    await once(qemu, 'exit')
    expectAll(text, host, boot)
    expect(/^none 1\s*$/m.test(text)).toBe(true)
    expect(sha256(Buffer.concat(echoed ?? []))).toBe(sha256(sent))
  } finally {
    clearTimeout(stuck)
    qemu.kill('SIGKILL')
    cable.close()
    network.close()
    host.close()
  }
})
