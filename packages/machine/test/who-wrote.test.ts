/** Who wrote a byte last: found by running parts of a recording again. */
import { defineDevice, type DeviceContext, type DeviceModel, type Timer } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { CheckpointStore, type Recording } from '@retrap/recording'
import { al, cr0, cr3, cr4, dword, dx, eax, ecx, edi, esp, imm16, imm32 } from '@retrap/x86-assembler'
import { sliced } from '@retrap/tooling/slice'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type PcOptions, type PcReplay, recordPc, type ReplayDebugger, replayPc } from '../src/index.ts'
import { parseMemoryPlace } from '../src/debug.ts'
import type { Checkpoints } from '../src/recording/checkpoints.ts'
import { startingPoint } from '../src/recording/who-wrote.ts'
import { multibootKernel } from './support/kernels.ts'

const EXIT_PORT = 0x501
const NOW_PORT = 0x580
const LATER_PORT = 0x590
const TABLE = 0x28_0000
const DATA = 0x20_0000
/** In the frame of `DATA`, as most of what follows. */
const NOW = DATA + 0x100
const LATER = DATA + 0x200
const FILLED = DATA + 0x300
const PUSHED = DATA + 0x400
/** Below 1 MiB: what checkpoints have of it was compared. */
const LOW = 0x7_0000
const UNTOUCHED = 0x2f_0000
const BASE = 0x10_0000

/** A model that writes guest memory when its ports are written: at once, and a while later. */
function writer(): DeviceModel {
  let context: DeviceContext
  let timer: Timer
  const put = (to: number) => (): void => void context.dma.write(to, Uint8Array.of(1, 2, 3, 4))
  return defineDevice({
    name: 'writer',
    synchronous: true,
    stateless: true,
    ports: [
      { base: NOW_PORT, size: 1, write: () => put(NOW)() },
      { base: LATER_PORT, size: 1, write: () => timer.arm(context.clock.now() + 1000) },
    ],
    attach(given) {
      context = given
      timer = given.timer(put(LATER))
    },
  })
}

const kernel = multibootKernel((asm) => {
  // Pages of 4 MiB, one to one.
  asm.mov(dword(TABLE), imm32(0x83)).mov(eax, imm32(TABLE)).mov(cr3, eax)
  asm.mov(eax, cr4).or(eax, imm32(0x10)).mov(cr4, eax)
  asm.mov(eax, cr0).or(eax, imm32(0x8000_0000)).mov(cr0, eax)
  asm.mov(dword(LOW), 5)
  asm.mov(dword(DATA), 1).mov(dx, imm16(NOW_PORT)).out(dx, al).mov(dx, imm16(LATER_PORT)).out(dx, al)
  asm.mov(ecx, imm32(12_000))
  const again = asm.here()
  asm
    .inc(dword(DATA + 4))
    .dec(ecx)
    .jnz(again)
  asm
    .mov(dword(LOW), 5)
    .mov(dword(DATA), 2)
    .mov(esp, imm32(PUSHED + 32))
    .pusha()
  asm.mov(edi, imm32(FILLED)).mov(ecx, imm32(32)).cld().rep().stosd()
  asm.mov(dx, imm16(EXIT_PORT)).mov(al, 0).out(dx, al).hlt()
})

const options = (jit: boolean): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  jit,
  clock: 'deterministic',
  kernel,
  devices: [new DebugExit({ iobase: EXIT_PORT }), writer()],
})

let file: Uint8Array
beforeAll(async () => {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(true), (piece) => void pieces.push(piece.slice()), { checkpointMs: 4 })
  expect(await recorder.pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  recorder.pc.close()
  file = new Uint8Array(Buffer.concat(pieces))
})

const source = () => ({
  bytes: file.length,
  read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes),
})

describe.each(sliced([true, false], 2))('with JIT %s', (jit) => {
  let replay: PcReplay
  let debug: ReplayDebugger
  beforeAll(async () => {
    replay = await replayPc(options(jit), source(), { at: 'end', checkpointMs: jit ? 4 : Infinity })
    debug = await replay.debugger()
  })
  afterAll(() => replay.close())

  const word = (address: number): number => {
    const bytes = new Uint8Array(4)
    replay.pc.domain.guestMemory.read(address, bytes)
    return new DataView(bytes.buffer).getUint32(0, true)
  }

  /** The writer that a watchpoint finds, which is another way to it; the replay is there afterwards. */
  async function watched(address: number): Promise<object> {
    const watch = debug.watch(BigInt(address), 4, 'write')
    const stop = await debug.reverseContinue()
    watch.remove()
    expect(stop).toMatchObject({ reason: 'watch', cpu: 0 })
    const { instructions } = replay
    const rip = (await replay.pc.debugger()).register('rip')
    return { by: 'instruction', cpu: 0, address: rip, instructions, delivers: false }
  }

  test.each([
    ['a store', DATA],
    ['a loop', DATA + 4],
    ['a string instruction', FILLED + 4],
    ['the first of several stores', PUSHED + 28],
    ['the last of several stores', PUSHED],
  ])('%s: the instruction that a watchpoint finds', async (_name, address) => {
    await replay.goto(replay.end)
    const found = await debug.whoWrote(BigInt(address), { length: 4 })
    // The replay has not moved.
    expect(replay.instructions).toBe(replay.end)
    expect(found).toEqual(await watched(address))
    expect(await debug.whoWrote(BigInt(address), { length: 4, physical: true })).not.toEqual(found)
  })

  test('going to a writer and asking again leads to the one before', async () => {
    await replay.goto(replay.end)
    expect(word(DATA)).toBe(2)
    const last = await debug.whoWrote(BigInt(DATA))
    await replay.goto((last as { instructions: number }).instructions)
    expect(word(DATA)).toBe(1)
    const before = await debug.whoWrote(BigInt(DATA))
    await replay.goto((before as { instructions: number }).instructions)
    expect(word(DATA)).toBe(0)
    expect(await debug.whoWrote(BigInt(DATA))).toEqual({ by: 'nobody' })
  })

  test('a device is named, whether an instruction has asked it or not', async () => {
    await replay.goto(replay.end)
    const now = await debug.whoWrote(BigInt(NOW + 3), { physical: true })
    expect(now).toMatchObject({ by: 'device', device: 'writer' })
    const later = await debug.whoWrote(BigInt(LATER), { physical: true })
    expect(later).toMatchObject({ by: 'device', device: 'writer' })
    const places = [now, later].map((found) => (found as { instructions: number }).instructions)
    expect(places[1]).toBeGreaterThan(places[0]!)
    await replay.goto(places[0]!)
    expect(word(NOW)).toBe(0)
    await replay.goto(places[0]! + 1)
    expect(word(NOW)).toBe(0x0403_0201)
  })

  test('an entry of a page table: the instruction whose walk has set a bit of it', async () => {
    await replay.goto(replay.end)
    const found = await debug.whoWrote(BigInt(TABLE))
    expect(found).toMatchObject({ by: 'instruction', cpu: 0 })
    expect(word(TABLE) & 0x60).toBe(0x60)
    await replay.goto((found as { instructions: number }).instructions)
    expect(word(TABLE) & 0x60).not.toBe(0x60)
    await replay.goto((found as { instructions: number }).instructions + 1)
    expect(word(TABLE) & 0x60).toBe(0x60)
  })

  test('what the loader put there, or nobody ever wrote', async () => {
    await replay.goto(replay.end)
    expect(await debug.whoWrote(BigInt(BASE))).toEqual({ by: 'nobody' })
    expect(await debug.whoWrote(BigInt(UNTOUCHED), { length: 4096 })).toEqual({ by: 'nobody' })
  })

  test('after a search the replay goes on with the models of its caller, which were in other machines meanwhile', async () => {
    await replay.goto(replay.end)
    const now = await debug.whoWrote(BigInt(NOW), { physical: true })
    // Before the instruction that has the model write.
    const before = (now as { instructions: number }).instructions
    await replay.goto(before)
    const found = await Promise.all([debug.whoWrote(BigInt(DATA)), debug.whoWrote(BigInt(TABLE))])
    expect(found).toMatchObject([{ by: 'instruction' }, { by: 'instruction' }])
    expect(replay.instructions).toBe(before)
    expect(word(NOW)).toBe(0)
    expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'debug-exit' })
    expect([word(NOW), word(LATER)]).toEqual([0x0403_0201, 0x0403_0201])
  })

  test('a store that changes nothing is a store', async () => {
    for (const instruction of [10_000, replay.end]) {
      await replay.goto(instruction)
      // It takes a checkpoint there.
      await debug.reverseContinue()
    }
    await replay.goto(replay.end)
    const found = await debug.whoWrote(BigInt(LOW), { length: 4 })
    expect((found as { instructions: number }).instructions).toBeGreaterThan(10_000)
    expect(found).toEqual(await watched(LOW))
  })

  test('the search can be ended', async () => {
    await replay.goto(replay.end)
    const found = await debug.whoWrote(BigInt(DATA), { signal: AbortSignal.abort() })
    expect(found).toMatchObject({ by: 'unknown', exit: { reason: 'stopped' } })
  })

  test('what is no memory is refused', async () => {
    await expect(debug.whoWrote(0xe000_0000n)).rejects.toThrow('there is no memory at this linear address')
    await expect(debug.whoWrote(0xe000_0000n, { physical: true })).rejects.toThrow('guest-physical address')
    await expect(debug.whoWrote(BigInt(DATA), { length: 0 })).rejects.toThrow('expected 1 to 4096')
    await expect(debug.whoWrote(BigInt(DATA), { cpu: 1 })).rejects.toThrow('there is no vCPU 1')
  })
})

test('checkpoints are found by their instants, also where others were dropped meanwhile', async () => {
  const store: Checkpoints = new CheckpointStore()
  for (let i = 0; i < 6; i++) {
    const position = { round: i, piece: 0, ahead: [], answers: [] }
    store.add({ round: i, instructions: 100 * i }, { own: i, large: 'x'.repeat(1000) }, store.draft(), position)
  }
  const { instants } = store
  const past = { store, recording: { checkpoints: [] } as unknown as Recording, memoryBytes: 4 << 20 }
  const found = async () =>
    (await Promise.all(instants.map((at) => startingPoint(past, at)))).map((at) => at?.instructions)
  expect(await found()).toEqual([0, 100, 200, 300, 400, 500])
  store.thin(store.bytes / 2)
  const left = store.instants.map(({ instructions }) => instructions)
  expect(left.length).toBeLessThan(6)
  // For a checkpoint that was dropped, the search begins at the one before it.
  expect(await found()).toEqual(instants.map(({ instructions }) => left.findLast((at) => at <= instructions)))
  expect(await startingPoint(past, { round: 0, instructions: -1 })).toBeUndefined()
})

test.each([
  ['0x1000', 0x1000n, false],
  ['4096@p', 4096n, true],
  ['0xff0+0x10@p', 0x1000n, true],
  ['jiffies', 0xffff_ffff_8000_0000n, false],
  ['jiffies+4', 0xffff_ffff_8000_0004n, false],
])('%s is a place in memory', (text, address, physical) => {
  const find = (name: string): bigint | undefined => (name === 'jiffies' ? 0xffff_ffff_8000_0000n : undefined)
  expect(parseMemoryPlace(text, find)).toEqual({ address, physical })
})

test.each(['', 'nothing', 'jiffies@p', '0x', '1+', '0x1000@q', '+1'])('%j is no place in memory', (text) => {
  expect(parseMemoryPlace(text, (name) => (name === 'jiffies' ? 0n : undefined))).toBeUndefined()
})
