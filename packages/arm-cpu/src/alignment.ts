import type { I32, I64 } from '@retrap/wasm-emitter'
import { ACCESS_ALIGNED, ACCESS_ELEMENT_SHIFT } from './access-flags.ts'

/** Bytes of a page, and one: an access of `n` bytes lies in it at distances below this less `n`. */
export const PAGE_END = 0x1001

/** The bits of an address that must be clear and may not be, of an access that has to be aligned. */
export function misalignment(address: I64, flags: number): I32 | undefined {
  if ((flags & ACCESS_ALIGNED) === 0) return undefined
  const bytes = 1 << ((flags >>> ACCESS_ELEMENT_SHIFT) & 0xf)
  return bytes === 1 ? undefined : address.toI32().and(bytes - 1)
}
