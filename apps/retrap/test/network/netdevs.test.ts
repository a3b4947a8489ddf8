import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { PacketBackend } from '@retrap/device'
import { Hub, UserNetwork } from '@retrap/network'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test, vi } from 'vitest'
import { Command } from 'commander'
import { CliError } from '@retrap/linux-guest/errors'
import { explainError } from '../../src/errors.ts'
import { ExitCode } from '../../src/exit-codes.ts'
import { parseNetdev } from '../../src/machine/network/netdevs.ts'
import { listNetworks, NETWORK_OPTIONS, type NetworkFlags } from '../../src/machine/network/networks.ts'
import { addOptions } from '../../src/options/option-table.ts'
import { parseDevice } from '../../src/options/values.ts'
import { networkOutlet, OpenNetworks, readBootFile } from '../../src/machine/network/open-networks.ts'

const folder = temporaryFolder('netdevs')

const USER = { kind: 'user', id: 'n', restrict: false, hostLoopback: true, hostForwards: [], services: [] }

describe('--netdev (QEMU, "Invocation", Network options)', () => {
  test.each([
    ['user,id=n', USER],
    [
      'user,id=n,net=10.1.0.0/16,host=10.1.0.1,dns=10.1.0.2,dhcpstart=10.1.1.1',
      { network: '10.1.0.0/16', host: '10.1.0.1', dns: '10.1.0.2', dhcpStart: '10.1.1.1' },
    ],
    ['user,id=n,hostloopback=off', { hostLoopback: false }],
    ['user,id=n,restrict=on,hostname=a,domainname=b', { restrict: true, hostName: 'a', domainName: 'b' }],
    ['user,id=n,hostfwd=tcp::2222-:22', { hostForwards: [{ protocol: 'tcp', hostPort: 2222, guestPort: 22 }] }],
    [
      'user,id=n,hostfwd=:0.0.0.0:1-10.0.2.16:2,hostfwd=udp:[::1]:3-:4',
      {
        hostForwards: [
          { protocol: 'tcp', hostAddress: '0.0.0.0', hostPort: 1, guestAddress: '10.0.2.16', guestPort: 2 },
          { protocol: 'udp', hostAddress: '::1', hostPort: 3, guestPort: 4 },
        ],
      },
    ],
    [
      'user,id=n,guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:8080',
      { services: [{ address: '10.0.2.100', port: 80, to: { host: '127.0.0.1', port: 8080 } }] },
    ],
    ['user,id=n,tftp=/srv,bootfile=a,,b,pcap=x.pcap', { bootFolder: '/srv', bootFile: 'a,b', capture: 'x.pcap' }],
    [
      'stream,id=n,server=on,addr.type=unix,addr.path=/tmp/s',
      { kind: 'stream', listens: true, address: { path: '/tmp/s' } },
    ],
    [
      'stream,id=n,addr.type=inet,addr.host=::1,addr.port=9,reconnect=2',
      { kind: 'stream', listens: false, address: { host: '::1', port: 9 }, reconnectMs: 2000 },
    ],
    ['socket,id=n,listen=:9', { kind: 'stream', listens: true, address: { host: '127.0.0.1', port: 9 } }],
    ['socket,id=n,connect=10.0.0.1:9', { kind: 'stream', listens: false, address: { host: '10.0.0.1', port: 9 } }],
    ['hubport,id=n,hubid=3,netdev=m', { kind: 'hubport', hub: 3, netdev: 'm' }],
    ['websocket,id=n,url=wss://a.test/?b=c', { kind: 'websocket', url: 'wss://a.test/?b=c' }],
    ['websocket,id=n,url=ws://a.test,reconnect-ms=5', { kind: 'websocket', reconnectMs: 5 }],
    [
      'websocket,id=n,listen=:9,origin=https://a.test,origin=http://b.test:8000',
      { kind: 'relay', address: { host: '127.0.0.1', port: 9 }, origins: ['https://a.test', 'http://b.test:8000'] },
    ],
  ])('%s', (text, expected) => expect(parseNetdev(text)).toMatchObject(expected))

  test.each([
    ['tap,id=n', /'tap' is unknown/],
    ['usr,id=n', /'usr' is unknown; .*; did you mean 'user'\?/],
    ['user,id=n,hostfw=x', /has no 'hostfw'; .*; did you mean 'hostfwd'\?/],
    ['user', /has no id/],
    ['user,id=n,host', /not of the form/],
    ['user,id=n,hub=1', /has no 'hub'/],
    ['user,id=n,id=m', /'id' twice/],
    ['user,id=n,restrict=maybe', /neither on nor off/],
    ['user,id=n,hostfwd=tcp:22', /not a forwarded port/],
    ['user,id=n,guestfwd=tcp:10.0.2.100:80-cmd:cat', /not a service/],
    ['user,id=n,hostfwd=tcp::65536-:22', /65536 is not a port/],
    ['user,id=n,hostfwd=tcp::22-:0', /0 is not a port/],
    ['user,id=n,guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:65536', /65536 is not a port/],
    ['stream,id=n,addr.type=fd', /addr.type=unix/],
    ['stream,id=n,addr.type=inet,addr.port=9,addr.path=/a', /addr.type=unix/],
    ['stream,id=n,addr.type=unix,addr.port=9,addr.path=/a', /addr.type=unix/],
    ['stream,id=n,server=on,addr.type=inet,addr.port=9,reconnect=1', /does not reconnect/],
    ['socket,id=n', /listen=HOST:PORT/],
    ['socket,id=n,listen=:9,connect=:9', /listen=HOST:PORT/],
    ['hubport,id=n', /no hubid/],
    ['websocket,id=n', /url=ws:.* or listen=/],
    ['websocket,id=n,url=ws://a.test,listen=:9', /url=ws:.* or listen=/],
    ['websocket,id=n,url=https://a.test', /neither ws:\/\//],
    ['websocket,id=n,url=a.test', /neither ws:\/\//],
    ['websocket,id=n,url=ws://a.test,origin=https://a.test', /give it with listen/],
    ['websocket,id=n,listen=:9,origin=https://a.test/', /not the start of a page's address/],
    ['websocket,id=n,listen=:9,reconnect-ms=5', /does not reconnect/],
    ['websocket,id=n,listen=:65536', /no HOST:PORT/],
    ['hubport,id=n,hubid=0,netdev=m,pcap=/a', /give pcap= to --netdev id=m/],
  ])('%s is refused', (text, message) => {
    expect(() => parseNetdev(text)).toThrow(CliError)
    expect(() => parseNetdev(text)).toThrow(message)
  })
})

/** A card that keeps what it is sent. */
function plugIn(network: PacketBackend) {
  const frames: number[] = []
  network.connect({ receive: (frame) => Boolean(frames.push(frame[0]!)), drained() {}, linkChanged() {} })
  return frames
}
const frame = (number: number): Uint8Array => new Uint8Array(60).fill(number)
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('machines of a hub, a network attached to it, and a capture of one', async () => {
  const path = join(folder, 'hub.pcap')
  const networks = await OpenNetworks.open(
    [
      'hubport,id=a,hubid=0',
      `hubport,id=b,hubid=0,pcap=${path}`,
      'hubport,id=c,hubid=1',
      'hubport,id=p,hubid=0,netdev=c',
      'hubport,id=d,hubid=1',
    ].map(parseNetdev),
  )
  const [a, b, d] = ['a', 'b', 'd'].map((id) => networks.plug(id))
  const cards = [a, b, d].map((network) => plugIn(network!))
  a!.send(frame(1))
  d!.send(frame(2))
  await turn()
  expect(cards).toEqual([[2], [1, 2], [1]])
  expect(() => networks.plug('c')).toThrow(CliError)
  networks.close()
  expect(readFileSync(path).length).toBe(24 + 2 * 76)
})

test('a relay of frames by WebSocket, and one of its ends', async () => {
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const { port } = free.address() as AddressInfo
  await new Promise<void>((resolve) => void free.close(() => resolve()))
  const networks = await OpenNetworks.open(
    [`websocket,id=a,listen=:${port},origin=https://good.test`, `websocket,id=b,url=ws://127.0.0.1:${port}`].map(
      parseNetdev,
    ),
  )
  const [a, b] = ['a', 'b'].map((id) => networks.plug(id))
  const cards = [a, b].map((network) => plugIn(network!))
  await expect.poll(() => b!.linkUp).toBe(true)
  b!.send(frame(1))
  await expect.poll(() => cards).toEqual([[1], []])
  a!.send(frame(2))
  await expect.poll(() => cards).toEqual([[1], [2]])
  networks.close()
  await expect.poll(() => b!.linkUp).toBe(false)
})

test("the host's loopback is closed to all networks, whatever their options say", async () => {
  const opened = vi.spyOn(UserNetwork, 'open')
  const networks = await OpenNetworks.open([parseNetdev('user,id=a,hostloopback=on')], false, true)
  await networks.add(parseNetdev('user,id=b'))
  expect(opened.mock.calls.map(([{ hostLoopback }]) => hostLoopback)).toEqual([false, false])
  networks.close()
})

test('an id that is given twice, or is not there', async () => {
  const open = (...texts: string[]) => OpenNetworks.open(texts.map(parseNetdev))
  await expect(open('hubport,id=a,hubid=0', 'hubport,id=a,hubid=1')).rejects.toThrow(/twice/)
  await expect(open('hubport,id=a,hubid=0,netdev=z')).rejects.toThrow(/no --netdev with id=z/)
})

test('two captures in one file', async () => {
  const path = join(folder, 'one.pcap')
  const open = OpenNetworks.open(
    [`hubport,id=a,hubid=0,pcap=${path}`, `hubport,id=b,hubid=0,pcap=${folder}/./one.pcap`].map(parseNetdev),
  )
  await expect(open).rejects.toThrow('is that of id=a; give each a file of its own')
})

test("what the host or the network does not allow is the user's to mend", async () => {
  const explained = async (text: string) =>
    explainError(await OpenNetworks.open([parseNetdev(text)]).catch((error: unknown) => error))
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as AddressInfo
  expect(await explained(`user,id=n,hostfwd=tcp::${port}-:22`)).toEqual({
    message: `tcp 127.0.0.1:${port}: the port is taken`,
    code: ExitCode.Input,
  })
  taken.close()
  expect(await explained('user,id=n,host=192.0.2.1')).toMatchObject({ code: ExitCode.Usage })
  expect(await explained(`stream,id=n,addr.type=unix,addr.path=${folder}/none`)).toMatchObject({ code: ExitCode.Input })
})

test('the card of a new machine takes the place of the one before', async () => {
  const hub = new Hub()
  const other = hub.port()
  const seen = plugIn(other)
  const plug = networkOutlet(hub.port())
  const first = plug()
  const old = plugIn(first)
  other.send(frame(1))
  await turn()
  const second = plug()
  const fresh = plugIn(second)
  other.send(frame(2))
  first.send(frame(3))
  second.send(frame(4))
  await turn()
  expect([old, fresh, seen]).toEqual([[1], [2], [4]])
})

test('files for TFTP lie in the folder, whatever their names and links say', async () => {
  mkdirSync(join(folder, 'boot'))
  writeFileSync(join(folder, 'boot', 'a'), 'in')
  writeFileSync(join(folder, 'secret'), 'out')
  symlinkSync('../secret', join(folder, 'boot', 'link'))
  const read = async (name: string) => (await readBootFile(join(folder, 'boot'), name))?.toString() ?? null
  expect([await read('a'), await read('/a'), await read('../secret'), await read('link'), await read('none')]).toEqual([
    'in',
    'in',
    null,
    null,
    null,
  ])
})

describe('networks and their cards', () => {
  const list = (...args: readonly string[]) => {
    const device = { flags: '--device <text>', help: '', each: parseDevice }
    const command = addOptions(new Command(), ['Networks:', [...NETWORK_OPTIONS, device]])
    return listNetworks(command.exitOverride().parse(args, { from: 'user' }).opts<NetworkFlags>())
  }

  test('--nic is a card and its network', () => {
    const { networks, virtio } = list('--nic', 'user,hostfwd=tcp::2222-:22,mac=52:54:00:00:00:01', '--nic', 'none')
    expect(networks).toMatchObject([{ kind: 'user', id: 'nic0', hostForwards: [{ hostPort: 2222 }] }])
    expect(virtio).toEqual([{ kind: 'net', netdev: 'nic0', macAddress: Uint8Array.of(0x52, 0x54, 0, 0, 0, 1) }])
  })

  test.each([
    [['--netdev', 'user,id=n'], /no card uses it/],
    [['--device', 'virtio-net-pci,netdev=n'], /there is no --netdev with id=n/],
    [
      ['--netdev', 'user,id=n', '--device', 'virtio-net-pci,netdev=n', '--device', 'virtio-net-pci,netdev=n'],
      /used twice/,
    ],
    [
      ['--netdev', 'user,id=n', '--netdev', 'hubport,id=p,hubid=0,netdev=n', '--device', 'virtio-net-pci,netdev=n'],
      /used twice/,
    ],
    [['--nic', 'user,model=rtl8139'], /model=rtl8139 is unknown; there are virtio-net-pci and e1000/],
    [['--nic', 'user,model=e1000e'], /model=e1000e is unknown; write model=e1000/],
    [['--nic', 'tap'], /'tap' is unknown/],
  ])('%j is refused', (args, message) => expect(() => list(...args)).toThrow(message))
})
