import { createConnection, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  decodeFrame,
  encodeFrame,
  MAX_FRAME_BYTES,
  RemoteServer,
  SharedTransport,
  type Frame,
} from '../../src/index.ts'
import * as index from '@retrap/ioreq'
import { createIoRequest, IoreqPage } from '@retrap/ioreq'
import {
  connectDeviceServer,
  type DeviceServerConnection,
  type DeviceServiceOptions,
  serveDevices,
  startDeviceWorker,
} from '../../src/node/index.ts'
import { fromModelFrame, toModelFrame } from '../../src/node/socket-transport.ts'
import { encodeProtocolFrame, PROTOCOL_VERSION, type ProtocolFrame, ProtocolReader } from '../../src/protocol/index.ts'
import { FrameLink } from '../../src/protocol/link.ts'
import { SharedEnd } from '../../src/shared-memory.ts'
import { makeMachine, STATUS } from '../machine.ts'
import { contractModels, REGISTERS } from './models.ts'

const port = {
  ...createIoRequest(),
  type: index.IOREQ_TYPE_PIO,
  direction: index.IOREQ_READ,
  addressLo: 0x100,
  size: 2,
}
const policies = [
  { policy: 'crash' as const, status: index.STATUS_ERROR },
  { policy: 'detach' as const, status: index.STATUS_UNHANDLED },
]
const WELCOME = {
  kind: 'welcome',
  version: PROTOCOL_VERSION,
  flags: 3,
  session: { lo: 0, hi: 0 },
  name: 'raw',
} as const
const tick = (ms = 1): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

describe('a server that shares its page, and scribbles into it', () => {
  const make = (policy: 'crash' | 'detach') => {
    const machine = makeMachine({ policy })
    const transport = new SharedTransport(machine.dispatch, machine.platform, { name: 'scribbler' })
    const { server } = transport.remote
    server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    server.setState(true)
    // What the Worker would have.
    const page = new IoreqPage(transport.memory.buffer, 4096)
    const slot = page.slot(0)
    const bell = (): void =>
      void (Atomics.add(transport.memory.doorbell, transport.memory.doorbellIndex, 1), transport.pump())
    return { ...machine, transport, server, slot, bell }
  }

  test.each(policies)('answers twice: found out when the second one is seen; policy $policy', ({ policy, status }) => {
    const { dispatch, slot, bell, failures } = make(policy)
    dispatch.submit(0, port)
    slot.accept(createIoRequest())
    slot.answer(5, 0)
    bell()
    expect(dispatch.requests.take(0)).toBe(index.STATUS_DONE)
    slot.state = index.STATE_IORESP_READY
    expect(STATUS[dispatch.submit(0, port)]).toBe(
      STATUS[status === index.STATUS_ERROR ? index.STATUS_ERROR : index.STATUS_DONE],
    )
    expect(dispatch.lo).toBe(0xffff)
    expect(String(failures[0]!.cause)).toContain('in state 3')
  })

  const flips = [
    { from: index.STATE_IOREQ_INPROCESS, to: index.STATE_IOREQ_READY },
    { from: index.STATE_IOREQ_READY, to: 9 },
    { from: index.STATE_IOREQ_INPROCESS, to: 15 },
  ]
  test.each(flips.flatMap((flip) => policies.map((p) => ({ ...flip, ...p }))))(
    'flips its state from $from to $to: policy $policy',
    ({ from, to, policy, status }) => {
      const { dispatch, slot, bell, completed, failures } = make(policy)
      dispatch.submit(0, port)
      slot.state = from
      bell()
      slot.state = to
      bell()
      expect(completed).toEqual([0])
      expect(STATUS[dispatch.requests.take(0)]).toBe(STATUS[status])
      expect(String(failures[0]!.cause)).toContain(`went from ${from} to ${to}`)
    },
  )

  test.each([
    { what: 'a frame that there is not', bytes: [1, 0, 0, 0, 250] },
    { what: 'a frame of the hypervisor’s', bytes: [...encodeFrame({ kind: 'cancel', vcpu: 0 })] },
    {
      what: 'a claim of ports backwards',
      bytes: [...encodeFrame({ kind: 'claim', type: 0, ranges: [[9, 3]], buffered: [] })],
    },
    { what: 'a line that is not open', bytes: [...encodeFrame({ kind: 'setLine', line: 3, level: true })] },
    {
      what: 'a fault of a vCPU that there is not',
      bytes: [...encodeFrame({ kind: 'fault', vcpu: 99, device: '', what: '', message: '' })],
    },
    {
      what: 'a reply that nobody waits for',
      bytes: [...encodeFrame({ kind: 'called', call: 9, error: '', result: '' })],
    },
    { what: 'a DMA of all memory', bytes: [...encodeFrame({ kind: 'dmaRead', call: 1, gpa: 0, length: 0xffff_ffff })] },
    { what: 'a frame without an end', bytes: [255, 255, 255, 255, 1] },
  ])('sends $what', async ({ bytes }) => {
    const { dispatch, transport, server, bell, failures } = make('detach')
    dispatch.submit(0, port)
    // The stream of events: its counters, then its data.
    const at = 3 * 4096 + 2 * 65_536
    new Uint8Array(transport.memory.buffer).set(bytes, at + 64)
    new Int32Array(transport.memory.buffer)[at / 4] = bytes.length
    bell()
    expect(dispatch.requests.take(0)).toBe(index.STATUS_UNHANDLED)
    expect(failures).toHaveLength(1)
    expect(server.alive).toBe(false)
    await expect(transport.remote.ready).rejects.toThrow()
  })

  test('scribbles over the counters of its streams', () => {
    const { transport, bell, server } = make('detach')
    const words = new Int32Array(transport.memory.buffer)
    for (let i = 3 * 1024; i < words.length; i += 7) words[i] = 0x7fff_fff1 + i
    bell()
    transport.remote.post(new Uint8Array(100))
    bell()
    expect(typeof server.alive).toBe('boolean')
  })
})

describe('what a server sends before its answer is received before it, however narrow the gap', () => {
  const ways = [
    { how: 'the event loop runs', patienceMs: 0 },
    { how: 'the thread waits blocked', patienceMs: 1000 },
  ]
  test.each(
    ways.flatMap((way) => [
      { ...way, what: 'request' },
      // What a model still writes to memory, it writes before it lets go of it.
      { ...way, what: 'invalidation' },
    ]),
  )('$what: $how', ({ what, patienceMs }) => {
    const order: string[] = []
    const { dispatch, platform } = makeMachine(
      { onComplete: () => order.push('complete') },
      [],
      {},
      { signalMsi: () => void order.push('interrupt') },
    )
    const transport = new SharedTransport(dispatch, platform, { name: 'narrow', patienceMs })
    const { server } = transport.remote
    server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    server.setState(true)
    const worker = new SharedEnd(transport.memory, 'devices', () => {})
    const slot = server.slot(0)
    const far = new IoreqPage(worker.page.buffer, worker.page.byteOffset).slot(0)
    // The Worker sends an interrupt and answers at the very moment when the transport looks at the state: what it has
    // fetched before that look is without the interrupt, and the state is that of the answer.
    const plain = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(slot), 'state') as Required<PropertyDescriptor>
    let armed = patienceMs > 0
    Object.defineProperty(slot, 'state', {
      get: () => {
        if (armed && far.state === index.STATE_IOREQ_READY) {
          armed = false
          far.accept(createIoRequest())
          worker.send({ kind: 'msi', address: 0xfee0_0000, data: 0x40, requester: 0 })
          far.answer(5, 0)
        }
        return plain.get.call(slot) as number
      },
      set: (value: number) => {
        plain.set.call(slot, value)
      },
    })
    const status = what === 'request' ? dispatch.submit(0, port) : dispatch.requests.invalidate(0)
    order.push(STATUS[status] as string)
    armed = true
    transport.pump()
    expect(order).toEqual(patienceMs > 0 ? ['interrupt', 'done'] : ['retry', 'interrupt', 'complete'])
  })
})

test('a server that the domain has no room for leaves nothing behind: no timer, no mapping', async () => {
  const opened: string[] = []
  const { dispatch, platform, failures } = makeMachine(
    {},
    [],
    {},
    { openMemory: (name) => (opened.push(name), { close: () => {} } as never) },
  )
  const link = { send: () => {}, notify: () => {}, notifyBuffered: () => {}, close: () => {} }
  const make = (): RemoteServer => new RemoteServer(dispatch, platform, link, { name: 'one more', readyMs: 1 })
  // One is the machine's own host.
  const others = Array.from({ length: 7 }, make)
  opened.length = 0
  expect(make).toThrow(/at most 8/)
  for (const other of others) other.close()
  // An uncaught error of the timer would fail the test.
  await tick(5)
  expect([opened, failures]).toEqual([[], []])
})

test('models that a recording has brought are not late', async () => {
  const { dispatch, platform, failures } = makeMachine({})
  const link = { send: () => {}, notify: () => {}, notifyBuffered: () => {}, close: () => {} }
  const remote = new RemoteServer(dispatch, platform, link, { name: 'played', readyMs: 1 })
  remote.apply({ kind: 'ready', name: 'played' })
  await tick(5)
  await remote.ready
  expect(failures).toEqual([])
})

test.each([0.5, 1, 20])(
  'a server that rings and does not answer holds the thread for %d ms, and no longer',
  (patienceMs) => {
    const { dispatch, platform } = makeMachine({})
    const transport = new SharedTransport(dispatch, platform, { name: 'bell', patienceMs })
    transport.remote.server.mapRange(index.XEN_DMOP_IO_RANGE_PORT, 0x100, 0x1ff)
    transport.remote.server.setState(true)
    const started = performance.now()
    let rings = 0
    transport.doorbell.waitSync = () => {
      rings++
      if (performance.now() - started > 2000) throw new Error('the thread is held')
      return true
    }
    expect(dispatch.submit(0, port)).toBe(index.STATUS_RETRY)
    expect(rings).toBeGreaterThan(1)
    expect(performance.now() - started).toBeGreaterThanOrEqual(patienceMs)
    transport.remote.close()
  },
)

describe('a Worker', () => {
  test.each([
    { what: 'whose module cannot be loaded', module: 'file:///nowhere.ts', message: /nowhere/ },
    {
      what: 'whose module has no model',
      module: import.meta.resolve('../machine.ts'),
      message: /exports no device model/,
    },
  ])(
    '$what fails its server',
    async ({ module, message }) => {
      const { dispatch, platform, failures } = makeMachine({ policy: 'detach' })
      const transport = startDeviceWorker(dispatch, platform, { name: 'worker', modules: [module] })
      void transport.watch()
      await expect(transport.remote.ready).rejects.toThrow()
      expect(String(failures[0]!.cause)).toMatch(message)
    },
    30_000,
  )
})

describe('frames', () => {
  const LATE = { lo: 0xffff_fffe, hi: 0x8000_0001 }
  test('that are cut short, or too long, are refused', () => {
    const bytes = encodeFrame({ kind: 'fault', vcpu: 0, device: 'abc', what: 'd', message: 'efg' }).subarray(4)
    for (let length = 0; length < bytes.length; length++) expect(() => decodeFrame(bytes.subarray(0, length))).toThrow()
    expect(() => decodeFrame(Uint8Array.from([...bytes, 0]))).toThrow(/expected/)
    const long = { kind: 'message' as const, now: LATE, bytes: new Uint8Array(MAX_FRAME_BYTES) }
    expect(() => encodeFrame(long)).toThrow(/at most/)
  })
})

describe('a socket', () => {
  const open: { close(): unknown }[] = []
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close()
  })

  /** An end that is written by hand, over a socket: frames of the device protocol, and those of models in them. */
  class Raw {
    readonly socket: Socket
    /** Frames of the hypervisor's to models. */
    readonly frames: Frame[] = []
    readonly #reader = new ProtocolReader()
    constructor(socket: Socket) {
      this.socket = socket
      socket.on('error', () => {})
      socket.on('data', (bytes) =>
        this.#reader.push(Uint8Array.from(bytes), ({ frame }) => {
          if (frame.kind === 'hello') this.put({ ...WELCOME, received: 0 })
          if (frame.kind === 'model') this.frames.push(fromModelFrame(frame))
        }),
      )
    }
    /** @param half - it goes on when the other side has ended */
    static dial(port: number, half = false): Raw {
      return new Raw(createConnection({ port, host: '127.0.0.1', allowHalfOpen: half }))
    }
    put(frame: ProtocolFrame, seen = 0): void {
      this.socket.write(encodeProtocolFrame(frame, seen))
    }
    /** Says who it is, as a machine does. */
    hello({ name = 'raw', token = '', received = 0 } = {}): void {
      this.put({ kind: 'introduce', name, token, attempt: 1 })
      const session = { lo: 1, hi: 0 }
      this.put({ kind: 'hello', version: PROTOCOL_VERSION, flags: 1, session, received, now: session })
    }
    send(frame: Frame): void {
      this.put(toModelFrame(frame))
    }
    async request(): Promise<Extract<Frame, { kind: 'request' }>> {
      for (;;) {
        const found = this.frames.findLast((frame) => frame.kind === 'request')
        if (found !== undefined) return found
        await tick()
      }
    }
  }

  const serve = async (options: Partial<DeviceServiceOptions> = {}) => {
    const service = await serveDevices({ address: { port: 0 }, ...options }, () => {})
    open.push(service)
    return { service, port: (service.address as { port: number }).port }
  }
  const connect = async (at: number, options: Partial<DeviceServerConnection> = {}, machine = makeMachine()) => {
    const given = { address: { port: at }, name: 'prompt', ...options }
    const transport = await connectDeviceServer(machine.dispatch, machine.platform, given)
    open.push(transport)
    return transport
  }
  const listening = async (onConnection: (socket: Socket) => void) => {
    const server = createServer(onConnection)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    open.push({ close: () => void server.close() })
    return { server, at: (server.address() as { port: number }).port }
  }

  const rawServer = async (policy: 'crash' | 'detach' = 'detach', reconnectMs = 2000) => {
    const machine = makeMachine({ policy })
    const accepted = Promise.withResolvers<Raw>()
    const { server, at } = await listening((socket) => accepted.resolve(new Raw(socket)))
    const transport = await connect(at, { name: 'raw', reconnectMs }, machine)
    const raw = await accepted.promise
    raw.send({ kind: 'claim', type: 0, ranges: [[0x100, 0x1ff]], buffered: [] })
    raw.send({ kind: 'ready', name: 'raw' })
    await transport.remote.ready
    expect(machine.dispatch.submit(0, port)).toBe(index.STATUS_RETRY)
    const { sequence } = await raw.request()
    open.push({ close: () => raw.socket.destroy() })
    return { ...machine, raw, transport, sequence, server }
  }

  const until = async (what: () => boolean): Promise<void> => {
    while (!what()) await tick()
  }

  test.each(policies)('answers twice: policy $policy', async ({ policy }) => {
    const { raw, sequence, dispatch, failures, completed } = await rawServer(policy)
    raw.send({ kind: 'answer', vcpu: 0, sequence, lo: 9, hi: 0 })
    raw.send({ kind: 'answer', vcpu: 0, sequence, lo: 8, hi: 0 })
    await until(() => failures.length > 0)
    expect(completed).toEqual([0])
    expect(String(failures[0]!.cause)).toContain('was answered, and is not open')
    // The first answer stands if it was taken before; the server is gone either way.
    dispatch.requests.take(0)
    expect(dispatch.submit(0, port)).toBe(index.STATUS_UNHANDLED)
  })

  test.each([
    { what: 'another request', frame: { kind: 'answer', vcpu: 0, sequence: 99, lo: 0, hi: 0 } },
    { what: 'a vCPU without a request', frame: { kind: 'answer', vcpu: 1, sequence: 1, lo: 0, hi: 0 } },
    { what: 'a vCPU that there is not', frame: { kind: 'answer', vcpu: 70_000, sequence: 1, lo: 0, hi: 0 } },
  ] as const)('answers $what', async ({ frame }) => {
    const { raw, dispatch, failures, completed } = await rawServer()
    raw.send(frame)
    await until(() => completed.length > 0)
    expect(failures).toHaveLength(1)
    expect(dispatch.requests.take(0)).toBe(index.STATUS_UNHANDLED)
  })

  test.each([
    { what: 'noise', act: (raw: Raw) => void raw.socket.write(Buffer.alloc(64, 0xee)) },
    { what: 'a frame of 4 GiB', act: (raw: Raw) => void raw.socket.write(Buffer.alloc(8, 0xff)) },
    { what: 'a frame of a server that declares devices', act: (raw: Raw) => raw.put({ kind: 'powerOff' }) },
    { what: 'an acknowledgement of what was not sent', act: (raw: Raw) => raw.put({ kind: 'ack' }, 1000) },
  ])('sends $what', async ({ act }) => {
    const { raw, dispatch, failures, completed, events } = await rawServer()
    act(raw)
    await until(() => completed.length > 0)
    expect(failures).toHaveLength(1)
    expect(events).toEqual([])
    expect(dispatch.requests.take(0)).toBe(index.STATUS_UNHANDLED)
  })

  test('is closed for good: the server has failed after the time to reconnect', async () => {
    const { raw, server, transport, failures, dispatch } = await rawServer('detach', 50)
    server.close()
    raw.socket.destroy()
    await until(() => failures.length > 0)
    expect(String(failures[0]!.cause)).toContain('not made again within 50 ms')
    expect(transport.connected).toBe(false)
    expect(dispatch.server(1)).toBeNull()
  })

  test.each([
    { what: 'with a wrong token', fields: { token: 'wrong' } },
    { what: 'that resumes what there is not', fields: { token: 'right', received: 3 } },
    { what: 'without a name', fields: { token: 'right', name: '' } },
  ])('a connection $what gets nowhere', async ({ fields }) => {
    const { service, port: at } = await serve({ token: 'right' })
    const raw = Raw.dial(at)
    const closed = new Promise((resolve) => raw.socket.on('close', resolve))
    raw.hello(fields)
    await closed
    expect(service.machines).toBe(0)
  })

  test.each([
    { what: 'says nothing', act: (_raw: Raw) => {} },
    {
      what: 'sends the beginning of a frame',
      act: (raw: Raw) => void raw.socket.write(Buffer.from([200, 0, 0, 0, 65, 0])),
    },
    {
      what: 'is refused and goes on talking',
      act: (raw: Raw) => {
        raw.hello({ token: 'wrong' })
        const talk = setInterval(() => raw.socket.write(Buffer.from([200, 0, 0, 0])), 10)
        raw.socket.on('close', () => clearInterval(talk))
      },
      half: true,
    },
  ])('a connection that $what is cut after openMs', async ({ act, half = false }) => {
    const { service, port: at } = await serve({ openMs: 100 })
    const raw = Raw.dial(at, half)
    const closed = new Promise((resolve) => raw.socket.on('close', resolve))
    act(raw)
    // Whoever says who it is stays.
    const transport = await connect(at)
    await closed
    await tick(150)
    expect([service.machines, transport.connected]).toEqual([1, true])
  })

  test.each([
    ['sends anything but an opening first', (raw: Raw) => raw.put({ kind: 'ack' })],
    ['announces an opening of 1 MiB', (raw: Raw) => void raw.socket.write(Buffer.from([0, 0, 16, 0, 65, 0, 0, 0]))],
    ['sends an opening of 32 KiB', (raw: Raw) => raw.hello({ name: 'x'.repeat(32_768) })],
  ])('a connection that %s is cut at once', async (_what, act) => {
    const { port: at } = await serve({ openMs: 60_000 })
    const raw = Raw.dial(at)
    const closed = new Promise((resolve) => raw.socket.on('close', resolve))
    act(raw)
    await closed
  })

  test('of many connections that say nothing the oldest are cut, and a machine still gets in', async () => {
    const { port: at } = await serve({ openMs: 60_000 })
    const cut: number[] = []
    for (let i = 0; i < 20; i++) {
      const raw = Raw.dial(at)
      open.push({ close: () => raw.socket.destroy() })
      raw.socket.on('close', () => cut.push(i))
      await new Promise((resolve) => raw.socket.on('connect', resolve))
      await tick(5)
    }
    expect((await connect(at)).connected).toBe(true)
    // Twenty and the machine's: the five oldest had to go.
    await expect.poll(() => cut).toEqual([0, 1, 2, 3, 4])
  })

  test('a frame that comes in many pieces is copied a few times, not once a piece', () => {
    const reader = new ProtocolReader()
    const received: number[] = []
    const bytes = encodeProtocolFrame({ kind: 'model', bytes: new Uint8Array(1 << 19) })
    const spy = vi.spyOn(Uint8Array.prototype, 'set')
    for (let at = 0; at < bytes.length; at += 100)
      reader.push(bytes.subarray(at, at + 100), ({ length }) => void received.push(length))
    const copied = spy.mock.calls.reduce((sum, [from]) => sum + from.length, 0)
    spy.mockRestore()
    expect(received).toEqual([bytes.length])
    expect(copied).toBeLessThan(2 * bytes.length)
  })

  test.each([
    { what: 'says nothing', act: (_socket: Socket) => {}, why: /cannot be reached/ },
    {
      what: 'hangs up',
      act: (socket: Socket) => void socket.resume().end(),
      why: /same version of retrap at both ends/,
    },
  ])('a server that takes a connection and $what cannot be reached', async ({ act, why }) => {
    const { at } = await listening(act)
    await expect(connect(at, { reconnectMs: 100 })).rejects.toThrow(why)
  })

  test('a ninth server is refused', async () => {
    const { port: at } = await serve()
    const machine = makeMachine()
    for (let i = 0; i < 7; i++) await connect(at, { name: `s${i}` }, machine)
    await expect(connect(at, { name: 's7' }, machine)).rejects.toThrow(/at most 8/)
  })

  test('loses its connection again and again: each access is made once, and none is lost', async () => {
    const machine = makeMachine({ policy: 'detach' })
    const { dispatch, failures } = machine
    const service = await serveDevices({ address: { port: 0 }, reconnectMs: 2000 }, (server) => {
      for (const model of contractModels(true)) server.attach(model)
    })
    // Between the two, something that cuts connections.
    const pairs: Socket[] = []
    const { at } = await listening((near) => {
      const far = createConnection((service.address as { port: number }).port, '127.0.0.1')
      pairs.push(near, far)
      near.pipe(far).pipe(near)
      for (const socket of [near, far]) socket.on('error', () => {}).on('close', () => (near.destroy(), far.destroy()))
    })
    open.push(service)
    const transport = await connect(at, { name: 'cut', reconnectMs: 2000 }, machine)
    await transport.remote.ready
    const count = 60
    for (let i = 0; i < count; i++) {
      let status = dispatch.submit(0, { ...port, direction: 0, addressLo: REGISTERS + (i & 31), size: 1, dataLo: i })
      // At a different point of each request's way.
      if (i % 3 === 0) await tick(i % 5)
      if (i % 2 === 0) for (const socket of pairs.splice(0)) socket.destroy()
      while (status === index.STATUS_RETRY) {
        await tick()
        status = dispatch.requests.take(0)
      }
      expect(STATUS[status]).toBe('done')
    }
    const saved = (await transport.remote.save()).devices['registers'] as { log: string[] }
    expect(saved.log).toEqual(Array.from({ length: count }, (_, i) => `w1@${i & 31}=${i.toString(16)}`))
    expect(failures).toEqual([])
  })

  test('a receiver that lags holds its sender back', async () => {
    const { raw, transport } = await rawServer()
    raw.socket.pause()
    expect(transport.writable).toBe(true)
    const piece = new Uint8Array(1 << 18)
    for (let i = 0; i < 5; i++) transport.remote.post(piece)
    expect(transport.writable).toBe(false)
    let drained = false
    void transport.drained().then(() => (drained = true))
    await tick(20)
    expect(drained).toBe(false)
    raw.socket.resume()
    await until(() => raw.frames.filter((frame) => frame.kind === 'message').length === 5)
    // Everything up to the last message: hello, the request, five messages.
    raw.put({ kind: 'ack' }, 7)
    await until(() => drained)
    expect(transport.writable).toBe(true)
  })

  test('a receiver may lag time and again: buffered writes go on when it has caught up', async () => {
    const { raw, transport, dispatch } = await rawServer()
    raw.send({ kind: 'claim', type: 1, ranges: [[0xa_0000, 0xa_ffff]], buffered: [[0xa_0000, 0xa_ffff]] })
    const write = { ...createIoRequest(), type: index.IOREQ_TYPE_COPY, direction: 0, addressLo: 0xa_0000, size: 4 }
    await until(() => dispatch.submit(1, write) === index.STATUS_DONE)
    const arrived = (kind: string): number => raw.frames.filter((frame) => frame.kind === kind).length
    await until(() => arrived('buffered') === 1)
    for (let round = 1; round <= 2; round++) {
      raw.socket.pause()
      for (let i = 0; i < 5; i++) transport.remote.post(new Uint8Array(1 << 18))
      expect(transport.writable).toBe(false)
      expect(dispatch.submit(1, write)).toBe(index.STATUS_DONE)
      raw.socket.resume()
      await until(() => arrived('message') === 5 * round)
      expect(arrived('buffered')).toBe(round)
      raw.put({ kind: 'ack' }, raw.frames.length)
      await until(() => arrived('buffered') === round + 1)
    }
  })

  test('a receiver that lags and ends leaves the buffered writes, and the event loop', async () => {
    const { raw, transport, dispatch } = await rawServer()
    raw.send({ kind: 'claim', type: 1, ranges: [[0xa_0000, 0xa_ffff]], buffered: [[0xa_0000, 0xa_ffff]] })
    const write = { ...createIoRequest(), type: index.IOREQ_TYPE_COPY, direction: 0, addressLo: 0xa_0000, size: 4 }
    await until(() => dispatch.submit(1, write) === index.STATUS_DONE)
    raw.socket.pause()
    for (let i = 0; i < 5; i++) transport.remote.post(new Uint8Array(1 << 18))
    expect(transport.writable).toBe(false)
    const plain = Reflect.get(FrameLink.prototype, 'drained') as () => Promise<void>
    const drained = vi.spyOn(FrameLink.prototype, 'drained')
    // A loop of promises would let no timer run, and this test not end.
    drained.mockImplementation(function (this: FrameLink) {
      return drained.mock.calls.length > 100 ? new Promise(() => {}) : plain.call(this)
    })
    expect(dispatch.submit(1, write)).toBe(index.STATUS_DONE)
    transport.close()
    await tick()
    expect(drained.mock.calls.length).toBeLessThan(10)
    drained.mockRestore()
  })

  test('a receiver that takes nothing for ever has failed', async () => {
    const { raw, transport, failures } = await rawServer()
    raw.socket.pause()
    const piece = new Uint8Array(1 << 19)
    for (let i = 0; i < 140 && failures.length === 0; i++) transport.remote.post(piece)
    expect(String(failures[0]?.cause)).toContain('has not taken')
  })
})
