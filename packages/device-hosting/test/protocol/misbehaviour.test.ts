// Device servers that take more than their part, or do not keep to the protocol: the machine goes on, or ends with one sentence.
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { sliceTests } from '@retrap/tooling/slice'
import { afterEach, describe, expect, vi } from 'vitest'
import { pumpFrames } from '../../src/node/frame-pump.ts'
import {
  encodeProtocolFrame,
  FRAME_TABLE,
  ProtocolDevices,
  type ProtocolFrame,
  ProtocolReader,
} from '../../src/protocol/index.ts'
import * as index from '@retrap/ioreq'
import { IoreqError } from '@retrap/ioreq'
import { makeMachine, STATUS } from '../machine.ts'
import { FakeServer, filled, type Sparse, turn, word } from './fake-server.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(3)

const DEVICE: readonly Sparse[] = [
  { kind: 'device', device: 1, name: 'thermometer' },
  { kind: 'range', region: 2, device: 1, space: 0, base: 0x300, bytes: 16 },
  { kind: 'line', line: 4, device: 1, irq: 5 },
]
const READY: Sparse = { kind: 'ready' }
const port = { type: index.IOREQ_TYPE_PIO, direction: index.IOREQ_READ, addressLo: 0x300, size: 4 }
const FLOODS: readonly (readonly [string, (i: number) => Sparse])[] = [
  ['interrupts', (i) => ({ kind: 'setLine', line: 4, level: i & 1 })],
  ['timers', (i) => ({ kind: 'armTimer', timer: 1, device: 1, deadline: word(1e9 + i) })],
  ['lines of text', () => ({ kind: 'log', text: 'again and again' })],
  ['requests for memory', () => ({ kind: 'dmaRead', call: 1, device: 1, address: 0, length: 4096 })],
]

/** A stream whose other end is the test. */
class Far extends Duplex {
  taken = 0
  /** Whether what is written is taken. */
  takes = true
  readonly got: ProtocolFrame[] = []
  readonly #reader = new ProtocolReader()
  #later: (() => void)[] = []

  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (!this.takes) return void this.#later.push(() => this._write(chunk, '', done))
    this.taken += chunk.length
    this.#reader.push(new Uint8Array(chunk), ({ frame }) => void this.got.push(frame))
    setImmediate(done)
  }
  takeAgain(): void {
    this.takes = true
    for (const each of this.#later.splice(0)) each()
  }
  say(...frames: readonly Sparse[]): void {
    this.push(Buffer.concat(frames.map((frame) => encodeProtocolFrame(filled(frame)))))
  }
}

afterEach(() => void vi.useRealTimers())

/** A machine whose server is at the other end of a stream, and ready. */
async function serve(policy: 'crash' | 'detach' = 'detach', now?: () => number) {
  const machine = makeMachine({ policy })
  const far = new Far()
  const told: string[] = []
  const devices = new ProtocolDevices(machine.dispatch, machine.platform, {
    ...{ name: 'far', realTime: false },
    onLog: (text) => told.push(text),
  })
  const tell = (text: string): void => void told.push(text)
  pumpFrames({ end: devices.end, stream: far, tell, ...(now && { now }) })
  far.say({ kind: 'welcome', version: 5, name: 'far' }, ...DEVICE, READY)
  await devices.remote.ready
  return { ...machine, far, devices, told }
}

describe('a server that sends as fast as it can', () => {
  /** Milliseconds of the host that each frame takes, by a clock that a look at it moves. */
  const FRAME_MS = 0.05
  test.each(FLOODS)('%s takes a millisecond of a turn of the event loop, and loses none', async (_what, flood) => {
    let looks = 0
    const { far, failures, devices } = await serve('detach', () => looks++ * FRAME_MS)
    const before = far.got.length
    const count = 2000
    let most = 0
    for (let i = 0; i < count; i += 500) far.say(...Array.from({ length: 500 }, (_each, n) => flood(i + n)))
    // It is all there when this has its answer.
    far.say({ kind: 'dmaRead', call: 99, device: 1, address: 0, length: 1 })
    let seen = looks
    const isDone = (): boolean => far.got.slice(before).some((frame) => frame.kind === 'dmaDone' && frame.call === 99)
    for (let turns = 0; !isDone() && turns < 100_000; turns++) {
      await nextTurn()
      most = Math.max(most, looks - seen)
      seen = looks
    }
    expect(most).toBeLessThanOrEqual(2 * (1 / FRAME_MS + 2))
    expect(looks).toBeGreaterThan(count)
    expect([isDone(), failures, devices.end.moving]).toEqual([true, [], 0])
  })
})

test('a server that logs without end is heard for 1 MB in a second, and the other lines are counted', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const server = new FakeServer(makeMachine({ policy: 'detach' }))
  server.welcome()
  const line = 'x'.repeat(936)
  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 4000; i++) server.send({ kind: 'log', text: line })
    vi.advanceTimersByTime(1000)
  }
  server.devices.end.close('the end')
  const counts = server.logs.filter((text) => text !== line)
  expect(server.logs).toHaveLength(3003)
  expect(counts).toEqual(Array(3).fill('3000 lines more were dropped: it logs more than 1 MB in a second'))
})

test('a server that takes no answers has its frames wait, in bounded memory, and is told of', async () => {
  const { far, failures, told, dispatch, request } = await serve()
  const LENGTH = 1 << 16
  const count = 300
  far.takes = false
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const read = { kind: 'dmaRead', call: 1, device: 1, address: 0, length: LENGTH } as const
  far.say(...Array.from({ length: count }, (_each, i) => ({ ...read, call: i + 1 })))
  for (let i = 0; i < 50; i++) await nextTurn()
  const most = (1 << 23) + 4 * LENGTH
  expect(far.writableLength).toBeLessThan(most)
  vi.advanceTimersByTime(10_001)
  vi.useRealTimers()
  expect(told).toEqual([expect.stringMatching(/^it has not taken \d+ bytes of answers for 10 s: its frames wait/)])
  // The guest waits as well, as for any server that is slow.
  expect(dispatch.submit(0, request(port))).toBe(index.STATUS_RETRY)
  far.takeAgain()
  await expect.poll(() => far.got.filter(({ kind }) => kind === 'dmaDone').length).toBe(count)
  const calls = far.got.flatMap((frame) => (frame.kind === 'dmaDone' ? [frame.call] : []))
  expect(calls).toEqual(Array.from({ length: count }, (_each, i) => i + 1))
  far.say({ kind: 'answer', call: far.got.find((frame) => frame.kind === 'read')!.call, value: word(5) })
  await expect.poll(() => STATUS[dispatch.requests.take(0)]).toBe('done')
  expect(failures).toEqual([])
})

/** Kinds of frames that a server answers. */
const ASKED = Object.entries(FRAME_TABLE).flatMap(([kind, { from, fields }]) =>
  from === 'machine' && (kind === 'hello' || (fields[0]?.[0] === 'call' && !['cancel', 'dmaDone'].includes(kind)))
    ? [kind]
    : [],
)
const LIMIT_MS = 20
/** What the machine waits for, with the sentence where there is no answer. */
const LATE: Readonly<Record<string, string>> = {
  hello: 'device server fake: it was not ready within 0.02 s: it has not answered hello with welcome',
  read: 'no answer within 20 ms',
  write: 'no answer within 20 ms',
  quiesce: 'fake: quiesce failed: thermometer: quiesce took longer than 20 ms',
  save: 'fake: save took longer than 20 ms',
  restore: 'fake: restore took longer than 20 ms',
}

test.each(ASKED)(
  'a server that never answers %s holds no request of the machine beyond its deadline',
  async (silent) => {
    const machine = makeMachine({ policy: 'detach', deadlineMs: LIMIT_MS })
    const server = new FakeServer(machine, silent === 'hello' ? { readyMs: LIMIT_MS } : {})
    const { remote } = server.devices
    const said: string[] = []
    const isSaid = async (request: Promise<unknown>): Promise<void> => {
      const hangs = sleep(10_000, 'hangs', { ref: false })
      said.push(String(await Promise.race([request.then(() => 'done').catch(({ message }: Error) => message), hangs])))
    }
    if (silent !== 'hello') server.welcome()
    server.send(...(silent === 'hello' ? [] : [...DEVICE, READY, { kind: 'armTimer', timer: 1, device: 1 } as const]))
    await isSaid(remote.ready)
    server.onFrame = (frame) => {
      if (frame.kind === silent || !('call' in frame) || frame.kind === 'cancel' || frame.kind === 'dmaDone') return
      if (frame.kind !== 'read' && frame.kind !== 'write') server.send({ kind: 'done', call: frame.call })
      else server.send({ kind: 'answer', call: frame.call, value: word(0) })
    }
    machine.timers.expire()
    for (const act of [
      () => remote.quiesce(LIMIT_MS),
      () => remote.save(LIMIT_MS),
      async () => remote.resume(),
      () => remote.restore(SAVED, LIMIT_MS),
      async () => remote.reset(),
      ...[index.IOREQ_READ, index.IOREQ_WRITE].map((direction) => () => server.access({ ...port, direction })),
    ])
      if (silent !== 'hello') await isSaid(act())
    said.push(...machine.failures.map(({ cause }) => (cause as Error).message))
    server.devices.close()
    expect([...new Set(said)].filter((each) => each !== 'done')).toEqual(silent in LATE ? [LATE[silent]] : [])
  },
)
const SAVED = {
  version: 2,
  functions: {},
  detached: [],
  devices: { thermometer: { version: 1, bytes: word(0), causes: {} } },
} as const

const CARD: Sparse = { kind: 'function', function: 3, device: 1, address: 256, vendor: 0x1af4 }
test.each<readonly [string, readonly Sparse[], (i: number) => Sparse, RegExp]>([
  ['devices', [], (i) => ({ kind: 'device', device: i + 9, name: `d${i}` }), /more than 4096 of kind device/],
  ['lines', [], (i) => ({ kind: 'line', line: i + 9, device: 1, irq: 5 }), /more than 4096 of kind line/],
  [
    'windows',
    [{ kind: 'memory', memory: 1, device: 1, bytes: 4096, name: 'm' }],
    (i) => ({ kind: 'window', memory: 1, base: i * 4096 }),
    /more than 256 windows of a device/,
  ],
  [
    'capabilities',
    [CARD],
    () => ({ kind: 'capability', function: 3, id: 9, body: new Uint8Array(4096) }),
    /more than 64 capabilities/,
  ],
  [
    'long bodies',
    [CARD],
    () => ({ kind: 'capability', function: 3, id: 9, body: new Uint8Array(1e6) }),
    /body of its capability frame is 1000000 bytes/,
  ],
  ['long buses', [], () => ({ ...CARD, bus: 'b'.repeat(1e6) }), /bus of its function frame is 1000000 characters/],
  [
    'long names',
    [],
    () => ({ kind: 'memory', memory: 1, device: 1, bytes: 4096, name: 'm'.repeat(1e6) }),
    /name of its memory frame is 1000000/,
  ],
  ['one thing twice', [], () => ({ kind: 'line', line: 4, device: 1, irq: 5 }), /declares line 4 twice/],
])('a server that declares %s for ever is refused with one sentence', async (_what, first, more, why) => {
  const server = new FakeServer(makeMachine())
  server.welcome()
  server.send(...DEVICE, ...first)
  for (let i = 0; i < 5000 && !server.closed; i++) server.send(more(i))
  await expect(server.devices.remote.ready).rejects.toThrow(why)
  expect(server.of('bye')).toEqual([{ kind: 'bye', why: expect.stringMatching(why) as string }])
})

test.each<readonly [Sparse, RegExp]>([
  [{ kind: 'setLine', line: 4, level: 7 }, /level of its setLine frame is 7: expected 0 or 1/],
  [{ kind: 'setLine', line: 7, level: 1 }, /it names line 7, which it has not declared/],
  [{ kind: 'interrupt', function: 3, level: 2 }, /level of its interrupt frame is 2: expected 0 or 1/],
  [{ kind: 'interrupt', function: 9, level: 1 }, /it names function 9, which it has not declared/],
  [{ kind: 'exit', status: 2 ** 32 }, /status of its exit frame is 4294967296: expected at most 4294967295/],
  [{ kind: 'line', line: 9, device: 1, irq: 5 }, /it sent a line frame after it was ready/],
])('a frame that does not keep to the document closes the connection, early or late: %o', async (frame, why) => {
  for (const isEarly of [true, false]) {
    const server = new FakeServer(makeMachine({ policy: 'detach' }))
    server.welcome()
    server.send(...DEVICE, READY, ...(isEarly ? [frame] : []))
    await server.devices.remote.ready.catch(() => {})
    if (!isEarly) server.send(frame)
    expect(server.of('bye')).toEqual([{ kind: 'bye', why: expect.stringMatching(why) as string }])
    expect(server.closed).toBe(true)
  }
})

test('a server that says that it goes on, and acknowledges nothing, has little kept for it', async () => {
  const server = new FakeServer(makeMachine({ policy: 'detach' }), {}, 1)
  server.welcome()
  server.send(...DEVICE, READY)
  await server.devices.remote.ready
  server.onFrame = () => (server.received = 0)
  for (let i = 0; i < 40_000 && !server.closed; i += 100) {
    server.received = 0
    server.send(...Array.from({ length: 100 }, () => ({ kind: 'dmaRead', call: 1, device: 1 }) as const))
    await nextTurn()
  }
  expect(String(server.machine.failures[0]?.cause)).toMatch(/has not acknowledged the last 32768 frames/)
  expect(server.machine.failures.length).toBe(1)
})

test('the answer to a cancelled call is dropped, and a second one ends the server', async () => {
  const server = new FakeServer(makeMachine({ policy: 'detach' }))
  server.welcome()
  server.send(...DEVICE, READY)
  await server.devices.remote.ready
  const { dispatch, request, failures } = server.machine
  expect(dispatch.submit(0, request(port))).toBe(index.STATUS_RETRY)
  await turn()
  dispatch.requests.cancel(0)
  await turn()
  const [{ call }] = server.of('read') as [ProtocolFrame<'read'>]
  expect(server.of('cancel')).toEqual([{ kind: 'cancel', call }])
  server.send({ kind: 'answer', call, value: word(13) })
  await turn()
  server.onFrame = (frame) => {
    if (frame.kind === 'read') server.send({ kind: 'answer', call: frame.call, value: word(7) })
  }
  expect(await server.access(port)).toBe(index.STATUS_DONE)
  expect([dispatch.lo, failures]).toEqual([7, []])
  server.send({ kind: 'answer', call, value: word(13) })
  expect(failures.map(({ cause }) => String(cause))).toEqual([
    expect.stringContaining(`call ${call}, which is not open`),
  ])
})

test('a timer that is armed for the past within its own call lets the guest’s time go on', async () => {
  const server = new FakeServer(makeMachine())
  server.welcome()
  server.send(...DEVICE, READY)
  await server.devices.remote.ready
  server.onFrame = (frame) => {
    if (frame.kind !== 'timer') return
    server.send({ kind: 'armTimer', timer: 1, device: 1, deadline: word(0) }, { kind: 'done', call: frame.call })
  }
  const { clock, timers } = server.machine
  clock.time = 5_000_000
  server.send({ kind: 'armTimer', timer: 1, device: 1, deadline: word(0) })
  for (let i = 0; i < 10; i++) {
    expect(timers.nextDeadlineNs).toBe(i === 0 ? 0 : 5_000_000 + i * 1000)
    clock.time = Math.max(clock.now(), timers.nextDeadlineNs)
    timers.expire()
    await server.devices.remote.settle()
  }
  expect(server.of('timer').length).toBe(10)
})

test.each([
  { policy: 'crash' as const, status: index.STATUS_ERROR },
  { policy: 'detach' as const, status: index.STATUS_UNHANDLED },
])('a server that is gone while the guest waits has one sentence: policy $policy', async ({ policy, status }) => {
  const { far, devices, dispatch, request, failures } = await serve(policy)
  expect(dispatch.submit(0, request(port))).toBe(index.STATUS_RETRY)
  await turn()
  // What it has said before that is heard.
  far.say({ kind: 'fault', device: 1, message: 'no more' })
  far.push(null)
  far.on('close', () => devices.end.disconnected(new IoreqError('ERR_DEVICE', 'it has closed the connection')))
  await expect.poll(() => failures.length).toBe(1)
  expect(String(failures[0]!.cause)).toMatch(/thermometer: no more/)
  expect(STATUS[dispatch.requests.take(0)]).toBe(STATUS[status])
})
