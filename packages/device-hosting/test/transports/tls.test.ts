/** Models on another host, over TLS: who is believed, what a bad network does, and what comes over it that should not. */
import { connect as connectPlain, createConnection, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { defineDevice } from '@retrap/device'
import * as index from '@retrap/ioreq'
import { createIoRequest } from '@retrap/ioreq'
import { afterEach, describe, expect } from 'vitest'
import {
  connectDeviceServer,
  type DeviceServerConnection,
  type DeviceService,
  type DeviceServiceOptions,
  readTlsFiles,
  serveDeviceModules,
  serveDevices,
  type SocketTransport,
} from '../../src/node/index.ts'
import { encodeProtocolFrame, PROTOCOL_VERSION, ProtocolReader } from '../../src/protocol/index.ts'
import { makeMachine } from '../machine.ts'
import { badNetwork, type Weather } from './bad-network.ts'
import {
  authority,
  devices,
  devicesElsewhere,
  devicesExpired,
  devicesOther,
  machine,
  machineExpired,
  machineOther,
  otherAuthority,
  secondMachine,
} from '@retrap/tooling/certificates'
import { sliceTests } from '@retrap/tooling/slice'

/** Each has its own network; a run has some of them. */
const test = sliceTests(3)
const DEADLINE_MS = 60_000
const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of open.splice(0).toReversed()) await one.close()
})

const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))
const until = async (what: () => boolean, ms = DEADLINE_MS / 2): Promise<void> => {
  for (const end = performance.now() + ms; !what() && performance.now() < end;) await tick(1)
  if (!what()) throw new Error('it does not come to that')
}
const ours = { ...devices, ca: authority }
const theirs = { ...machine, ca: authority }
const PORT = 0x100

/** A device that counts: each read is one more, so that a read that is made twice shows. */
function counter(log: number[] = []) {
  let count = 0
  const irqs: { set(level: boolean): void }[] = []
  const model = defineDevice({
    name: 'counter',
    ports: { base: PORT, size: 4 },
    attach: (context) => void irqs.push(context.interruptLine(5)),
    read: () => ++count,
    write(_offset, _size, value) {
      log.push(value)
      irqs[0]!.set((value & 1) !== 0)
    },
    save: () => count,
    restore: (state) => void (count = state as number),
  })
  return model
}

async function serve(options: Partial<DeviceServiceOptions> = {}, log: number[] = []): Promise<DeviceService> {
  const all = { address: { port: 0 }, tls: ours, ...options }
  const service = await serveDevices(all, (server) => server.attach(counter(log)))
  open.push(service)
  return service
}

const portOf = ({ address }: { readonly address: object }): number => (address as { readonly port: number }).port

async function connect(port: number, options: Partial<DeviceServerConnection> = {}) {
  const made = makeMachine({ policy: 'detach', deadlineMs: DEADLINE_MS })
  const all = { address: { port }, tls: theirs, name: 'far', ...options }
  const transport: SocketTransport = await connectDeviceServer(made.dispatch, made.platform, all)
  open.push(transport)
  await transport.remote.ready
  const access = async (direction: number, dataLo = 0, vcpu = 0): Promise<number> => {
    const request = { ...createIoRequest(), type: index.IOREQ_TYPE_PIO, direction, addressLo: PORT, size: 4, dataLo }
    let status = made.dispatch.submit(vcpu, request)
    for (; status === index.STATUS_RETRY; status = made.dispatch.requests.take(vcpu)) await tick(1)
    return status
  }
  return { ...made, transport, access }
}

describe('who is believed', { timeout: DEADLINE_MS }, () => {
  test('each end by its certificate; then requests are answered', async () => {
    const service = await serve()
    const { access, dispatch } = await connect(portOf(service))
    expect([await access(index.IOREQ_READ), dispatch.lo]).toEqual([index.STATUS_DONE, 1])
    expect(service.machines).toBe(1)
  })

  test.each([
    { what: 'of another authority', tls: { ...machineOther, ca: authority }, why: /not trusted: UNABLE_TO/ },
    { what: 'that has expired', tls: { ...machineExpired, ca: authority }, why: /not trusted: CERT_HAS_EXPIRED/ },
    { what: 'that is for servers', tls: { ...devices, ca: authority }, why: /not trusted: INVALID_PURPOSE/ },
    { what: 'with another name', tls: { ...secondMachine, ca: authority }, why: /none of the names/ },
  ])('a machine with a certificate $what is told so, and gets no models', async ({ tls, why }) => {
    const refused: string[] = []
    const service = await serve({
      tls: { ...ours, peers: ['first.test', 'machine.test'] },
      onRefused: (_from, what) => void refused.push(what),
    })
    await expect(connect(portOf(service), { tls })).rejects.toMatchObject({ code: 'ERR_PERMISSION', message: why })
    expect([service.machines, refused.length]).toEqual([0, 1])
    // Those who may still get in.
    const { access } = await connect(portOf(service))
    expect(await access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
  })

  test.each([
    { what: 'of another authority', tls: { ...devicesOther, ca: authority }, why: /unable to verify|unable to get/ },
    { what: 'that has expired', tls: { ...devicesExpired, ca: authority }, why: /expired/ },
    { what: 'of another host', tls: { ...devicesElsewhere, ca: authority }, why: /does not match certificate/ },
    { what: 'that is for clients', tls: { ...machine, ca: authority }, why: /unsuitable certificate purpose/ },
  ])('devices with a certificate $what are not used', async ({ tls, why }) => {
    const service = await serve({ tls })
    const { dispatch, platform } = makeMachine()
    const options = { address: { port: portOf(service) }, tls: theirs, name: 'far' }
    await expect(connectDeviceServer(dispatch, platform, options)).rejects.toMatchObject({
      code: 'ERR_PERMISSION',
      message: why,
    })
    // At once, not when the time to connect is over; and there is nothing in the domain.
    expect([service.machines, dispatch.server(1)]).toEqual([0, null])
  })

  test('devices may have another name than the host that is connected to', async () => {
    const service = await serve({ tls: { ...devicesElsewhere, ca: authority } })
    const tls = { ...theirs, peers: ['nowhere.test', 'elsewhere.test'] }
    expect(await (await connect(portOf(service), { tls })).access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
  })

  test('a machine without a certificate gets nowhere, nor one of an older TLS', async () => {
    const service = await serve()
    const attempt = async (options: ConnectionOptions): Promise<Buffer> => {
      const socket = connectTls({ port: portOf(service), host: '127.0.0.1', ca: authority, ...options })
      const pieces: Buffer[] = []
      socket.on('error', () => {}).on('data', (piece) => void pieces.push(piece))
      socket.once('secureConnect', () => socket.write(openingOf({})))
      await new Promise((resolve) => void socket.once('close', resolve))
      return Buffer.concat(pieces)
    }
    expect((await attempt({})).toString('latin1')).toContain('not trusted')
    expect(await attempt({ ...machine, maxVersion: 'TLSv1.2' })).toHaveLength(0)
    expect(service.machines).toBe(0)
  })

  test('a session belongs to a certificate: another machine cannot go on with it', async () => {
    const service = await serve({ maxMachines: 2 })
    const socket = connectTls({ port: portOf(service), host: '127.0.0.1', ...theirs })
    socket.write(openingOf({ session: 5 }))
    await until(() => service.machines === 1)
    const thief = connectTls({ port: portOf(service), host: '127.0.0.1', ...secondMachine, ca: authority })
    const answer = new Promise<Buffer>((resolve) => void thief.once('data', resolve))
    thief.write(openingOf({ session: 5, attempt: 2, received: 1 }))
    expect((await answer).toString('latin1')).toContain('belongs to another certificate')
    for (const each of [socket, thief]) each.on('error', () => {}).destroy()
  })

  test('a token is asked for as well, and machines have a limit', async () => {
    const service = await serve({ token: 'secret', maxMachines: 1 })
    await expect(connect(portOf(service))).rejects.toThrow(/the token is wrong/)
    const { transport } = await connect(portOf(service), { token: 'secret' })
    await expect(connect(portOf(service), { token: 'secret' })).rejects.toThrow(/at most 1 machines/)
    transport.close()
    // The end of a machine is told, not guessed: there is room for another at once.
    await until(() => service.machines === 0)
    await connect(portOf(service), { token: 'secret' })
  })

  test('an identity that cannot be used is found at once', async () => {
    const { dispatch, platform } = makeMachine()
    const attempt = (tls: object) =>
      connectDeviceServer(dispatch, platform, { address: { port: 1 }, name: 'far', tls: { ...theirs, ...tls } })
    await expect(attempt({ key: devices.key })).rejects.toMatchObject({ code: 'ERR_INVALID', message: /key/ })
    await expect(attempt({ ca: '' })).rejects.toMatchObject({ code: 'ERR_INVALID', message: /ca has no certificate/ })
    await expect(attempt({ peers: [] })).rejects.toMatchObject({ code: 'ERR_INVALID', message: /expected 1 to 64/ })
    await expect(serve({ tls: { ...ours, cert: otherAuthority } })).rejects.toMatchObject({ code: 'ERR_INVALID' })
    await expect(serve({ address: { path: '/tmp/none' } })).rejects.toMatchObject({ code: 'ERR_INVALID' })
    const files = { cert: '/no/such.pem', key: '/no/such.key', ca: '/no/such-ca.pem' }
    await expect(readTlsFiles(files)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND', message: /no\/such/ })
  })
})

/** A frame of any kind: its length, kind and count of frames that have arrived, and its bytes. */
function rawFrame(code: number, bytes: Uint8Array = new Uint8Array(0), seen = 0): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(8 + bytes.length, 0)
  head.writeUInt16LE(code, 4)
  head.writeUInt16LE(seen, 6)
  return Buffer.concat([head, bytes])
}

const NOW = { lo: 0, hi: 0 }
const openingOf = ({ name = 'raw', token = '', attempt = 1, session = 1, received = 0, version = PROTOCOL_VERSION }) =>
  Buffer.concat([
    encodeProtocolFrame({ kind: 'introduce', name, token, attempt }),
    encodeProtocolFrame({ kind: 'hello', version, flags: 1, session: { lo: session, hi: 0 }, received, now: NOW }),
  ])
/** What has come after the first `welcome`, if any: why a connection is refused. */
const whyOf = (bytes: Uint8Array): string | undefined => {
  let why: string | undefined
  new ProtocolReader().push(bytes, ({ frame }) => void (why = frame.kind === 'bye' ? frame.why : why))
  return why
}

describe('a network', { timeout: DEADLINE_MS }, () => {
  const through = async (weather: Weather = {}, seed = 1, options: Partial<DeviceServiceOptions> = {}) => {
    const log: number[] = []
    const service = await serve(options, log)
    const network = await badNetwork(portOf(service), weather, seed)
    open.push(network)
    return { service, network, log }
  }

  test('that delays, cuts and falls silent: each request is made once, in order', async () => {
    // A soak (`npm run soak -- device-network`) does it for longer.
    const { network, log } = await through({ late: 3, cut: 16, halfClose: 30, silence: 120 }, 1)
    const { access, dispatch, failures, events } = await connect(network.port, { aliveMs: 300, openMs: 1000 })
    let count = 0
    // As many as it takes for the network to have cut something.
    for (; count < 12 || network.connections < 3; count++) {
      expect(await access(index.IOREQ_WRITE, count)).toBe(index.STATUS_DONE)
      expect([await access(index.IOREQ_READ), dispatch.lo]).toEqual([index.STATUS_DONE, count + 1])
    }
    expect(log).toEqual(Array.from({ length: count }, (_, i) => i))
    // The line has followed each write, once.
    expect(events).toEqual(Array.from({ length: count - 1 }, (_, i) => `irq5=${(i + 1) & 1}`))
    expect(failures).toEqual([])
  })

  test('that is gone for a while: a request that was made before is answered, and so is one that comes meanwhile', async () => {
    const { network, log } = await through()
    const { access, dispatch, transport, failures } = await connect(network.port)
    network.hold(true)
    const first = access(index.IOREQ_WRITE, 7)
    await tick(20)
    expect(log).toEqual([])
    network.cut()
    await until(() => !transport.connected)
    const second = access(index.IOREQ_READ, 0, 1)
    network.hold(false)
    expect([await first, await second, log, failures]).toEqual([index.STATUS_DONE, index.STATUS_DONE, [7], []])
    expect(dispatch.server(1)?.alive).toBe(true)
  })

  test('whose answer is lost on the way: the request is not made again', async () => {
    const { network, log } = await through()
    const { access } = await connect(network.port)
    // The answer is cut off, when the model has had the request.
    const cutting = until(() => log.length === 1).then(() => network.cut())
    network.hold(true)
    const write = access(index.IOREQ_WRITE, 9)
    await tick(5)
    network.hold(false)
    await cutting
    expect([await write, log]).toEqual([index.STATUS_DONE, [9]])
  })

  test('a cancelled request is cancelled over the next connection, and the one after has its own answer', async () => {
    const { network } = await through()
    const { access, dispatch, failures } = await connect(network.port)
    const read = {
      ...createIoRequest(),
      type: index.IOREQ_TYPE_PIO,
      direction: index.IOREQ_READ,
      addressLo: PORT,
      size: 4,
    }
    network.hold(true)
    expect(dispatch.submit(0, read)).toBe(index.STATUS_RETRY)
    dispatch.requests.cancel(0)
    network.cut()
    network.hold(false)
    expect([await access(index.IOREQ_READ), failures]).toEqual([index.STATUS_DONE, []])
    expect(dispatch.lo).toBe(2)
  })

  test('that is silent is found out by keep-alive, and left', async () => {
    const { network, service } = await through({}, 1, { aliveMs: 300 })
    const { access, transport } = await connect(network.port, { aliveMs: 300 })
    network.hold(true)
    await until(() => !transport.connected)
    network.cut()
    network.hold(false)
    expect(await access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
    expect(service.machines).toBe(1)
    // A connection that works stays, whatever the time.
    const { connections } = network
    await tick(1200)
    expect([network.connections, transport.connected]).toEqual([connections, true])
  })

  test('that does not come back fails the server, and then the machine’s models are given up', async () => {
    const gone: string[] = []
    const { network, service } = await through({}, 1, {
      reconnectMs: 300,
      onMachineGone: (name) => void gone.push(name),
    })
    // The first connection has no more time than a further one, and the host may be busy.
    const { access, failures } = await connect(network.port, { reconnectMs: 3000, openMs: 3000 })
    network.redirect(1)
    network.cut()
    expect(await access(index.IOREQ_READ)).toBe(index.STATUS_UNHANDLED)
    expect(String(failures[0]!.cause)).toMatch(/was lost and not made again within 3000 ms/)
    await until(() => service.machines === 0)
    expect(gone).toEqual(['far'])
  })

  test('devices that were started anew have lost their state: that is said, and nothing is asked of them', async () => {
    const { network } = await through()
    const { access, failures } = await connect(network.port)
    expect(await access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
    const log: number[] = []
    network.redirect(portOf(await serve({}, log)))
    network.cut()
    expect(await access(index.IOREQ_WRITE, 3)).toBe(index.STATUS_UNHANDLED)
    expect(String(failures[0]!.cause)).toMatch(/was started anew, and has lost its state/)
    expect(log).toEqual([])
  })

  test('a service that ends says so, also to a machine that is not connected just then', async () => {
    const { service } = await through()
    const first = await connect(portOf(service))
    void service.close()
    await until(() => first.failures.length > 0)
    expect(String(first.failures[0]!.cause)).toMatch(/ended the server/)
  })

  test('an opening that arrives after a later one does not take the connection over', async () => {
    const { service } = await through()
    const dial = (attempt: number): Socket => {
      const socket = connectTls({ port: portOf(service), host: '127.0.0.1', ...theirs })
      open.push({ close: () => socket.destroy() })
      socket.on('error', () => {}).write(openingOf({ session: 7, attempt }))
      return socket
    }
    const later = dial(2)
    await new Promise((resolve) => void later.once('data', resolve))
    const earlier = dial(1)
    const [answer] = await new Promise<Buffer[]>((resolve) => void earlier.once('data', (bytes) => resolve([bytes])))
    expect(whyOf(answer!)).toBe('there is a later connection')
    expect(later.destroyed).toBe(false)
  })
})

describe('what comes that should not', { timeout: DEADLINE_MS }, () => {
  const garbage = Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 167 + (i >> 3)) & 0xff))
  const closed = (socket: Socket): Promise<unknown> => {
    open.push({ close: () => socket.destroy() })
    socket.on('error', () => {}).resume()
    return new Promise((resolve) => void socket.once('close', resolve))
  }
  /** A machine that may connect, and speaks as it likes. */
  const insider = (service: DeviceService): Socket =>
    connectTls({ port: portOf(service), host: '127.0.0.1', ...theirs }).on('error', () => {})

  test.each([
    { what: 'plain text', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n') },
    { what: 'our frames without TLS', bytes: openingOf({}) },
    { what: 'noise', bytes: garbage },
    { what: 'the beginning of a handshake', bytes: Buffer.from([0x16, 3, 1, 2, 0, 1]) },
    { what: 'nothing', bytes: Buffer.alloc(0) },
  ])('$what on the port is cut off, and those who may still get in', async ({ bytes }) => {
    const service = await serve({ openMs: 300 })
    const socket = createConnection(portOf(service), '127.0.0.1')
    const end = closed(socket)
    socket.write(bytes)
    await end
    expect(service.machines).toBe(0)
    expect(await (await connect(portOf(service))).access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
  })

  test('a port without TLS is found out', async () => {
    const plain = await serve({ tls: undefined as never })
    const { dispatch, platform } = makeMachine()
    const options = { address: { port: portOf(plain) }, tls: theirs, name: 'far', reconnectMs: 1000 }
    await expect(connectDeviceServer(dispatch, platform, options)).rejects.toThrow(/TLS|cannot be reached/)
  })

  test('a flood of connections that say nothing: the oldest are cut, and those who may still get in', async () => {
    const service = await serve({ openMs: 20_000 })
    const sockets = Array.from({ length: 60 }, () => connectPlain(portOf(service), '127.0.0.1'))
    let cut = 0
    for (const socket of sockets) void closed(socket).then(() => cut++)
    await until(() => cut >= 44)
    expect(await (await connect(portOf(service))).access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
  })

  test.each([
    { what: 'a frame that is too long', bytes: Buffer.from([0xf8, 0xff, 0xff, 0x7f, 4, 1, 0, 0]) },
    { what: 'an opening that is too long', bytes: openingOf({ name: ' '.repeat(20_000) }), first: true },
    { what: 'a frame before it says who it is', bytes: rawFrame(64, garbage), first: true },
    { what: 'another version', bytes: openingOf({ version: 4 }), first: true },
    { what: 'an unknown kind', bytes: rawFrame(99) },
    { what: 'a frame that is none', bytes: rawFrame(64, garbage) },
    { what: 'a frame of a server that declares devices', bytes: encodeProtocolFrame({ kind: 'ready' }) },
    { what: 'an acknowledgement of what was not sent', bytes: rawFrame(1, undefined, 1000) },
  ])('from a machine that may connect: $what ends it, and no other', async ({ bytes, first = false }) => {
    const service = await serve()
    const other = await connect(portOf(service))
    const socket = insider(service)
    const end = closed(socket)
    if (!first) socket.write(openingOf({ session: 9 }))
    socket.write(bytes)
    await end
    await until(() => service.machines === 1)
    expect(await other.access(index.IOREQ_READ)).toBe(index.STATUS_DONE)
  })

  test('a flood of pings by one that does not read takes no memory', async () => {
    const service = await serve()
    const socket = insider(service)
    void closed(socket)
    socket.pause()
    socket.write(openingOf({ session: 11 }))
    await until(() => service.machines === 1)
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external
    const pings = Buffer.concat(Array.from({ length: 30_000 }, () => rawFrame(66)))
    for (let i = 0; i < 20 && socket.writableLength < 1 << 22; i++) {
      socket.write(pings)
      await tick()
    }
    const after = process.memoryUsage().arrayBuffers + process.memoryUsage().external
    expect(after - before - socket.writableLength).toBeLessThan(1 << 24)
  })
})

describe('models in Workers', { timeout: DEADLINE_MS }, () => {
  const module = (code: string): string =>
    `data:text/javascript,${encodeURIComponent(`import { defineDevice } from '@retrap/device'\n${code}`)}`
  const COUNTS = module(`
    let count = 0
    export const counts = defineDevice({
      name: 'counts', stateless: true, ports: { base: ${PORT}, size: 4 },
      read: () => ++count,
      write: (offset, size, value) => { if (value === 1) for (;;); else process.exit(value) },
    })`)
  const serveModules = async (modules: readonly string[]): Promise<DeviceService> => {
    const service = await serveDeviceModules({ address: { port: 0 }, tls: ours }, modules)
    open.push(service)
    return service
  }

  test('each machine has its own; one that hangs or dies is no other’s matter', async () => {
    const service = await serveModules([COUNTS])
    const [one, two, three] = [
      await connect(portOf(service)),
      await connect(portOf(service)),
      await connect(portOf(service)),
    ]
    expect([await one.access(index.IOREQ_READ), await one.access(index.IOREQ_READ), one.dispatch.lo]).toEqual([
      index.STATUS_DONE,
      index.STATUS_DONE,
      2,
    ])
    void one.access(index.IOREQ_WRITE, 1)
    expect(await two.access(index.IOREQ_WRITE, 3)).toBe(index.STATUS_UNHANDLED)
    expect(String(two.failures[0]!.cause)).toMatch(/Worker of server far ended with 3/)
    expect([await three.access(index.IOREQ_READ), three.dispatch.lo]).toEqual([index.STATUS_DONE, 1])
    one.transport.close()
    await until(() => service.machines === 1)
  })

  test('a module that cannot be loaded fails the server, with the reason', async () => {
    const service = await serveModules([module('throw new Error("no such luck")')])
    await expect(connect(portOf(service))).rejects.toThrow(/no such luck/)
  })
})
