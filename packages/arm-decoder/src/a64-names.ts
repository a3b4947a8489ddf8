/** Names of registers and of what stands beside them, in lower case, as A64's texts have them. */

/** Kinds of shift, by number. */
export const SHIFTS = ['lsl', 'lsr', 'asr', 'ror'] as const

/** Arrangements of a vector: by the size of an element (as a power of two), each of 64 bits and of 128. */
export const ARRANGEMENTS = ['8b', '16b', '4h', '8h', '2s', '4s', '1d', '2d'] as const

/**
 * The name of a register.
 *
 * @param kind - `w` and `x` general-purpose, `v` vectors, `b` `h` `s` `d` `q` scalars of SIMD&FP
 * @param stack - register 31 is the stack pointer, not the zero register
 */
export function registerName(kind: string, number: number, stack = false): string {
  if (number !== 31 || (kind !== 'w' && kind !== 'x')) return `${kind}${number}`
  if (!stack) return `${kind}zr`
  return kind === 'x' ? 'sp' : 'wsp'
}

/** Consecutive vectors: `{v0.4s, v1.4s}`; register 0 follows register 31. */
export function vectorList(first: number, count: number, arrangement: string): string {
  const names = Array.from({ length: count }, (_, index) => `v${(first + index) & 31}.${arrangement}`)
  return `{${names.join(', ')}}`
}
