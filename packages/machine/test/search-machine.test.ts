/** Questions to a recording are answered in one machine, which is put back from checkpoint to checkpoint. */
import { al, dword, eax, ecx, edi, esi, imm32 } from '@retrap/x86-assembler'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import { type PcOptions, type PcReplay, recordPc, replayPc } from '../src/index.ts'
import { Pc } from '../src/pc.ts'
import { multibootKernel } from './support/kernels.ts'

const DATA = 0x20_0000
const PAGES = 4
/** Bytes that are put in while it runs come to the guest by its first serial port, which it does not read. */
const INPUTS = 5
const NO_DEADLINE = { timeoutMs: 120_000 }

/** Writes one page after the other, each many times, and the first one all the time; ends with a reset. */
const kernel = multibootKernel((asm) => {
  asm.mov(esi, imm32(PAGES))
  const pages = asm.here()
  asm.mov(edi, esi).shl(edi, 12).add(edi, imm32(DATA)).mov(dword(edi), esi)
  asm.mov(dword(DATA), 0).mov(ecx, imm32(2000))
  const again = asm.here()
  asm
    .mov(eax, ecx)
    .inc(dword(edi))
    .inc(dword(DATA + 4))
    .dec(ecx)
    .jnz(again)
  asm.dec(esi).jnz(pages)
  asm.mov(al, 0xfe).out(0x64, al).hlt()
})
const options: PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, clock: 'deterministic', kernel }

let file: Uint8Array
let replay: PcReplay
beforeAll(async () => {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options, (piece) => void pieces.push(piece.slice()), { checkpointMs: 1 })
  for (let i = 0; i < INPUTS; i++) recorder.pc.serial.receive(Uint8Array.of(i))
  expect(await recorder.pc.run(NO_DEADLINE)).toMatchObject({ reason: 'reset' })
  await recorder.end()
  recorder.pc.close()
  file = new Uint8Array(Buffer.concat(pieces))
})
afterEach(() => {
  vi.restoreAllMocks()
  replay.close()
})

const open = (): Promise<PcReplay> =>
  replayPc(
    options,
    { bytes: file.length, read: (offset, bytes) => file.subarray(offset, offset + bytes) },
    { at: 'end', checkpointMs: Infinity },
  )

const ADDRESSES = [DATA, 0x7_0000, DATA + 4096, DATA + 4096 * PAGES]

test('answers are those of a machine that is made for the question', { timeout: 120_000 }, async () => {
  const alone: unknown[] = []
  for (const address of ADDRESSES) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    replay = await open()
    // oxlint-disable-next-line no-await-in-loop
    const debug = await replay.debugger()
    // oxlint-disable-next-line no-await-in-loop
    alone.push(await debug.whoWrote(BigInt(address), { physical: true }))
    replay.close()
  }
  replay = await open()
  const debug = await replay.debugger()
  const made = vi.spyOn(Pc, 'create')
  // There and back: each question finds the machine where another one has left it.
  const places = [...ADDRESSES.keys(), ...[...ADDRESSES.keys()].toReversed()]
  for (const place of places) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect(await debug.whoWrote(BigInt(ADDRESSES[place]!), { physical: true })).toEqual(alone[place])
  }
  expect(made.mock.calls.length).toBe(1)
  expect(alone.filter((found) => (found as { by: string }).by === 'instruction').length).toBe(3)
  expect(replay.instructions).toBe(replay.end)
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
  expect(made.mock.calls.length).toBe(1)
})
