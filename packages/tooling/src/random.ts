/** Pseudorandom numbers, equal in each run. */

/**
 * Returns a small generator of 32-bit numbers, reproducible by its seed.
 *
 * @param seed - 32 bits; neighbouring seeds give unrelated numbers
 */
export function words(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    // A Weyl sequence, mixed by the finalizer of MurmurHash3.
    state = (state + 0x9e37_79b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85eb_ca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
}

/**
 * Returns a generator of whole numbers below a bound, reproducible by seed and bounds.
 *
 * @param seed - 32 bits
 */
export function numbers(seed: number): (bound: number) => number {
  const next = words(seed)
  return (bound) => Math.floor((next() / 2 ** 32) * bound)
}

/** Choices that cases are drawn with; the `Rng` of soaks has them too. */
export interface Choices {
  pick<T>(choices: readonly T[]): T
  chance(numerator: number, denominator: number): boolean
}

/** Returns random choices, reproducible by a 32-bit seed. */
export function choices(seed: number): Choices {
  const below = numbers(seed)
  return {
    pick: <T>(list: readonly T[]) => list[below(list.length)]!,
    chance: (numerator, denominator) => below(denominator) < numerator,
  }
}
