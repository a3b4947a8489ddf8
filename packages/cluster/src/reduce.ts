/** The failed property or program, without the details. */
export const kindOf = (failure: string | undefined): string | undefined => failure?.split(':')[0]

/**
 * Reduces a list to some items without which a run does not fail: by leaving out halves, then smaller parts, down to single ones.
 *
 * @param fails - whether a run with some of them fails as well; `next` is the list that is asked for if it does not
 *
 * Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
 */
export async function needed<T>(
  all: readonly T[],
  fails: (some: readonly T[], next: readonly T[] | undefined) => Promise<boolean>,
): Promise<readonly T[]> {
  let left = all
  const without = (at: number, size: number): readonly T[] | undefined =>
    at < left.length ? [...left.slice(0, at), ...left.slice(at + size)] : undefined
  for (let size = Math.ceil(left.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < left.length;) {
      const fewer = without(at, size)!
      if (await fails(fewer, without(at + size, size))) left = fewer
      else at += size
    }
  }
  return left
}
