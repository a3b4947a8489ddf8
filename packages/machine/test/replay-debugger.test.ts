/** Debuggers of recordings change nothing of what is executed: a guest waits by HLT or MWAIT, and bytes are typed to it. */
import { DebugExit } from '@retrap/devices'
import { endFirmware, enterFlat, FIRMWARE_BASE, FLAT_CODE } from '@retrap/guest-code'
import { al, Assembler, byte, dword, dx, eax, ebx, ecx, edx, fword, imm32 } from '@retrap/x86-assembler'
import { sliced } from '@retrap/tooling/slice'
import { afterEach, expect, test } from 'vitest'
import { type Pc, type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { medium } from './support/media.ts'
import { Pieces } from './support/pieces.ts'
import { pollingKernel } from './support/polling-guest.ts'

const EXIT_PORT = 0x501
/** The line that MWAIT waits for, with the count of ticks. */
const TICKS = 0x1_0000
const HASH = 0x1_0100
const APIC = 0xfee0_0000
const IDT = FIRMWARE_BASE + 0x8000
const TICK_HANDLER = FIRMWARE_BASE + 0x4000
const KEY_HANDLER = FIRMWARE_BASE + 0x5000
const PIT_VECTOR = 0x20
const SERIAL_VECTOR = 0x24
const LAST = 'q'.charCodeAt(0)

/** Firmware that is told of ticks and typed bytes. */
function idleFirmware(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, 0x7000)
  const out = (port: number, ...bytes: readonly number[]): void => {
    for (const value of bytes) asm.mov(dx, port).mov(al, value).out(dx, al)
  }
  asm
    .mov(dword(HASH), 1)
    .mov(dword(TICKS), 0)
    .lidt(fword(IDT + 0x800))
  out(0x20, 0x11)
  out(0x21, PIT_VECTOR, 4, 1, 0xee)
  // A tick each 0.84 ms.
  out(0x43, 0x34)
  out(0x40, 1000 & 0xff, 1000 >> 8)
  asm.mov(dword(APIC + 0xf0), 0x1ff).mov(dword(APIC + 0x350), 0x700)
  out(0x3f9, 1)
  out(0x3fc, 0x0b)
  const [halt, wait] = [asm.label(), asm.here()]
  asm.sti().test(byte(HASH), 1).jz(halt)
  asm.mov(eax, TICKS).xor(ecx, ecx).xor(edx, edx).monitor().mwait().jmp(wait)
  asm.bind(halt).hlt().jmp(wait)
  asm.org(TICK_HANDLER).inc(dword(TICKS))
  asm.mov(al, byte(TICKS)).mov(dx, 0x3f8).out(dx, al)
  // It works for as long as the hash says.
  asm.mov(ecx, dword(HASH)).and(ecx, imm32(0xfff)).inc(ecx)
  const again = asm.here()
  asm.rol(ebx, 5).xor(ebx, ecx).dec(ecx).jnz(again).add(dword(HASH), ebx)
  asm.mov(al, 0x20).out(0x20, al).iretd()
  const goesOn = asm.label()
  asm.org(KEY_HANDLER).mov(dx, 0x3f8).in(al, dx).xor(byte(HASH), al).cmp(al, LAST).jnz(goesOn)
  asm.mov(dx, EXIT_PORT).mov(al, 0).out(dx, al)
  asm.bind(goesOn).mov(al, 0x20).out(0x20, al).iretd()
  asm.org(IDT)
  const handlers = new Map([
    [PIT_VECTOR, TICK_HANDLER],
    [SERIAL_VECTOR, KEY_HANDLER],
  ])
  for (let vector = 0; vector <= SERIAL_VECTOR; vector++) {
    const address = BigInt(handlers.get(vector) ?? 0)
    asm.dq((address & 0xffffn) | (BigInt(FLAT_CODE) << 16n) | (0x8e00n << 32n) | ((address >> 16n) << 48n))
  }
  asm
    .org(IDT + 0x800)
    .dw(0x7ff)
    .dd(IDT)
  endFirmware(asm)
  return asm.assemble().bytes
}

const firmware = idleFirmware()

const options = (jit: boolean): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  jit,
  clock: 'deterministic',
  firmware,
  devices: [new DebugExit({ iobase: EXIT_PORT })],
})

const closing: { close(): void }[] = []
afterEach(() => closing.splice(0).forEach((one) => one.close()))

/** Numbers that follow from a seed: a linear congruential generator. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const resultOf = (pc: Pc): Uint8Array => {
  const bytes = new Uint8Array(0x200)
  pc.domain.guestMemory.read(TICKS, bytes)
  return bytes
}

/** Records a run to which bytes are typed after ticks that a seed chooses. */
async function record(seed: number, ticks: number) {
  const file = new Pieces()
  const random = randomOf(seed)
  const recorder = await recordPc(options(seed % 2 === 0), file.write, { checkpointMs: Infinity })
  const { pc } = recorder
  closing.push(pc)
  let left = ticks
  pc.serial.onTransmit(() => {
    if (left-- === 0) pc.serial.receive(Uint8Array.of(LAST))
    else if (left > 0 && random(2) === 0) pc.serial.receive(Uint8Array.of(random(64)))
  })
  expect(await pc.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  return { source: file.source, result: resultOf(pc), instructions: recorder.instructions }
}

test.each(sliced([1, 2, 3, 4], 4))('seed %i: backwards it comes to where it has been forwards', async (seed) => {
  const { source, result, instructions } = await record(seed, 6)
  const replay = await replayPc(options(seed % 2 === 1), source, { checkpointMs: 5 })
  closing.push(replay)
  const forwards: number[] = []
  const looking = await replay.pc.debugger()
  looking.breakpoint(BigInt(KEY_HANDLER), () => void forwards.push(replay.instructions))
  expect(await replay.run({ timeoutMs: 50_000 })).toMatchObject({ reason: 'debug-exit' })
  expect([replay.instructions, resultOf(replay.pc)]).toEqual([instructions, result])
  const debug = await replay.debugger()
  debug.breakpoint(BigInt(KEY_HANDLER))
  for (const there of forwards.toReversed()) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    expect(await debug.reverseContinue()).toMatchObject({ reason: 'breakpoint' })
    expect(debug.instructions).toBe(there)
  }
  expect(await debug.reverseContinue()).toEqual({ reason: 'begin' })
})

test('a recording that ended while a disk was read is searched without a wait for the answer', async () => {
  const never = new Promise<void>(() => {})
  const polling = (): PcOptions => ({
    ...options(false),
    firmware: undefined,
    kernel: pollingKernel(1),
    drives: [{ medium: medium(new Uint8Array(1 << 16), () => never) }],
  })
  const file = new Pieces()
  const recorder = await recordPc(polling(), file.write, { checkpointMs: Infinity })
  closing.push(recorder.pc)
  expect(await recorder.pc.run({ timeoutMs: 20 })).toEqual({ reason: 'timeout' })
  await recorder.end()
  const replay = await replayPc(polling(), file.source, { at: 'end' })
  closing.push(replay)
  // The deadline of devices is 30 seconds.
  expect(await (await replay.debugger()).reverseContinue({ timeoutMs: 4000 })).toEqual({ reason: 'begin' })
})
