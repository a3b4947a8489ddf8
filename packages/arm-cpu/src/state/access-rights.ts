/** The rights of an access, and the set of the TLB that knows of it. */
import type { I32, I64 } from '@retrap/wasm-emitter'
import { TRANSLATE_PAN, TRANSLATE_UNPRIVILEGED } from './host.ts'

/** The description of an access for the host: its bytes in the low eight bits, and these. */

/** A write. */
export const ACCESS_WRITE = 0x100
/** With EL0's rights at any exception level: LDTR, STTR. */
export const ACCESS_UNPRIVILEGED = 0x200
/** Must be naturally aligned, regardless of SCTLR_ELx.A: exclusives, atomics, ordered accesses. */
export const ACCESS_ALIGNED = 0x400
/**
 * The access is made in place: the host says at which machine address, and is told when it is done ({@link ACCESS_DONE}). Memory
 * is read and written, unless `ACCESS_WRITE` says that it is only written.
 */
export const ACCESS_MODIFY = 0x800
/** A write in place is done: the address is that in machine memory. */
export const ACCESS_DONE = 0x1_0000
/** Cache maintenance: nothing but the translation is needed. */
export const ACCESS_CACHE = 0x2_0000
/** The whole block, a power of two of bytes, that the address lies in. */
export const ACCESS_BLOCK = 0x4_0000
/** log2 of an element's size, for accesses of several elements. */
export const ACCESS_ELEMENT_SHIFT = 12

/** Number of TLB sets. */
export const TLB_SETS = 4
/** Sets of the TLB: what EL0 may do, what EL1 may do, and what EL1 may do with PSTATE.PAN. */
const SET_EL0 = 0
const SET_EL1 = 1
const SET_EL1_PAN = 2

/** Rights of EL0 in AArch32, which executes other code. */
export const SET_AARCH32 = 3

/** The rights of a processor's accesses: `TRANSLATE_*` for data, for data with the rights of EL0 (LDTR, STTR), for code. */
export interface Rights {
  readonly set: number
  readonly data: number
  readonly unprivilegedSet: number
  readonly unprivileged: number
  readonly code: number
}

const EL1_AS_EL0 = { unprivilegedSet: SET_EL0, unprivileged: TRANSLATE_UNPRIVILEGED, code: 0 }
const EL1 = { set: SET_EL1, data: 0 }
const EL1_PAN = { set: SET_EL1_PAN, data: TRANSLATE_PAN }

/** Bit of S_RIGHTS: every access must be aligned to its element, SCTLR_ELx.A. */
export const STRICT = 8
/** Bit of S_RIGHTS: watchpoints may match, so that no access may be made without a look at them. */
export const WATCHED = 16

/** Flags of a level, besides `STRICT` and `WATCHED`: PSTATE.PAN and PSTATE.UAO, as RIGHTS counts them; EL0 has neither. */
export const LEVEL_PAN = 1
export const LEVEL_UAO = 2

/** Number of S_RIGHTS: EL0 in AArch32. */
export const AARCH32 = 5

/** By the number of S_RIGHTS: EL0; EL1; EL1 with PAN; the last two with UAO; EL0 in AArch32. */
export const RIGHTS: readonly Rights[] = [
  { ...EL1_AS_EL0, set: SET_EL0, data: TRANSLATE_UNPRIVILEGED, code: TRANSLATE_UNPRIVILEGED },
  { ...EL1, ...EL1_AS_EL0 },
  { ...EL1_PAN, ...EL1_AS_EL0 },
  { ...EL1, unprivilegedSet: SET_EL1, unprivileged: 0, code: 0 },
  { ...EL1_PAN, unprivilegedSet: SET_EL1_PAN, unprivileged: TRANSLATE_PAN, code: 0 },
  {
    set: SET_AARCH32,
    data: TRANSLATE_UNPRIVILEGED,
    unprivilegedSet: SET_AARCH32,
    unprivileged: TRANSLATE_UNPRIVILEGED,
    code: TRANSLATE_UNPRIVILEGED,
  },
]

/** Bytes of a page, and one: an access of `n` bytes lies in it at distances below this less `n`. */
export const PAGE_END = 0x1001

/** The bits of an address that must be clear and may not be, of an access that has to be aligned. */
export function misalignment(address: I64, flags: number): I32 | undefined {
  if ((flags & ACCESS_ALIGNED) === 0) return undefined
  const bytes = 1 << ((flags >>> ACCESS_ELEMENT_SHIFT) & 0xf)
  return bytes === 1 ? undefined : address.toI32().and(bytes - 1)
}
