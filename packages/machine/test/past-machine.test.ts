/** A recording is run again in one machine, which is put back from checkpoint to checkpoint. */
import { al, type Assembler, ax, dword, dx, edi, esi, imm16, imm32 } from '@retrap/x86-assembler'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type PcOptions, type PcReplay, type RecordingSource, recordPc, replayPc } from '../src/index.ts'
import { Pc } from '../src/pc/pc.ts'
import { startLocalServer } from '@retrap/device-hosting'
import { ReplayGate } from '../src/recording/replay-gate.ts'
import { BASE, multibootKernel } from './support/kernels.ts'

const DATA = 0x20_0000
const PAGES = 4
/** Several checkpoints come in so many. */
const LOOPS = 60_000
const NO_DEADLINE = { timeoutMs: 120_000 }

/** Writes one page after the other, each many times, and the first one all the time; ends with a reset. */
const kernel = multibootKernel((asm) => {
  asm.mov(esi, imm32(PAGES))
  const pages = asm.here()
  asm.mov(edi, esi).shl(edi, 12).add(edi, imm32(DATA))
  // How long it loops depends on the contents of the page.
  asm.mov(dword(DATA), 0).mov(dword(edi), imm32(LOOPS))
  const again = asm.here()
  asm
    .inc(dword(DATA + 4))
    .dec(dword(edi))
    .jnz(again)
  asm.dec(esi).jnz(pages)
  asm.mov(al, 0xfe).out(0x64, al).hlt()
})
const options: PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, clock: 'deterministic', kernel }

/** Records a machine's run to its reset. */
async function record(of: PcOptions, checkpointMs: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(of, (piece) => void pieces.push(piece.slice()), { checkpointMs })
  expect(await recorder.pc.run(NO_DEADLINE)).toMatchObject({ reason: 'reset' })
  await recorder.end()
  recorder.pc.close()
  return new Uint8Array(Buffer.concat(pieces))
}

let file: Uint8Array
let replay: PcReplay
beforeAll(async () => {
  file = await record(options, 1)
})
afterEach(() => {
  vi.restoreAllMocks()
  replay.close()
})

const sourceOf = (bytes: Uint8Array): RecordingSource => ({
  bytes: bytes.length,
  read: (offset, length) => bytes.subarray(offset, offset + length),
})

const open = (): Promise<PcReplay> => replayPc(options, sourceOf(file), { at: 'end', checkpointMs: Infinity })

const ADDRESSES = [DATA, 0x7_0000, ...Array.from({ length: PAGES }, (_, i) => DATA + 4096 * (i + 1))]

test('answers are the same wherever the question before has left the machine', { timeout: 240_000 }, async () => {
  replay = await open()
  const debug = await replay.debugger()
  const made = vi.spyOn(Pc, 'create')
  const ask = async (place: number): Promise<object> => debug.whoWrote(BigInt(ADDRESSES[place]!), { physical: true })
  const found: object[] = []
  for (const place of ADDRESSES.keys()) found.push(await ask(place))
  const written = found.slice(2).map((writer) => (writer as { instructions: number }).instructions)
  const distances = written.slice(1).map((instructions, i) => written[i]! - instructions)
  // From page to page it executes the same.
  expect(distances).toEqual(distances.map(() => 3 * LOOPS + 7))
  for (const place of [...ADDRESSES.keys()].toReversed()) expect(await ask(place)).toEqual(found[place])
  expect(made.mock.calls.length).toBe(0)
  expect(replay.instructions).toBe(replay.end)
  // And those of a machine that was made for the question.
  for (const place of [0, 3]) {
    replay.close()
    replay = await open()
    const alone = await replay.debugger()
    expect(await alone.whoWrote(BigInt(ADDRESSES[place]!), { physical: true })).toEqual(found[place])
  }
})

test('one that is made anew for each place goes back, where its memory is given to others', async () => {
  // Models that are recorded are never put back.
  const models: PcOptions['deviceServers'] = [
    (dispatch, platform) =>
      startLocalServer({ dispatch, platform }, { name: 'elsewhere', realTime: false }, (server) =>
        server.attach({ name: 'far', attach() {} }),
      ),
  ]
  const shared: PcOptions = { ...options, deviceServers: models, forks: { clones: 1, writtenBytes: 1 << 20 } }
  replay = await replayPc(shared, sourceOf(await record(shared, Infinity)))
  const made = vi.spyOn(Pc, 'create')
  for (const place of [2000, 1000, 500]) expect(await replay.goto(place)).toEqual({ reason: 'arrived' })
  expect(made.mock.calls.length).toBe(2)
})

test('a question that is ended leaves the machine of use for the next one', async () => {
  replay = await open()
  const debug = await replay.debugger()
  const made = vi.spyOn(Pc, 'create')
  const address = BigInt(DATA + 4096 * PAGES)
  const whole = await debug.whoWrote(address, { physical: true })
  const ended = await debug.whoWrote(address, { physical: true, signal: AbortSignal.abort() })
  expect(ended.by).toBe('unknown')
  expect(await debug.whoWrote(address, { physical: true })).toEqual(whole)
  expect(made.mock.calls.length).toBe(0)
})

test('a checkpoint that is damaged is no matter of questions that need others', async () => {
  const whole = file
  replay = await open()
  const ask = async (): Promise<unknown> => (await replay.debugger()).whoWrote(BigInt(DATA + 4096), { physical: true })
  const found = await ask()
  replay.close()
  const text = Buffer.from(whole)
  const offset = text.indexOf('STAT') + 40
  file = whole.slice()
  file[offset + 10]! ^= 1
  try {
    replay = await open()
    expect(await ask()).toEqual(found)
  } finally {
    file = whole
  }
})

/** Has the graphics card show a picture of so many pixels, by registers of DISPI. */
function show(asm: Assembler, width: number, height: number): void {
  for (const [index, value] of [0, width, height, 32, 0x41].entries()) {
    asm.mov(dx, imm16(0x1ce)).mov(ax, imm16(index)).out(dx, ax)
    if (index > 0) asm.mov(dx, imm16(0x1d0)).mov(ax, imm16(value)).out(dx, ax)
  }
}

const LOOP = BASE + 0x400

/** Shows a picture, comes to an address three times, and shows another. */
const pictures = multibootKernel((asm) => {
  show(asm, 640, 480)
  const loop = asm.label()
  asm.mov(esi, imm32(3)).jmp(loop).org(LOOP).bind(loop).dec(esi).jnz(loop)
  show(asm, 800, 600)
  asm.mov(al, 0xfe).out(0x64, al).hlt()
})

test('the machine that goes back is the same one: its breakpoints hold, and its screen shows what it did', async () => {
  const machines: Pc[] = []
  const shown: PcOptions = { ...options, kernel: pictures, vga: 'std' }
  const onMachine = (pc: Pc): void => void machines.push(pc)
  replay = await replayPc(shown, sourceOf(await record(shown, Infinity)), { at: 'end', onMachine })
  const debug = await replay.debugger()
  const stop = debug.breakpoint(BigInt(LOOP))
  const size = (): number[] => {
    replay.pc.screen.refresh()
    return [replay.pc.screen.width, replay.pc.screen.height]
  }
  expect(size()).toEqual([800, 600])
  const places: number[] = []
  for (let back = 0; back < 3; back++) {
    expect(await debug.reverseContinue()).toMatchObject({ reason: 'breakpoint' })
    expect(size()).toEqual([640, 480])
    places.push(replay.instructions)
  }
  for (const place of places.slice(0, 2).toReversed()) {
    expect(await debug.continue()).toMatchObject({ reason: 'breakpoint' })
    expect(replay.instructions).toBe(place)
  }
  stop.remove()
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  expect(replay.instructions).toBe(places[0]! - 1)
  await replay.run()
  expect(size()).toEqual([800, 600])
  expect(machines).toEqual([replay.pc])
  // One that cannot be put back is made anew.
  vi.spyOn(ReplayGate.prototype, 'canRestore').mockReturnValueOnce(false)
  await replay.goto(places[0]!)
  expect(size()).toEqual([640, 480])
  expect(machines.length).toBe(2)
  expect(machines[1]).toBe(replay.pc)
  expect(machines[0]!.state).toBe('stopped')
})

test('a step back leaves a place near it, from which the next one begins, and all is as on the whole way', async () => {
  const source = sourceOf(await record(options, Infinity))
  replay = await replayPc(options, source, { at: 'end', checkpointMs: Infinity })
  const begins = vi.spyOn(ReplayGate.prototype, 'restored')
  const begun = (): number => begins.mock.calls.at(-1)![0].retired[0]!
  const debug = await replay.debugger()
  await debug.stepBack()
  expect(begun()).toBe(0)
  for (const back of [2, 3]) {
    await debug.stepBack()
    expect(replay.instructions).toBe(replay.end - back)
    expect(begun()).toBeGreaterThan(replay.end * 0.9)
  }
  const place = replay.instructions
  const { state, pages } = await replay.pc.save()
  // Before the place that was kept, and back.
  await replay.goto(1000)
  expect(begun()).toBe(0)
  await replay.goto(place)
  expect(await replay.pc.save()).toEqual({ state, pages })
  replay.close()
  replay = await replayPc(options, source, { checkpointMs: Infinity })
  await replay.goto(place)
  expect(await replay.pc.save()).toEqual({ state, pages })
})

test.each([0, 1])('a replay that is closed leaves no machine that it makes, %i awaited', async (turns) => {
  replay = await open()
  const debug = await replay.debugger()
  const create = Pc.create.bind(Pc)
  const closed: (() => void)[] = []
  vi.spyOn(Pc, 'create').mockImplementation(async (...given) => {
    const pc = await create(...given)
    closed.push(vi.spyOn(pc, 'close'))
    if (turns > 0) replay.close()
    return pc
  })
  vi.spyOn(ReplayGate.prototype, 'canRestore').mockReturnValue(false)
  const found = debug.whoWrote(BigInt(DATA + 4096 * PAGES), { physical: true })
  if (turns === 0) replay.close()
  await expect(found).rejects.toMatchObject({ code: 'ERR_STATE' })
  expect(closed.length).toBe(turns)
  for (const close of closed) expect(close).toHaveBeenCalled()
})
