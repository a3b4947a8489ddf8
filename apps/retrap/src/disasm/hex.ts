/** Hexadecimal digits for a listing, which has more of them than of anything else. `toString(16)` takes several times as long. */

/** A page of addresses, within which the last three digits alone change. */
export const PAGE_SHIFT = 12
export const PAGE_DIGITS = 3
export const PAGE_MASK = 0xfff

const offsets: readonly string[] = Array.from({ length: PAGE_MASK + 1 }, (_, offset) =>
  offset.toString(16).padStart(PAGE_DIGITS, '0'),
)

/** Three digits. */
export function pageOffset(offset: number): string {
  return offsets[offset]!
}

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER)
const PAGE_BYTES = 1 << PAGE_SHIFT

/** All digits of an address, without zeros before them. */
export function hexOf(address: bigint): string {
  if (address > MAX_EXACT) return address.toString(16)
  let rest = Number(address)
  let text = ''
  for (; rest >= PAGE_BYTES; rest = Math.floor(rest / PAGE_BYTES)) text = pageOffset(rest % PAGE_BYTES) + text
  return rest.toString(16) + text
}
