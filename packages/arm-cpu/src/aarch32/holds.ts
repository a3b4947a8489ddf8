/**
 * Whether a condition holds.
 *
 * @param condition - 0 to 14
 * @param flags - N, Z, C and V in bits 31 to 28
 */
export function holds(condition: number, flags: number): boolean {
  const [n, z, c, v] = [31, 30, 29, 28].map((bit) => ((flags >>> bit) & 1) !== 0)
  const base = [z, c, n, v, c && !z, n === v, n === v && !z, true][condition >> 1]!
  return base === ((condition & 1) === 0)
}
