import { PAGE_BYTES } from '@retrap/memory'
import { expect } from 'vitest'
import { assemble, type Line } from './assemble.ts'
import { INLINABLE } from './forms.ts'
import type { ToyMachine, ToyPage } from './machine.ts'
import { ToyProcessor, type ToyOptions } from './processor.ts'
import { Reference } from './reference.ts'

/** Has all code compiled that a branch has come to twice. */
export const EAGER: NonNullable<ToyOptions['jit']> = { threshold: 1, fewestInstructions: 1 }
export const HOT: ReadonlySet<string> = new Set(INLINABLE)
const ENOUGH = 1_000_000
/** A page of memory that maps a frame. */
export const page = (frame: number): ToyPage => ({ frame, writable: true, device: false })

/** How {@link run} runs a program. */
export interface RunOptions extends Partial<Pick<ToyMachine, 'pages' | 'frames' | 'registers'>> {
  /** Offset in the first page. */
  readonly start?: number
  readonly budget?: number
  readonly jit?: ToyOptions['jit']
  /** Inlined forms; by default all. */
  readonly hot?: ReadonlySet<string>
  /** Called after each turn, with their count so far. */
  readonly afterTurn?: (processor: ToyProcessor, turns: number) => void
}

export function machineOf(lines: readonly Line[], { start = 0, ...rest }: RunOptions = {}): ToyMachine {
  const linear = new Uint8Array(2 * PAGE_BYTES).fill(0xff)
  linear.set(assemble(lines).bytes, start)
  return {
    relocated: false,
    pages: [page(0), page(1), page(0), undefined],
    frames: [linear.slice(0, PAGE_BYTES), linear.slice(PAGE_BYTES)],
    registers: Array.from({ length: 8 }, () => 0n),
    start,
    handler: 0x800,
    ...rest,
  }
}

/** Runs a program to its HALT, compiled and by the reference, which agree. */
export function run(lines: readonly Line[], options: RunOptions = {}): ToyProcessor {
  const { jit = EAGER, budget = ENOUGH, hot = HOT, afterTurn, ...rest } = options
  const machine = machineOf(lines, rest)
  const processor = new ToyProcessor(machine, { hot, jit })
  const reference = new Reference(machine)
  let turns = 0
  for (let left = ENOUGH; left > 0 && !processor.seen.halted; left -= budget) {
    processor.run(budget)
    reference.run(budget)
    expect(processor.seen).toEqual(reference.seen)
    afterTurn?.(processor, ++turns)
  }
  expect(processor.seen.halted).toBe(true)
  expect(processor.seen.log.filter((line) => line.includes('fault'))).toEqual([])
  expect(processor.jit!.counts).toMatchObject({ failures: 0 })
  return processor
}
