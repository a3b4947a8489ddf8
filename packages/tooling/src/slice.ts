/**
 * Slices of suites that are too long for each run: `npm test` takes a part that changes with the commit, and `npm test
 * -- --long`, which runs each night, takes all. Other commits run the parts that one commit leaves out.
 */
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { TEST_LONG } from './long.ts'
import { words } from './random.ts'
import { sliceNumber } from './run/slice-number.ts'

/** The number that chooses a run's slices: `npm test -- --slice N` repeats the run of any commit. */
export const SLICE: number = sliceNumber()

/** The way to run the same slice at any commit, for the messages of a random suite's assertions. */
export const SLICE_REPEAT: string = TEST_LONG ? 'again: RETRAP_TEST_LONG=1' : `again: RETRAP_SLICE=${SLICE}`

/**
 * Whether all tests, and all files that are in turn, are taken, each with as many cases as in any run. `npm run -s mutate` has
 * it so: whether a change is noticed is not to depend on the commit.
 */
export const EVERY_TEST: boolean = TEST_LONG || process.env['RETRAP_EVERY_TEST'] === '1'

/** Returns a function that tells for each item of a list whether it is in the slice: one of `parts`. Files start at different parts. */
function chooser(parts: number, all: boolean): () => boolean {
  const name = Buffer.from(basename(expect.getState().testPath ?? ''))
  let position = name.reduce((sum, byte) => sum + byte, SLICE) % parts
  return () => all || position++ % parts === 0
}

/**
 * Returns this run's cases: one of `parts`, at least one case; all in a long run.
 *
 * @param cases - cases with similar durations
 */
export function sliced<T>(cases: readonly T[], parts: number): readonly T[] {
  return cases.filter(chooser(Math.min(parts, cases.length), TEST_LONG))
}

/** Returns the number of steps of a random suite: a fraction of a long run's, at least one. */
export function slicedCount(count: number, parts: number): number {
  return TEST_LONG ? count : Math.max(1, Math.round(count / parts))
}

/**
 * Returns a seed for a random suite, which changes with the slice. A long run takes the suite's own seed.
 *
 * @param seed - 32 bits, the suite's own
 */
export function slicedSeed(seed: number): number {
  return TEST_LONG ? seed : (seed ^ SLICE) >>> 0
}

/** Bounds the batches of {@link seedsUntil}: many more than any test needs. */
const MOST_BATCHES = 10

/**
 * Returns seeds for batches of random cases: the first seed, then others until the cases have met enough of a rare event.
 * An assertion on how often that event was met then holds for every slice.
 *
 * @param seed - the first batch's seed, 32 bits
 * @param isEnough - whether all batches so far have met enough
 */
export function* seedsUntil(seed: number, isEnough: () => boolean): Generator<number> {
  const next = words(seed)
  for (let batch = 0; batch < MOST_BATCHES && (batch === 0 || !isEnough()); batch++) yield batch === 0 ? seed : next()
}

/**
 * Returns a `test` for a file whose tests are independent of one another: a run takes one of `parts` of them, counted over
 * the file; for a table, one of `parts` of its rows. If a file has fewer tests than parts, some runs take none.
 */
export function sliceTests(parts: number): typeof test {
  return slice(test, chooser(parts, EVERY_TEST))
}

/** Returns a `describe` as {@link sliceTests} returns a `test`: groups that share a set-up are taken whole. */
export function sliceGroups(parts: number): typeof describe {
  return slice(describe, chooser(parts, EVERY_TEST))
}

/** Registers tests that `isIn` chooses: rows of `each` and `for`; other modifiers (`skipIf`, `concurrent`) keep the choice. */
function slice<T extends object>(register: T, isIn: () => boolean): T {
  return new Proxy(register, {
    apply: (target, self, args: unknown[]) =>
      isIn() ? Reflect.apply(target as unknown as (...all: unknown[]) => unknown, self, args) : undefined,
    get(target, key) {
      const value: unknown = Reflect.get(target, key)
      if (key === 'each' || key === 'for') {
        return (rows: readonly unknown[]) => {
          const some = rows.filter(() => isIn())
          return some.length === 0 ? () => {} : (value as (rows: readonly unknown[]) => unknown).call(target, some)
        }
      }
      if (key === 'skipIf' || key === 'runIf')
        return (condition: unknown) => slice((value as (condition: unknown) => object).call(target, condition), isIn)
      return typeof value === 'function' ? slice(value, isIn) : value
    },
  })
}
