// Marks tests that are too long for `npm test`: it shows a rule by its shortest or hardest case, and `npm test -- --long` runs
// the others too.

/** Whether `RETRAP_TEST_LONG=1` asks for all cases of the tests. */
export const TEST_LONG: boolean = process.env['RETRAP_TEST_LONG'] === '1'

/**
 * The cases of a test.
 *
 * @param always - cases that `npm test` always runs
 * @param long - further cases for `npm test -- --long`
 */
export function withLong<T>(always: readonly T[], long: readonly T[]): readonly T[] {
  return TEST_LONG ? [...always, ...long] : always
}
