// The toy instruction set compiled: random programs, each turn of which ends where the reference ends it.
import fc from 'fast-check'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { seedsUntil, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { JitCounts } from '../../src/index.ts'
import { INLINABLE } from '../toy/forms.ts'
import { toyHelper } from '../toy/helper.ts'
import { ToyProcessor, type ToyOptions } from '../toy/processor.ts'
import { loopMachines, machines } from '../toy/programs.ts'
import { Reference } from '../toy/reference.ts'

const ALL: ReadonlySet<string> = new Set(INLINABLE)
const NONE: ReadonlySet<string> = new Set()
const EAGER = { threshold: 1, fewestInstructions: 1 }

/** Programs of each kind, of which there are fourteen. */
const RUNS = slicedCount(400, 10)

beforeEach(() => {
  // Compiled code is cold soon.
  let time = 0
  vi.spyOn(performance, 'now').mockImplementation(() => (time += 1000))
})

afterEach(() => {
  vi.restoreAllMocks()
})

const budgets = fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 400 })), {
  minLength: 1,
  maxLength: 12,
})

const FORMS: readonly {
  readonly how: string
  readonly options: ToyOptions
  readonly isKept?: boolean
  readonly late?: number
}[] = [
  { how: 'in place', options: { hot: ALL, jit: EAGER } },
  { how: 'by another thread', options: { hot: ALL, jit: EAGER }, late: 1 },
  { how: 'by a slow one', options: { hot: NONE, jit: { ...EAGER, misses: 1 } }, late: 3 },
  { how: 'once, and kept', options: { hot: ALL, jit: EAGER }, isKept: true },
  { how: 'in place, of forms that are functions', options: { hot: NONE, jit: EAGER } },
  {
    how: 'with calls of forms',
    options: { hot: NONE, jit: { ...EAGER, called: ['add', 'addz', 'mul', 'adr', 'load', 'store'] } },
  },
  { how: 'after a while', options: { hot: ALL, jit: { threshold: 5, fewestInstructions: 2 } } },
  { how: 'with room for a few units', options: { hot: ALL, jit: { ...EAGER, codeBytes: 2000 } } },
  { how: 'in an arena that is full again and again', options: { hot: ALL, arenaBytes: 64 << 10, jit: EAGER } },
]

describe.each([
  { form: 'wide', relocated: false },
  { form: 'relocated', relocated: true },
])('a random program, $form program counter', ({ relocated }) => {
  test.each(FORMS)(
    'compiled $how: every turn ends where the reference ends it',
    ({ options, isKept = false, late }) => {
      let units = 0
      let loaded = 0
      const programs = fc.property(
        fc.oneof(machines(relocated), loopMachines(relocated)),
        budgets,
        (machine, turns) => {
          const reference = new Reference(machine)
          const expected = turns.map((budget) => {
            reference.run(budget)
            return reference.seen
          })
          const play = (jit: ToyOptions['jit']): JitCounts => {
            const processor = new ToyProcessor(machine, { ...options, ...(jit && { jit }) })
            for (const [i, budget] of turns.entries()) {
              processor.run(budget)
              expect(processor.seen).toEqual(expected[i])
            }
            const { counts } = processor.jit!
            expect(counts.firstFailure).toBeUndefined()
            return counts
          }
          const helper = late === undefined ? undefined : toyHelper(relocated, late)
          if (!isKept) return void (units += play(helper && { ...options.jit, helper }).units)
          const jit = { ...options.jit, keep: new MemoryKeeper() }
          units += play(jit).units
          loaded += play(jit).loaded
        },
      )
      // About half of the programs compile nothing.
      const isEnough = (): boolean => units > RUNS / 4 && (!isKept || loaded > RUNS / 8)
      for (const seed of seedsUntil(slicedSeed(0x70_19), isEnough)) fc.assert(programs, { numRuns: RUNS, seed })
      expect(units).toBeGreaterThan(RUNS / 4)
      expect(loaded).toBeGreaterThan(isKept ? RUNS / 8 : -1)
    },
    600_000,
  )
})
