/** Runs that are recorded and run again: inputs come at their instants, whatever the host does. */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import * as R from '@retrap/recording'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect, vi } from 'vitest'
import { createPc, Pc, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { CheckpointTaker, type LogPosition } from '../src/recording/checkpoints.ts'
import { describeRun } from '../src/recording/description.ts'
import { PC_RUNS } from '../src/recording/pc-runs.ts'
import { BackEndGate } from '../src/recording/back-end-gate.ts'
import { RecordGate } from '../src/recording/record-gate.ts'
import { ReplayGate } from '../src/recording/replay-gate.ts'
import { EXIT_PORT as ECHO_EXIT_PORT, LAST as LAST_ECHO, echoFirmware } from './support/echo-guest.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { medium } from './support/media.ts'
import { COUNT_ADDRESS, EXIT_PORT, LAST, pollingKernel, pollingResult } from './support/polling-guest.ts'

// The machine is booted for each.
const test = sliceTests(4)

const IMAGE = Uint8Array.from({ length: 1 << 16 }, (_, i) => (i * 131) ^ (i >> 8))

/** A disk that takes its time. */
const slowDisk = () => medium(IMAGE, () => (Math.random() < 0.5 ? turn() : sleep(1)))

const options = (cpus: 1 | 2, jit: boolean, disk = slowDisk()): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  cpus,
  jit,
  clock: 'deterministic',
  kernel: pollingKernel(cpus),
  drives: [{ medium: disk }],
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

/** The bytes of a file that was written in pieces. */
const bytesOf = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces))

const sourceOf = (file: Uint8Array) => ({
  bytes: file.length,
  read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes),
})

/** Types to a machine at instants that only the host knows. */
async function typeTo(pc: Pc): Promise<void> {
  for (let i = 0; i < 12; i++) {
    await (i % 3 === 0 ? sleep(2) : turn())
    if (i % 2 === 0) pc.serial.receive(Uint8Array.of(65 + i))
    else await pc.keyboard.type('a')
  }
  while (pollingResult(pc).count < 40) await turn()
  pc.serial.receive(Buffer.from(LAST))
}

async function record(cpus: 1 | 2, jit: boolean): Promise<{ file: Uint8Array; result: object; instructions: number }> {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(cpus, jit), (piece) => void pieces.push(piece.slice()))
  const { pc } = recorder
  kept(pc)
  const running = pc.run({ timeoutMs: 100_000 })
  await typeTo(pc)
  recorder.mark('typed')
  expect(await running).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  return { file: bytesOf(pieces), result: pollingResult(pc), instructions: recorder.instructions }
}

describe.each([
  { cpus: 1, recorded: false, replayed: true },
  { cpus: 1, recorded: true, replayed: false },
  { cpus: 2, recorded: true, replayed: false },
  { cpus: 2, recorded: false, replayed: true },
] as const)(
  '$cpus vCPUs, recorded with JIT $recorded and run again with JIT $replayed',
  ({ cpus, recorded, replayed }) => {
    test('bytes, keys and sectors come after the same instructions', { timeout: 60_000 }, async () => {
      const { file, result, instructions } = await record(cpus, recorded)
      expect(result).toMatchObject({ count: expect.toSatisfy((count: number) => count > 40) })
      // The disk is not read.
      const unread = medium(new Uint8Array(1 << 16), () => Promise.reject(new Error('a replay reads the disk')))
      const replay = kept(await replayPc(options(cpus, replayed, unread), sourceOf(file)))
      expect(replay.end).toBe(instructions)
      expect(await replay.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
      expect(pollingResult(replay.pc)).toEqual(result)
      expect(replay.instructions).toBe(instructions)
    })
  },
)

test(
  'a replay goes to any instruction, forwards and backwards, and is the same there',
  { timeout: 60_000 },
  async () => {
    const { file, result } = await record(1, false)
    const pcs: Pc[] = []
    const replay = kept(await replayPc(options(1, true), sourceOf(file), { onMachine: (pc) => void pcs.push(pc) }))
    const middle = Math.floor(replay.end / 2) + 1
    const seen = new Map<number, unknown>()
    for (const at of [middle - 1, middle, middle + 1234, middle, middle - 1, middle + 1234]) {
      expect(await replay.goto(at)).toEqual({ reason: 'arrived' })
      expect(replay.instructions).toBe(at)
      const { state, pages } = await replay.pc.save()
      const now = { state, pages }
      if (seen.has(at)) expect(now).toEqual(seen.get(at))
      seen.set(at, now)
    }
    // It was put back.
    expect(pcs.length).toBe(1)
    const [mark] = replay.marks
    expect(mark).toMatchObject({ name: 'typed' })
    expect(await replay.goto(mark!.instructions)).toEqual({ reason: 'arrived' })
    expect(await replay.run()).toMatchObject({ reason: 'debug-exit' })
    expect(pollingResult(replay.pc)).toEqual(result)
    await expect(replay.goto(replay.end + 1)).rejects.toMatchObject({ code: 'ERR_OPTION' })
  },
)

test('what comes by timers enters as it does without a recorder, and so again', { timeout: 60_000 }, async () => {
  const typed = async (pc: Pc, create: (callback: () => void) => { armAfter(ns: number): void }) => {
    let left = 45
    const timer = create(() => {
      pc.serial.receive(left > 0 ? Uint8Array.of(65 + (left % 26)) : Buffer.from(LAST))
      if (left-- > 0) timer.armAfter(70_000)
    })
    timer.armAfter(1000)
    expect(await kept(pc).run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
    return { ...pollingResult(pc), instructions: pc.domain.instructions }
  }
  const plain = await createPc(options(2, true))
  const result = await typed(plain, (callback) => plain.domain.timers.create(callback))
  const pieces: Uint8Array[] = []
  const write = (piece: Uint8Array) => void pieces.push(piece.slice())
  const recorder = await recordPc(options(2, false), write, { isTimed: true })
  expect(await typed(recorder.pc, (callback) => recorder.timer(callback))).toEqual(result)
  await recorder.end()
  const replay = kept(await replayPc(options(2, true), sourceOf(bytesOf(pieces)), { checkpointMs: 0 }))
  for (const part of [0.7, 0.3]) await replay.goto(Math.floor(replay.end * part))
  expect(await replay.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  expect({ ...pollingResult(replay.pc), instructions: replay.instructions }).toEqual(result)
})

test.each([
  ['without', Infinity],
  ['with', 0],
])(
  'checkpoints change nothing: a run is recorded %s them, and replayed with as many as there can be',
  async (_, checkpointMs) => {
    const echo = (): PcOptions => ({
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      clock: 'deterministic',
      firmware: echoFirmware(),
      devices: [new DebugExit({ iobase: ECHO_EXIT_PORT })],
    })
    const pieces: Uint8Array[] = []
    const recorder = await recordPc(echo(), (piece) => void pieces.push(piece.slice()), { checkpointMs })
    const { pc } = recorder
    kept(pc)
    let heard = ''
    let wake = (): void => {}
    pc.serial.onTransmit((bytes) => {
      heard += Buffer.from(bytes).toString('latin1')
      wake()
    })
    const running = pc.run({ timeoutMs: 100_000 })
    for (const each of [...'abcdefghijklmnopqrstuvwxyz'.replace(LAST_ECHO, '').repeat(4), LAST_ECHO]) {
      const length = heard.length + 3
      pc.serial.receive(Buffer.from(each))
      while (each !== LAST_ECHO && heard.length < length) await new Promise<void>((resolve) => (wake = resolve))
    }
    expect(await running).toMatchObject({ reason: 'debug-exit' })
    await recorder.end()
    let again = ''
    const replay = await replayPc(echo(), sourceOf(bytesOf(pieces)), {
      checkpointMs: 0,
      onMachine: ({ serial }) => serial.onTransmit((bytes) => (again += Buffer.from(bytes).toString('latin1'))),
    })
    kept(replay)
    expect(await replay.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
    expect(again).toBe(heard)
    expect(replay.instructions).toBe(recorder.instructions)
  },
)

test('a replay that stops while its log is read goes on with what is read', { timeout: 60_000 }, async () => {
  const { file: recorded, result } = await record(1, false)
  // In one piece.
  const file = await changed(recorded, (event) => event)
  const reads: (() => void)[] = []
  let isSlow = false
  const source = {
    bytes: file.length,
    async read(offset: number, bytes: number) {
      if (isSlow) await new Promise<void>((resolve) => reads.push(resolve))
      return file.subarray(offset, offset + bytes)
    },
  }
  const replay = kept(await replayPc(options(1, true), source, { checkpointMs: Infinity }))
  isSlow = true
  expect(await replay.goto(0)).toEqual({ reason: 'arrived' })
  const running = replay.run()
  await turn()
  expect(replay.instructions).toBe(0)
  expect(reads.length).toBe(1)
  isSlow = false
  for (const read of reads) read()
  expect(await running).toMatchObject({ reason: 'debug-exit' })
  expect(pollingResult(replay.pc)).toEqual(result)
})

test('a replay takes checkpoints on its way, and goes back to the nearest', { timeout: 60_000 }, async () => {
  // Without those of the recorder.
  const file = await changed((await record(1, false)).file, (event) => event)
  const replay = kept(await replayPc(options(1, false), sourceOf(file), { checkpointMs: 0.01 }))
  const begins = vi.spyOn(ReplayGate.prototype, 'goesOnAt')
  expect(await replay.run()).toMatchObject({ reason: 'debug-exit' })
  expect(await replay.goto(replay.end - 1)).toEqual({ reason: 'arrived' })
  expect(begins.mock.calls.length).toBe(1)
  expect(begins.mock.calls[0]![0].round).toBeGreaterThan(0)
  begins.mockRestore()
})

/** Writes a recording anew, with other events. */
async function changed(
  file: Uint8Array,
  change: (event: R.RecordedEvent) => R.RecordedEvent | null,
  changeBody = (body: Uint8Array): Uint8Array => body,
): Promise<Uint8Array> {
  const recording = await R.openRecording(sourceOf(file))
  const pieces: Uint8Array[] = []
  const writer = new R.RecordingWriter((piece) => void pieces.push(piece.slice()), recording.description)
  for (let piece = 0; piece < recording.pieces; piece++) {
    for (const event of await recording.events(piece)) {
      const now = change(event)
      if (now === null) continue
      const body = now.body && new Uint8Array(now.body.bytes)
      if (body !== undefined) await recording.readBody(now.body!, body)
      writer.add(now.kind, now, now.source, now.data, body && changeBody(body))
    }
  }
  await writer.end(recording.end)
  return bytesOf(pieces)
}

test('a replay that is another run is stopped, and says what differs', { timeout: 60_000 }, async () => {
  const { file } = await record(1, false)
  let checks = 0
  // A register is another at the second check; the first is at power-on.
  const other = await changed(file, (event) => {
    if (event.kind !== 'check' || checks++ === 0) return event
    return {
      ...event,
      data: Buffer.from(
        Buffer.from(event.data)
          .toString()
          .replace(/"rdx":"[^"]*"/, '"rdx":"0xbad"'),
      ),
    }
  })
  const later = await changed(file, (event) =>
    event.kind === 'input' ? { ...event, instructions: event.instructions + 1 } : null,
  )
  const run = async (bytes: Uint8Array) => {
    const replay = kept(await replayPc(options(1, true), sourceOf(bytes)))
    return replay.run()
  }
  expect(await run(later)).toMatchObject({ reason: 'diverged', difference: expect.stringContaining('this one') })
  // Runs that are shorter than the distance of two checks have one.
  if (checks > 1)
    expect(await run(other)).toMatchObject({ reason: 'diverged', difference: expect.stringContaining('rdx of vCPU 0') })
})

test.each([
  ['input', 'an input of party'],
  ['check', 'a check'],
] as const)('an event that no recorder has written ends the replay: %s', { timeout: 60_000 }, async (kind, what) => {
  const { file } = await record(1, false)
  const broken = await changed(file, (event) =>
    event.kind === kind && (kind === 'check' || event.data.length > 3) ? { ...event, data: Buffer.from('[') } : event,
  )
  const replay = kept(await replayPc(options(1, true), sourceOf(broken)))
  await expect(replay.run()).rejects.toMatchObject({ code: 'ERR_DAMAGED', message: expect.stringContaining(what) })
})

test('an answer of another size than was asked for ends the replay', { timeout: 60_000 }, async () => {
  const { file } = await record(1, false)
  const broken = await changed(
    file,
    (event) => event,
    (body) => body.subarray(0, -1),
  )
  const replay = kept(await replayPc(options(1, true), sourceOf(broken)))
  const message = expect.stringContaining('511 bytes as the answer to read 0 512')
  await expect(replay.run({ timeoutMs: 100_000 })).rejects.toMatchObject({ code: 'ERR_DAMAGED', message })
})

test.each([
  ['DATA', 'sectors'],
  ['LOG ', 'events'],
] as const)(
  '%s: %s that are damaged end the replay, each time that it comes there',
  { timeout: 60_000 },
  async (name, _what) => {
    const { file } = await record(1, false)
    const offset = Buffer.from(file).indexOf(name)
    const broken = file.slice()
    broken[offset + 50]! ^= 1
    const replay = kept(await replayPc(options(1, true), sourceOf(broken)))
    const damaged = { code: 'ERR_DAMAGED', message: `the recording is damaged at byte ${offset}` }
    for (let i = 0; i < 2; i++) {
      await expect(replay.run({ timeoutMs: 100_000 })).rejects.toMatchObject(damaged)
      await expect(replay.run({ timeoutMs: 100_000 })).rejects.toMatchObject(damaged)
      // Events are read ahead. Of sectors nothing has been asked for there, also where the machine comes back from behind.
      if (name === 'DATA') expect(await replay.goto(1000)).toEqual({ reason: 'arrived' })
    }
  },
)

test('a recording that was cut is run again as far as it goes', { timeout: 60_000 }, async () => {
  const { file } = await record(1, false)
  const replay = kept(await replayPc(options(1, false), sourceOf(file.subarray(0, file.length - 1))))
  expect(replay.isCut).toBe(true)
  expect(replay.marks).toMatchObject([{ name: 'typed' }])
  expect(await replay.run()).toMatchObject({ reason: expect.stringMatching(/end-of-recording|debug-exit/) })
})

test('a guest that waits for ever is recorded, and its replay ends', { timeout: 60_000 }, async () => {
  const halted = (): PcOptions => ({
    memoryBytes: 4 << 20,
    clock: 'deterministic',
    kernel: multibootKernel((asm) => void asm.cli().hlt()),
  })
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(halted(), (piece) => void pieces.push(piece.slice()))
  kept(recorder.pc)
  const stop = new AbortController()
  const running = recorder.pc.run({ signal: stop.signal })
  await sleep(10)
  recorder.pc.serial.receive(Uint8Array.of(1, 2, 3))
  expect(await recorder.pc.powerButton()).toBe(false)
  stop.abort()
  await running
  await recorder.end()
  const replay = kept(await replayPc(halted(), sourceOf(bytesOf(pieces))))
  expect(await replay.run({ timeoutMs: 100_000 })).toEqual({ reason: 'end-of-recording' })
})

test('a recording of another machine is refused by what differs', { timeout: 60_000 }, async () => {
  const { file } = await record(1, false)
  const other = { ...options(1, false), epochSeconds: 1 }
  await expect(replayPc(other, sourceOf(file))).rejects.toMatchObject({
    message: 'the recording is of another machine: epochSeconds 1767225600, expected 1',
  })
})

test(
  'checkpoints change nothing of a run, and each place is the same by whichever it is reached',
  { timeout: 90_000 },
  async () => {
    const pieces: Uint8Array[] = []
    const often = { checkpointMs: 0.01 }
    const recorder = await recordPc(options(2, true), (piece) => void pieces.push(piece.slice()), often)
    const { pc } = recorder
    kept(pc)
    const running = pc.run({ timeoutMs: 100_000 })
    await typeTo(pc)
    expect(await running).toMatchObject({ reason: 'debug-exit' })
    await recorder.end()
    const file = bytesOf(pieces)
    expect((await R.openRecording(sourceOf(file))).checkpoints.length).toBeGreaterThan(2)
    const without = await replayPc(options(2, false), sourceOf(file), { checkpointMs: Infinity })
    const atEnd = await replayPc(options(2, true), sourceOf(file), { at: 'end' })
    kept(without)
    kept(atEnd)
    const places = [0.2, 0.5, 0.7, 0.9].map((part) => Math.floor(without.end * part))
    // Checkpoints of the file are far apart: forwards none is used.
    const seen = new Map<number, unknown>()
    for (const place of places) {
      await without.goto(place)
      seen.set(place, await without.pc.save())
    }
    expect(await without.run()).toMatchObject({ reason: 'debug-exit' })
    expect(pollingResult(without.pc)).toEqual(pollingResult(pc))
    expect(atEnd.instructions).toBe(recorder.instructions)
    // No checkpoint holds the exit: a machine that its guest has ended is not saved.
    expect(await atEnd.run()).toMatchObject({ reason: 'debug-exit' })
    expect(pollingResult(atEnd.pc)).toEqual(pollingResult(pc))
    for (const place of [...places, ...places].toReversed()) {
      expect(await atEnd.goto(place)).toEqual({ reason: 'arrived' })
      expect(await atEnd.pc.save()).toEqual(seen.get(place))
    }
    const replayed = kept(await replayPc(options(2, true), sourceOf(file), often))
    expect(await replayed.run()).toMatchObject({ reason: 'debug-exit' })
    expect(replayed.instructions).toBe(recorder.instructions)
    expect(pollingResult(replayed.pc)).toEqual(pollingResult(pc))
  },
)

test('a replay is debugged backwards', { timeout: 240_000 }, async () => {
  const { file } = await record(2, true)
  const replay = kept(await replayPc(options(2, true), sourceOf(file), { at: 'end' }))
  const debug = await replay.debugger()
  const { count } = pollingResult(replay.pc) as { count: number }
  const linear = async (): Promise<bigint> => {
    const pc = await replay.pc.debugger()
    return pc.register('rip') + pc.register('cs_base')
  }
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
  expect(await debug.stepBack()).toEqual({ reason: 'begin' })
  await replay.goto(replay.end)
  const watched = debug.watch(BigInt(COUNT_ADDRESS), 4, 'write')
  // A search that is ended before it finds anything leaves the replay where it was.
  expect(await debug.reverseContinue({ signal: AbortSignal.abort() })).toEqual({ reason: 'stopped' })
  expect(replay.instructions).toBe(replay.end)
  const writers: { readonly at: number; readonly address: bigint }[] = []
  for (let back = 1; back <= 2; back++) {
    expect(await debug.reverseContinue()).toMatchObject({ reason: 'watch', cpu: 0, address: BigInt(COUNT_ADDRESS) })
    expect(pollingResult(replay.pc)).toMatchObject({ count: count - back })
    writers.push({ at: replay.instructions, address: await linear() })
  }
  // Forwards it stops behind the instruction.
  expect(await debug.continue()).toMatchObject({ reason: 'watch' })
  expect(pollingResult(replay.pc)).toMatchObject({ count: count - 1 })
  expect(replay.instructions).toBeGreaterThan(writers[1]!.at)
  watched.remove()
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  expect(replay.instructions).toBe(writers[1]!.at)
  await replay.goto(replay.end)
  const breakpoint = debug.breakpoint(writers[0]!.address)
  const same = writers.filter(({ address }) => address === writers[0]!.address)
  for (const { at, address } of same) {
    expect(await debug.reverseContinue()).toEqual({ reason: 'breakpoint', cpu: 0, address })
    expect(replay.instructions).toBe(at)
    expect(await linear()).toBe(address)
  }
  if (same.length > 1) {
    expect(await debug.continue()).toMatchObject({ reason: 'breakpoint' })
    expect(replay.instructions).toBe(same.at(-2)!.at)
  }
  breakpoint.remove()
  expect(await debug.continue()).toMatchObject({ reason: 'debug-exit' })
  expect(pollingResult(replay.pc)).toMatchObject({ count })
})

/** Writes a recording anew, with the last checkpoint alone and another state of it. */
async function otherCheckpoint(file: Uint8Array, change: (state: Record<string, unknown>) => unknown) {
  const recording = await R.openRecording(sourceOf(file))
  const pieces: Uint8Array[] = []
  const writer = new R.RecordingWriter((piece) => void pieces.push(piece.slice()), recording.description)
  const last = recording.checkpoints.length - 1
  const pages = await recording.checkpoint(last)
  const store = new R.CheckpointStore<null>()
  const memory = store.draft()
  for (const [i, gfn] of pages.gfns.entries()) memory.add(gfn, pages.contents(i), 0)
  store.add(recording.checkpoints[last]!, change(pages.state as Record<string, unknown>), memory, null)
  await writer.addCheckpoints(store)
  await writer.end(recording.end)
  return sourceOf(bytesOf(pieces))
}

test('a checkpoint that no recorder has written is refused', { timeout: 60_000 }, async () => {
  const { file } = await record(1, false)
  const changes: ((state: Record<string, unknown>) => unknown)[] = [
    () => null,
    (state) => ({ ...state, retired: ['many'] }),
    (state) => ({ ...state, piece: 1e6 }),
    // What keyboards keep is a list; drives have their media.
    (state) => ({ ...state, parties: (state['parties'] as unknown[]).map((kept) => (Array.isArray(kept) ? 7 : kept)) }),
  ]
  for (const change of changes) {
    const source = await otherCheckpoint(file, change)
    const told = await replayPc(options(1, false), source, { at: 'end' }).then(
      () => 'made',
      (error: unknown) => error,
    )
    expect(told).toMatchObject({ name: 'RecordingError', code: 'ERR_DAMAGED' })
  }
})

test('a guest with more memory than checkpoints may have is recorded without', { timeout: 60_000 }, async () => {
  const given = options(1, false)
  const description = describeRun(PC_RUNS, given, undefined)
  const writer = new R.RecordingWriter(() => undefined, description)
  const gate = new RecordGate(writer, false, () => PC_RUNS.notes(pc.domain))
  const pcGate = new BackEndGate(gate, description.backEnds, given)
  const pc: Pc = await Pc.create(given, pcGate)
  kept(pc)
  const { p2m, memory } = pc.domain
  for (let gfn = 0x200; gfn < 0x300; gfn++)
    crypto.getRandomValues(memory.u8.subarray(p2m.translate(gfn * 4096)).subarray(0, 4096))
  const store = new R.CheckpointStore<LogPosition>(128 * 4096)
  const { bytes } = store
  const draft = store.draft.bind(store)
  let frames = 0
  store.draft = () => {
    const memory_ = draft()
    const add = memory_.add.bind(memory_)
    memory_.add = (gfn, ...rest) => {
      if (gfn >= 0x200 && gfn < 0x300) frames++
      add(gfn, ...rest)
    }
    return memory_
  }
  expect(await new CheckpointTaker({ machine: pcGate.machine, gate, store }).take()).toBe(false)
  expect(store.last).toBeUndefined()
  // It ends where there is no room for more, and leaves nothing.
  expect(frames).toBeGreaterThan(0)
  expect(frames).toBeLessThan(160)
  expect(store.bytes).toBe(bytes)
})

test('a recording whose back ends were busy a while has checkpoints again', { timeout: 60_000 }, async () => {
  const given = options(1, false)
  const description = describeRun(PC_RUNS, given, undefined)
  const gate = new RecordGate(new R.RecordingWriter(() => undefined, description), false, () =>
    PC_RUNS.notes(pc.domain),
  )
  const pcGate = new BackEndGate(gate, description.backEnds, given)
  const pc: Pc = await Pc.create(given, pcGate)
  kept(pc)
  const store = new R.CheckpointStore<LogPosition>(64 << 20)
  const taker = new CheckpointTaker({ machine: pcGate.machine, gate, store })
  expect(await taker.take()).toBe(true)
  const saveParties = gate.saveParties.bind(gate)
  let isBusy = true
  gate.saveParties = () => (isBusy ? undefined : saveParties())
  pc.domain.vcpus[0]!.cpu.retired += 1e9
  for (let i = 0; i < 4; i++) {
    expect(await taker.take()).toBe(false)
  }
  isBusy = false
  const until = performance.now() + 50_000
  while (store.instants.length < 2 && performance.now() < until) {
    // What the gate does between two rounds of vCPUs.
    gate.look?.()
    await sleep(5)
    pc.domain.vcpus[0]!.cpu.retired += 1e9
  }
  expect(store.instants).toHaveLength(2)
})

test('a machine that is recorded is saved while its devices are at rest, and not otherwise', async () => {
  let isAtRest = false
  const busy = defineDevice({ name: 'busy', deterministic: true, stateless: true, isAtRest: () => isAtRest })
  const recorder = await recordPc({ ...options(1, false), devices: [busy] }, () => undefined, {
    checkpointMs: Infinity,
  })
  const { pc } = recorder
  kept(pc)
  const saved = (): Promise<unknown> => pc.save().then(() => 'saved')
  await expect(saved()).rejects.toMatchObject({ code: 'ERR_SNAPSHOT', message: expect.stringContaining('try again') })
  isAtRest = true
  expect(await saved()).toBe('saved')
})

test('no checkpoint is taken between an answer and its place in the log', async () => {
  let isLogged = false
  const writer = { add: () => (isLogged = true) } as unknown as R.RecordingWriter
  const gate = new RecordGate(writer, false, () => new Uint8Array())
  gate.start({ instructions: 0 } as never)
  expect(gate.saveParties()).toEqual([])
  const answer = gate.ask(0, 'read 0 512', undefined, () => Promise.resolve(1))
  for (let i = 0; i < 20; i++) {
    if (!isLogged) expect(gate.saveParties()).toBeUndefined()
    await Promise.resolve()
  }
  expect(await answer).toBe(1)
  expect(isLogged).toBe(true)
  expect(gate.saveParties()).toEqual([])
})

test('no checkpoint is taken where the file has failed a device', async () => {
  const answer = { kind: 'answer', round: 0, instructions: 0, source: 0, data: Uint8Array.of(1, 0x61, 0) }
  const body = { bytes: 512, runs: [1, 1] }
  const damaged = new R.RecordingError('ERR_DAMAGED', 'here')
  const recording = {
    pieces: 1,
    end: { round: 9, instructions: 9 },
    events: () => Promise.resolve([{ ...answer, body }]),
    readBody: () => Promise.reject(damaged),
  }
  const gate = new ReplayGate(recording as unknown as R.Recording, () => new Uint8Array())
  gate.start({ instructions: 0 } as never)
  expect(gate.position()).toBeDefined()
  await expect(gate.ask(0, 'a', new Uint8Array(512), null)).rejects.toMatchObject({ code: 'ERR_CANCELLED' })
  expect(gate.position()).toBeUndefined()
  await expect(gate.begin(false)).rejects.toBe(damaged)
})
