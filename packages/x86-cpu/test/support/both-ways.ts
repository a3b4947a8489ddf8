/** One program on two processors: one interprets it, the other compiles whatever it executes twice. */
import type { Assembler } from '@retrap/x86-assembler'
import { expect } from 'vitest'
import { saveVcpu } from '../../src/inspect.ts'
import type { JitOptions } from '../../src/index.ts'
import { BareCpu, CODE, IDT, RAM_BYTES, TSS } from './bare-cpu.ts'
import type { BareOptions } from './bare-cpu.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

/** The instructions of the assembler, for tests that draw names. */
export type Drawn = Record<string, (...operands: unknown[]) => Assembler>

export interface Program {
  /** Linear address of the code; default {@link CODE}. */
  readonly at?: number
  readonly mode?: BareOptions['mode']
  readonly cpu?: BareOptions['cpu']
  readonly code: (asm: Assembler) => void
  /** How the second processor compiles; default {@link EAGER_JIT}. */
  readonly jit?: JitOptions
  /** Prepares memory, registers and devices. @param at - linear address of a label of the code */
  readonly prepare?: (pc: BareCpu, at: (label: string) => number) => void
}

export function bothWays(program: Program): readonly [BareCpu, BareCpu] {
  return [oneWay(program, false), oneWay(program, program.jit ?? EAGER_JIT)]
}

/** Makes a processor that interprets the program, or compiles it. */
function oneWay({ at = CODE, mode = 'long', cpu = 'max', code, prepare }: Program, jit: JitOptions | false): BareCpu {
  const pc = new BareCpu({ jit, mode, cpu })
  const address = pc.program(code, at)
  pc.rip = at
  prepare?.(pc, address)
  return pc
}

/** Everything that a guest or a device can see but memory. */
function visible(pc: BareCpu): unknown {
  const { retired, cost } = pc.cpu
  return { retired, cost, cpu: saveVcpu(pc.cpu), seen: pc.host.seen }
}

function ramOf(pc: BareCpu): Uint8Array {
  return pc.memory.u8.subarray(pc.host.ramMa, pc.host.ramMa + RAM_BYTES)
}

/** RAM as a list of its words that are not zero: differences can be read. */
function words(ram: Uint8Array): readonly string[] {
  const found: string[] = []
  for (const [i, word] of new Uint32Array(ram.buffer, ram.byteOffset, ram.byteLength >>> 2).entries()) {
    if (word !== 0) found.push(`${(4 * i).toString(16)}: ${word.toString(16)}`)
  }
  return found
}

/** Both have the same registers, memory, counts and accesses to devices, and one has compiled code. */
export function expectAlike([plain, compiled]: readonly [BareCpu, BareCpu]): void {
  expect(visible(compiled)).toEqual(visible(plain))
  const [expected, found] = [ramOf(plain), ramOf(compiled)]
  if (Buffer.compare(expected, found) !== 0) expect(words(found)).toEqual(words(expected))
  expect(compiled.engine.jitCounts).toMatchObject({ failures: 0 })
  expect(compiled.engine.jitCounts?.units).toBeGreaterThan(0)
}

/** Runs a program to its HLT in both ways. */
export function runBothWays(program: Program): readonly [BareCpu, BareCpu] {
  const pair = bothWays(program)
  for (const pc of pair) {
    const exit = patiently(pc, 1_000_000)
    expect(exit).toBe('hlt')
  }
  expectAlike(pair)
  return pair
}

/** Runs a turn; devices that are waited for answer at last. */
export function patiently(pc: BareCpu, budget: number): string {
  const end = pc.cpu.cost + budget
  for (;;) {
    const { reason } = pc.turn(end - pc.cpu.cost)
    if (reason !== 'blocked') return reason
  }
}

/** Points a vector to a handler of its own, on the page 5000H on: 64-bit mode only. */
export function handler(pc: BareCpu, vector: number, code: (asm: Assembler) => void): void {
  const address = 0x5000 + 0x100 * (vector & 15)
  pc.program(code, address)
  pc.vector(vector, address)
  // On a stack of its own, since that of the program may be where the fault is.
  pc.load(IDT + 16 * vector + 4, [1])
  pc.write64(TSS + 0x24, 0x6_0000n)
}
