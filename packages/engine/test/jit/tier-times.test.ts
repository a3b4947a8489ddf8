/** The time of each tier, from turns that are timed as a whole. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TierTimes } from '../../src/jit/tier-times.ts'

interface Turn {
  readonly compiled: number
  readonly interpreted: number
}

/** Nanoseconds of an instruction of each tier. */
interface Rates {
  readonly compiled: number
  readonly interpreted: number
}

/** What is found of turns, in milliseconds, beside the truth. */
function measure(turns: readonly Turn[], rates: Rates, noise: (turn: number) => number = () => 1): TierTimes {
  const tiers = new TierTimes()
  for (const [n, { compiled, interpreted }] of turns.entries()) {
    const time = (compiled * rates.compiled + interpreted * rates.interpreted) * 1e-6 * noise(n)
    if (tiers.isDue) tiers.note(compiled + interpreted, compiled, time)
    else tiers.pass(compiled + interpreted)
  }
  tiers.settle()
  return tiers
}

const truth = (turns: readonly Turn[], rates: Rates): { compiled: number; interpreted: number } => ({
  compiled: turns.reduce((sum, { compiled }) => sum + compiled, 0) * rates.compiled * 1e-6,
  interpreted: turns.reduce((sum, { interpreted }) => sum + interpreted, 0) * rates.interpreted * 1e-6,
})

/** Turns of a program that is compiled by and by, with a mixture of its own in each. */
const program = (length: number, instructions = 40_000): Turn[] =>
  Array.from({ length }, (_, n) => {
    const share = Math.min(1, Math.max(0, n / length + ((n * 37) % 100) / 100 - 0.5))
    return { compiled: Math.round(share * instructions), interpreted: Math.round((1 - share) * instructions) }
  })

test.each<Rates>([
  { compiled: 0.3, interpreted: 4 },
  { compiled: 1, interpreted: 3 },
  { compiled: 5, interpreted: 6 },
])('is found of a program whose turns are mixed ($compiled and $interpreted ns), though they vary', (rates) => {
  const turns = program(2000)
  const seen = measure(turns, rates, (n) => 0.7 + ((n * 7919) % 61) / 100)
  const { compiled, interpreted } = truth(turns, rates)
  expect(seen.compiled / compiled).toBeGreaterThan(0.85)
  expect(seen.compiled / compiled).toBeLessThan(1.15)
  expect(seen.interpreted / interpreted).toBeGreaterThan(0.85)
  expect(seen.interpreted / interpreted).toBeLessThan(1.15)
})

test('is all of one tier where the other has executed nothing', () => {
  const turns = program(300).map(({ compiled, interpreted }) => ({ compiled: 0, interpreted: compiled + interpreted }))
  expect(measure(turns, { compiled: 1, interpreted: 7 })).toMatchObject({ compiled: 0 })
  const swapped = turns.map(({ interpreted }) => ({ compiled: interpreted, interpreted: 0 }))
  expect(measure(swapped, { compiled: 1, interpreted: 7 })).toMatchObject({ interpreted: 0 })
})

test('of short turns is that of one in eight, eight times', () => {
  const turns = program(8000, 40)
  const rates = { compiled: 2, interpreted: 5 }
  const seen = measure(turns, rates)
  const { compiled, interpreted } = truth(turns, rates)
  expect((seen.compiled + seen.interpreted) / (compiled + interpreted)).toBeCloseTo(1, 1)
  expect(seen.compiled / compiled).toBeCloseTo(1, 1)
})

test('adds up to the time of long turns, whatever they are', () => {
  const turn = fc.record({
    instructions: fc.integer({ min: 2000, max: 100_000 }),
    compiled: fc.nat(120_000),
    time: fc.double({ min: 0, max: 5, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 600, size: 'max' }), (turns) => {
      const tiers = new TierTimes()
      let sum = 0
      for (const { instructions, compiled, time } of turns) {
        expect(tiers.isDue).toBe(true)
        tiers.note(instructions, compiled, time)
        sum += time
      }
      tiers.settle()
      expect(tiers.compiled + tiers.interpreted).toBeCloseTo(sum, 6)
      expect(Math.min(tiers.compiled, tiers.interpreted)).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: 50, seed: 8 },
  )
})

test('the time of a single instruction counts', () => {
  const { compiled, interpreted } = measure([{ compiled: 1, interpreted: 0 }], { compiled: 1e6, interpreted: 0 })
  expect(compiled + interpreted).toBeCloseTo(1)
})
