import { PAGE_BYTES } from '@retrap/memory'

/**
 * Calls `each` with the guest-physical address of each page's part of a range of linear addresses: for debuggers.
 *
 * @param physical - the guest-physical address of a linear one; −1 where it is not mapped
 * @param each - `from` and `to` count bytes of the range @returns whether there is memory
 * @returns the bytes up to the first that fails
 */
export function linearPieces(
  linear: bigint,
  length: number,
  physical: (lo: number, hi: number) => number,
  each: (gpa: number, from: number, to: number) => boolean,
): number {
  let done = 0
  while (done < length) {
    const at = BigInt.asUintN(64, linear + BigInt(done))
    const [lo, hi] = [Number(at & 0xffff_ffffn), Number(at >> 32n)]
    const gpa = physical(lo, hi)
    const end = Math.min(length, done + PAGE_BYTES - (lo & (PAGE_BYTES - 1)))
    if (gpa < 0 || !each(gpa, done, end)) break
    done = end
  }
  return done
}
