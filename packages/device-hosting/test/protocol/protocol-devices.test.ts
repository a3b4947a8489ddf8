import { intercepted } from '@retrap/device/host'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_TYPE_PIO, IOREQ_WRITE, STATUS_DONE, STATUS_ERROR } from '@retrap/ioreq'
import {
  decodeProtocolFrame,
  encodeProtocolFrame,
  FRAME_TABLE,
  type ProtocolDevicesOptions,
  ProtocolReader,
} from '../../src/protocol/index.ts'
import { makeMachine } from '../machine.ts'
import { FakeServer, type Sparse, turn, word } from './fake-server.ts'

const THERMOMETER: readonly Sparse[] = [
  { kind: 'device', device: 1, flags: 0, name: 'thermometer' },
  { kind: 'range', region: 1, device: 1, space: 1, base: 0xfed9_0000, bytes: 0x1000, maximum: 8 },
  { kind: 'range', region: 2, device: 1, space: 0, base: 0x300, bytes: 16 },
  { kind: 'line', line: 4, device: 1, irq: 5 },
  { kind: 'ready' },
]
const CARD: readonly Sparse[] = [
  { kind: 'device', device: 1, name: 'card' },
  { kind: 'function', function: 3, device: 1, address: 256, vendor: 0x1af4, id: 0x10f0, class: 0x07_0002, pin: 1 },
  { kind: 'bar', region: 7, function: 3, index: 0, type: 1, bytes: 4096 },
  { kind: 'msi', function: 3, vectors: 2, flags: 1 },
  { kind: 'ready' },
]

/** A server that is ready, and answers what `answer` says; what it does not answer waits. */
async function serve(frames: readonly Sparse[], options: ConstructorParameters<typeof FakeServer>[1] = {}, flags = 0) {
  const server = new FakeServer(makeMachine(), options, flags)
  server.welcome()
  server.send(...frames)
  await server.devices.remote.ready
  server.onFrame = (frame) => {
    if (frame.kind === 'read') server.send({ kind: 'answer', call: frame.call, value: { lo: 0x55aa_1234, hi: 0x99 } })
    else if (frame.kind === 'write' && frame.call !== 0)
      server.send({ kind: 'answer', call: frame.call, value: word(0) })
    else if ('call' in frame && frame.call !== 0 && !['write', 'cancel', 'dmaDone'].includes(frame.kind))
      server.send({ kind: 'done', call: frame.call })
  }
  return server
}

const mmio = (addressLo: number, size = 4) => ({ type: IOREQ_TYPE_COPY, direction: IOREQ_READ, addressLo, size })
const port = (addressLo: number, size = 4) => ({ type: IOREQ_TYPE_PIO, direction: IOREQ_READ, addressLo, size })
const out = <T extends object>(fields: T, dataLo: number) => ({ ...fields, direction: IOREQ_WRITE, dataLo })
/** A configuration cycle, by configuration mechanism #1. */
const config = async (server: FakeServer, register: number, size = 4, value?: number): Promise<number> => {
  await server.access(out(port(0xcf8), (0x8000_0000 | (16 << 11) | (register & 0xfc)) >>> 0))
  const data = port(0xcfc + (register & 3), size)
  expect(await server.access(value === undefined ? data : out(data, value))).toBe(STATUS_DONE)
  return server.machine.dispatch.lo
}

test('a server sees region, offset, size and value, and the guest waits for its answer', async () => {
  const server = await serve(THERMOMETER)
  server.machine.clock.time = 5_000_000_000_001n
  const { dispatch } = server.machine
  expect(await server.access(mmio(0xfed9_0010, 8))).toBe(STATUS_DONE)
  expect([dispatch.lo, dispatch.hi]).toEqual([0x55aa_1234, 0x99])
  expect(await server.access(port(0x304, 2))).toBe(STATUS_DONE)
  expect(dispatch.lo).toBe(0x1234)
  expect(await server.access(out(port(0x301, 1), 0x7f), 1)).toBe(STATUS_DONE)
  const accesses = server.got.filter(({ kind }) => kind === 'read' || kind === 'write')
  expect(accesses).toMatchObject([
    { kind: 'read', call: 1, region: 1, offset: 0x10, size: 8, vcpu: 0 },
    { kind: 'read', call: 2, region: 2, offset: 4, size: 2 },
    { kind: 'write', call: 3, region: 2, offset: 1, size: 1, value: word(0x7f), vcpu: 1 },
  ])
  const [first] = server.of('read')
  expect(BigInt(first!.now.hi) * 2n ** 32n + BigInt(first!.now.lo)).toBe(5_000_000_000_001n)
})

test('nobody waits for a buffered write, and the next read comes behind it', async () => {
  const frames = THERMOMETER.map((frame) => (frame.kind === 'range' ? { ...frame, flags: 1 } : frame))
  const server = await serve(frames)
  expect(server.machine.dispatch.submit(0, server.machine.request(out(port(0x304), 7)))).toBe(STATUS_DONE)
  expect(await server.access(port(0x308))).toBe(STATUS_DONE)
  expect(server.got.slice(1)).toMatchObject([
    { kind: 'write', call: 0, region: 2, offset: 4, size: 4, value: word(7), vcpu: 0 },
    { kind: 'read', offset: 8 },
  ])
  expect(server.machine.failures).toEqual([])
})

test('a stage stands in place of a device, and takes it out by surprise: registers and functions read as ones', async () => {
  const staged: string[] = []
  let remove = (): void => {}
  const wrap: NonNullable<ProtocolDevicesOptions['wrap']> = (model, out) => {
    staged.push(model.name)
    remove = out
    return intercepted(model, (method, given) => method(...given))
  }
  const server = await serve(CARD, { wrap })
  expect(staged).toEqual(['card'])
  await config(server, 0x10, 4, 0xe000_0000)
  await config(server, 4, 2, 2)
  expect(await config(server, 0)).toBe(0x10f0_1af4)
  expect(await server.access(mmio(0xe000_0000))).toBe(STATUS_DONE)
  expect(server.machine.dispatch.lo).toBe(0x55aa_1234)
  remove()
  expect(await config(server, 0)).toBe(0xffff_ffff)
  expect(await server.access(mmio(0xe000_0000))).toBe(STATUS_DONE)
  expect(server.machine.dispatch.lo).toBe(0xffff_ffff)
  expect(server.of('read')).toHaveLength(1)
})

test('lines, timers and DMA are the machine’s; what a server does before its answer is there with it', async () => {
  const server = await serve(THERMOMETER)
  const { events, ram, clock, timers } = server.machine
  ram.set([1, 2, 3, 4], 0x100)
  const dma: number[][] = []
  server.onFrame = (frame) => {
    if (frame.kind === 'read')
      server.send(
        { kind: 'setLine', line: 4, level: 1 },
        { kind: 'dmaWrite', device: 1, address: 0x200, bytes: Uint8Array.of(9, 8, 7) },
        { kind: 'dmaRead', call: 77, device: 1, address: 0x100, length: 4 },
        { kind: 'armTimer', timer: 2, device: 1, deadline: word(1000) },
        { kind: 'answer', call: frame.call, value: word(1) },
      )
    if (frame.kind === 'dmaDone') dma.push([frame.call, frame.ok, ...frame.bytes])
    if (frame.kind === 'timer') server.send({ kind: 'setLine', line: 4, level: 0 }, { kind: 'done', call: frame.call })
  }
  expect(await server.access(port(0x300))).toBe(STATUS_DONE)
  expect(events).toEqual(['irq5=1'])
  expect([...ram.subarray(0x200, 0x203)]).toEqual([9, 8, 7])
  await turn()
  expect(dma).toEqual([[77, 1, 1, 2, 3, 4]])
  clock.time = 999
  timers.expire()
  await turn()
  expect(server.of('timer')).toEqual([])
  clock.time = 1001
  timers.expire()
  await server.devices.remote.settle()
  expect(server.of('timer')).toMatchObject([{ timer: 2, deadline: word(1000), now: word(1001) }])
  expect(events).toEqual(['irq5=1', 'irq5=0'])
})

test('the machine keeps configuration space: identity, sizing, decoding, and no frame of it', async () => {
  const server = await serve(CARD)
  const read = (register: number): Promise<number> => config(server, register)
  const write = (register: number, value: number, size = 4) => config(server, register, size, value)
  expect(await read(0)).toBe(0x10f0_1af4)
  expect(await read(8)).toBe(0x0700_0200)
  await write(0x10, 0xffff_ffff)
  expect(await read(0x10)).toBe(0xffff_f000)
  await write(0x10, 0xe000_0000)
  await write(4, 2, 2)
  expect(server.got.filter(({ kind }) => kind !== 'hello')).toEqual([])
  expect(await server.access(mmio(0xe000_0008))).toBe(STATUS_DONE)
  expect(server.of('read')).toMatchObject([{ region: 7, offset: 8, size: 4 }])
  // A wide access is two of the device's.
  expect(await server.access(mmio(0xe000_0010, 8))).toBe(STATUS_DONE)
  expect(server.of('read').slice(1)).toMatchObject([
    { offset: 16, size: 4 },
    { offset: 20, size: 4 },
  ])
})

test('an interrupt is the pin until the guest has switched messages on, and waits while it is masked', async () => {
  const server = await serve(CARD)
  const { events } = server.machine
  const level = (vector: number, on: number): void => server.send({ kind: 'interrupt', function: 3, vector, level: on })
  const write = (register: number, value: number, size = 4) => config(server, register, size, value)
  await write(4, 6, 2)
  level(0, 1)
  level(1, 1)
  level(0, 0)
  expect(events).toEqual(['pci16.1=1'])
  level(1, 0)
  expect(events.splice(0)).toEqual(['pci16.1=1', 'pci16.1=0'])
  level(0, 1)
  const msi = await config(server, 0x34, 1)
  await write(msi + 4, 0xfee0_1000)
  await write(msi + 12, 0x40, 2)
  await write(msi + 2, 0x11, 2)
  // The pin falls as messages are on.
  expect(events.splice(0)).toEqual(['pci16.1=1', 'pci16.1=0'])
  level(1, 1)
  expect(events.splice(0)).toEqual(['msi fee01000 65'])
  await write(msi + 16, 1)
  level(0, 0)
  level(0, 1)
  expect(events.splice(0)).toEqual([])
  await write(msi + 16, 0)
  expect(events.splice(0)).toEqual(['msi fee01000 64'])
})

test('a device reaches memory while it may be a bus master, and within its bounds', async () => {
  const server = await serve(CARD, { bounds: { first: 0x1000, last: 0x1fff } })
  const done: number[] = []
  const copy = async (address: number, length = 16): Promise<number | undefined> => {
    server.onFrame = (frame) => {
      if (frame.kind === 'dmaDone') done.push(frame.ok)
    }
    server.send({ kind: 'dmaRead', call: 1, device: 1, address, length })
    await turn()
    return done.pop()
  }
  expect(await copy(0x1000)).toBe(0)
  await config(server, 4, 2, 4)
  expect(await copy(0x1000)).toBe(1)
  expect(await copy(0x1ff0)).toBe(1)
  expect(await copy(0x1ff1)).toBe(0)
  expect(await copy(0xfff)).toBe(0)
})

test('state is the server’s bytes, and the causes of interrupts with them', async () => {
  const server = await serve(CARD)
  const answer = server.onFrame
  server.onFrame = (frame) => {
    if (frame.kind === 'save') server.send({ kind: 'done', call: frame.call, result: Uint8Array.of(5, 6, 7) })
    else answer(frame)
  }
  server.send({ kind: 'interrupt', function: 3, vector: 0, level: 1 })
  const { remote } = server.devices
  await remote.quiesce(1000)
  const state = await remote.save()
  remote.resume()
  await remote.settle()
  const other = await serve(CARD)
  await other.devices.remote.restore(state)
  expect(other.of('restore')).toMatchObject([{ device: 1, state: Uint8Array.of(5, 6, 7) }])
  // It is driven as before, and falls with its cause.
  other.machine.events.length = 0
  other.send({ kind: 'interrupt', function: 3, vector: 0, level: 0 })
  expect(other.machine.events).toEqual(['pci16.1=0'])
  expect(server.got.map(({ kind }) => kind)).toEqual(['hello', 'quiesce', 'save', 'resume'])
})

test('memory of a device is read and written within its bounds, and by a device that is there', async () => {
  const server = await serve([
    ...CARD.slice(0, -1),
    { kind: 'memory', memory: 2, device: 1, bytes: 4096, name: 'vram' },
    { kind: 'device', device: 5, flags: 2, name: 'offered' },
    { kind: 'ready' },
  ])
  server.send(
    { kind: 'memoryWrite', call: 1, memory: 2, offset: 4094, bytes: Uint8Array.of(1, 2) },
    { kind: 'memoryWrite', call: 2, memory: 2, offset: 4095, bytes: Uint8Array.of(1, 2) },
    { kind: 'memoryRead', call: 3, memory: 2, offset: 4094, length: 2 },
    { kind: 'memoryRead', call: 4, memory: 2, offset: 4095, length: 2 },
    { kind: 'dmaRead', call: 5, device: 5, address: 0, length: 2 },
  )
  await turn()
  const done = server.of('dmaDone').toSorted((a, b) => a.call - b.call)
  expect(done.map(({ call, ok, bytes }) => [call, ok, ...bytes])).toEqual([
    [1, 1],
    [2, 0],
    [3, 1, 1, 2],
    [4, 0],
    [5, 0],
  ])
})

test('a connection that broke is made again: each frame arrives once', async () => {
  const server = await serve(THERMOMETER, {}, 1)
  server.onFrame = () => {}
  const reading = server.access(port(0x300))
  await turn()
  expect(server.of('read').length).toBe(1)
  // The frame has not arrived, as far as the server knows.
  server.received = 0
  server.devices.end.disconnected()
  server.send({ kind: 'setLine', line: 4, level: 1 })
  server.connect()
  const hello = server.of('hello')[1]!
  expect(hello).toMatchObject({ session: { lo: 7, hi: 9 }, received: THERMOMETER.length + 1 })
  server.onFrame = (frame) => {
    if (frame.kind === 'read') server.send({ kind: 'answer', call: frame.call, value: word(42) })
  }
  server.welcome({ session: { lo: 7, hi: 9 }, received: 0 })
  expect(await reading).toBe(STATUS_DONE)
  expect(server.machine.dispatch.lo).toBe(42)
  expect(server.of('read').length).toBe(2)
  expect(server.machine.failures).toEqual([])
})

test('frames that come with `ready` are the devices’, and a welcome may be lost', async () => {
  const server = new FakeServer(makeMachine(), {}, 1)
  server.devices.end.disconnected()
  server.connect()
  server.welcome({ session: { lo: 7, hi: 9 } })
  server.send(...THERMOMETER, { kind: 'setLine', line: 4, level: 1 })
  await server.devices.remote.ready
  expect(server.machine.events).toEqual(['irq5=1'])
})

test('a connection that breaks before the welcome is made again, to a server of any kind', async () => {
  const server = new FakeServer(makeMachine())
  server.devices.end.disconnected()
  expect(server.devices.end.resumable).toBe(true)
  server.connect()
  server.welcome()
  server.send(...THERMOMETER)
  await server.devices.remote.ready
  expect(server.devices.end.resumable).toBe(false)
})

test('a device that cannot go on leaves the others of its server; the last one ends the server', async () => {
  const clock: Sparse[] = [
    { kind: 'device', device: 2, name: 'clock' },
    { kind: 'range', region: 9, device: 2, space: 0, base: 0x400, bytes: 4 },
  ]
  const server = await serve([...clock, ...THERMOMETER])
  const { failures } = server.machine
  server.onFrame = (frame) => {
    if (frame.kind !== 'read') return
    if (frame.region === 9) server.send({ kind: 'fault', device: 2, message: 'stopped' })
    // An answer behind a fault is one to a call that has failed.
    server.send({ kind: 'answer', call: frame.call })
  }
  expect(await server.access(port(0x400))).toBe(STATUS_ERROR)
  server.send({ kind: 'fault', device: 2, message: 'stopped still' })
  expect(await server.access(port(0x304))).toBe(STATUS_DONE)
  expect(failures.map(({ device, request, cause }) => [device, request, String(cause)])).toEqual([
    ['clock', 'port read of 4 bytes at 0x400', expect.stringMatching(/stopped$/)],
    ['clock', 'between calls', expect.stringMatching(/stopped still$/)],
  ])
  server.send({ kind: 'fault', device: 1, message: 'on fire' })
  expect([String(failures[2]?.cause), server.closed]).toEqual([expect.stringMatching(/thermometer: on fire/), true])
})

test.each<readonly [string, (server: FakeServer) => void, RegExp]>([
  ['answers twice', (server) => server.send({ kind: 'answer', call: 9 }), /call 9, which is not open/],
  ['names what is not there', (server) => server.send({ kind: 'setLine', line: 99, level: 1 }), /line 99/],
  ['declares late', (server) => server.send({ kind: 'device', device: 8, name: 'late' }), /after it was ready/],
  [
    'asks for more than a frame holds',
    (server) => server.send({ kind: 'dmaRead', call: 1, device: 1, length: 2 ** 40 }),
    / of its dmaRead frame is 1099511627776/,
  ],
  ['sends no frame', (server) => server.raw(new Uint8Array(16)), /a frame of 0 bytes/],
  ['sends the machine’s frames', (server) => server.send({ kind: 'read' } as never), /a read frame/],
  [
    'says that it is broken',
    (server) => server.send({ kind: 'fault', device: 1, message: 'on fire' }),
    /thermometer: on fire/,
  ],
  ['says bye', (server) => server.send({ kind: 'bye', why: 'good night' } as never), /good night/],
  [
    'is started anew',
    (server) => (server.devices.end.disconnected(), server.connect(), server.welcome()),
    /lost its state/,
  ],
])('a server that %s fails with a sentence, and is told', async (_what, act, why) => {
  const server = await serve(THERMOMETER, {}, 1)
  act(server)
  await turn()
  expect(String(server.machine.failures[0]?.cause)).toMatch(why)
  expect(server.closed).toBe(true)
  expect(server.of('bye').length).toBe(1)
})

test.each<readonly [string, (server: FakeServer) => void, RegExp]>([
  ['another version', (server) => server.welcome({ version: 4 }), /version 4: expected 5/],
  ['no welcome', (server) => server.send({ kind: 'ready' }), /its first frame is ready/],
  ['a device twice', (server) => (server.welcome(), server.send(THERMOMETER[0]!, THERMOMETER[0]!)), /name|twice/],
  [
    'a BAR of no power of two',
    (server) => (
      server.welcome(),
      server.send(...CARD.map((frame) => (frame.kind === 'bar' ? { ...frame, bytes: 100 } : frame)))
    ),
    /power of two/,
  ],
])('a server with %s is refused', async (_what, act, why) => {
  const server = new FakeServer(makeMachine())
  act(server)
  await expect(server.devices.remote.ready).rejects.toThrow(why)
})

test('frames come back as they were, however a stream is cut', () => {
  const kinds = Object.entries(FRAME_TABLE)
  const valueOf = { number: fc.maxSafeNat(), word: fc.record({ lo: fc.nat(0xffff_ffff), hi: fc.nat(0xffff_ffff) }) }
  const values = { ...valueOf, text: fc.string({ unit: 'grapheme' }), bytes: fc.uint8Array({ maxLength: 40 }) }
  const frame = fc
    .constantFrom(...kinds)
    .chain(([kind, { fields }]) =>
      fc
        .tuple(...fields.map(([, type]) => values[type] as fc.Arbitrary<unknown>))
        .map((given) => ({ kind, ...Object.fromEntries(fields.map(([name], i) => [name, given[i]])) })),
    )
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(60), { maxLength: 20 }), (frames, cuts) => {
      const stream = Buffer.concat(frames.map((each) => encodeProtocolFrame(each as never, 5)))
      const reader = new ProtocolReader()
      const got: unknown[] = []
      let at = 0
      for (const cut of [...cuts, stream.length]) {
        // A chunk of its own, as a socket's.
        reader.push(Uint8Array.from(stream.subarray(at, at + cut)), ({ frame: each }) =>
          got.push(structuredClone(each)),
        )
        at = Math.min(stream.length, at + cut)
      }
      expect(got).toEqual(frames)
    }),
  )
})

test('bytes that are no frame are refused, and hold nobody', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 80 }), (bytes) => {
      try {
        decodeProtocolFrame(bytes)
      } catch (error) {
        expect((error as { code?: string }).code).toBe('ERR_PROTOCOL')
      }
    }),
  )
})
