/** The rights of an access, and the set of the TLB that knows of it. */
import { TRANSLATE_PAN, TRANSLATE_UNPRIVILEGED } from './host.ts'

/** How many sets there are. */
export const TLB_SETS = 4
/** Sets of the TLB: what EL0 may do, what EL1 may do, and what EL1 may do with PSTATE.PAN. */
const SET_EL0 = 0
const SET_EL1 = 1
const SET_EL1_PAN = 2

/** The rights of EL0 in AArch32, whose code is another. */
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
