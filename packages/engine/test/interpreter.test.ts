import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { ModuleBuilder } from '@retrap/wasm-emitter'
import { generateInterpreter, importDispatch, importMachineMemory } from '../src/index.ts'
import { INLINABLE, ToyForms } from './toy/forms.ts'
import { ToyProcessor } from './toy/processor.ts'
import { machines } from './toy/programs.ts'
import { Reference } from './toy/reference.ts'
import { WIDE } from './toy/state.ts'

const ALL: ReadonlySet<string> = new Set(INLINABLE)
const NONE: ReadonlySet<string> = new Set()
const HALF: ReadonlySet<string> = new Set(INLINABLE.filter((_, i) => i % 2 === 0))

/** Budgets of the turns of one run: short ones, so that many turns end somewhere awkward. */
const budgets = fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 300 })), {
  minLength: 1,
  maxLength: 12,
})

describe.each([
  { form: 'wide', relocated: false },
  { form: 'relocated', relocated: true },
])('a random program of the toy instruction set, $form program counter', ({ relocated }) => {
  test.each([
    { how: 'all forms inlined', options: { hot: ALL } },
    { how: 'half of the forms inlined', options: { hot: HALF } },
    { how: 'all forms as functions', options: { hot: NONE } },
    { how: 'each instruction alone', options: { hot: HALF, alone: true } },
    { how: 'an arena that is full again and again', options: { hot: ALL, arenaBytes: 64 << 10 } },
  ])('$how: every turn ends where the reference ends it, in the same state', ({ options }) => {
    fc.assert(
      fc.property(machines(relocated), budgets, (machine, turns) => {
        const processor = new ToyProcessor(machine, options)
        const reference = new Reference(machine)
        for (const budget of turns) {
          processor.run(budget)
          reference.run(budget)
          expect(processor.seen).toEqual(reference.seen)
        }
      }),
      { numRuns: slicedCount(150, 4) },
    )
  })
})

test.each([
  { how: 'all inlined', hot: ALL },
  { how: 'half of them inlined', hot: HALF },
  { how: 'none inlined', hot: NONE },
])('the code of each form, $how, leads back to it', ({ hot }) => {
  const module = new ModuleBuilder()
  importMachineMemory(module, false)
  const access = module.importFunction('cpu', 'access', { params: ['i32', 'i32', 'i32'], result: 'i32' } as const)
  const forms = new ToyForms(hot, access, WIDE)
  const code = generateInterpreter(module, importDispatch(module), WIDE, forms)
  expect(code.codes.size).toBeGreaterThan(INLINABLE.length)
  for (const [key, { op, fn }] of code.codes) {
    const form = code.formOf(op, fn)
    expect(form === undefined ? undefined : forms.keyOf(form)).toBe(key)
    // An inlined form has no function.
    expect([key, code.functionBytes(op, fn) > 0]).toEqual([key, !hot.has(key)])
  }
})
