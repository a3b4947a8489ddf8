import { P2M_EXECUTE, P2M_READ, P2M_WRITE, P2mType, X86_TYPES } from './types.ts'
import { LEAF_LEVELS, type TableFormat } from './format.ts'

/*
 * Intel SDM vol. 3C, "The Extended Page Table Mechanism (EPT)". An entry is two 32-bit words:
 *
 *   low    0 R, 1 W, 2 X; 5:3 memory type; 7 leaf (levels 2 and 3); 31:12 machine address
 *   high   19:0 machine address 51:32, always zero here; 25:20 type; 26 counted, or of a table: sealed; 30:27 access; 31 leaf
 *
 * All that a processor's translation needs is in the low word, so that one 32-bit load of each level is a consistent
 * walk at any time. Bits of the high word from 20 on are ignored by hardware, suppress-#VE (63) where it is not enabled.
 */

const RWX = P2M_READ | P2M_WRITE | P2M_EXECUTE
/** Leaf of more than 4 KiB. */
const LARGE = 0x80
const UNCACHEABLE = 0
const WRITE_BACK = 6 << 3
/** Software's mark on leaves, so that leaves of type INVALID and explicit MMIO_DM are not all zero. */
const HI_LEAF = 0x8000_0000
const ACCESS_SHIFT = 27
/** `XENMEM_access_rwx`. */
const ACCESS_RWX = 7

/** EPT entries. */
export const EPT: TableFormat = {
  name: 'ept',
  types: X86_TYPES,
  present: RWX,
  leafBit: LARGE,
  leafFlip: 0,
  read: P2M_READ,
  write: P2M_WRITE,
  execute: P2M_EXECUTE,
  counted: 1 << 26,
  sealed: 1 << 26,
  contiguous: 0,
  breakBeforeMake: false,
  leafLo(mfn, type, rights, order) {
    const large = order > 0 ? LARGE : 0
    if (mfn < 0) return large
    const memoryType = type === P2mType.MMIO_DIRECT ? UNCACHEABLE : WRITE_BACK
    return ((mfn << 12) | large | memoryType | rights) >>> 0
  },
  leafHi(type, _rights, access) {
    return (HI_LEAF | (access << ACCESS_SHIFT) | (type << 20)) >>> 0
  },
  tableLo(mfn) {
    return ((mfn << 12) | RWX) >>> 0
  },
  // Flags of type RAM_RW, with all accesses.
  tableHi: ACCESS_RWX << ACCESS_SHIFT,
  isLeaf(lo, hi, level) {
    return hi >= HI_LEAF && (level === 1 || (level <= LEAF_LEVELS && (lo & LARGE) !== 0))
  },
  isTable(lo, hi, level) {
    return level > 1 && hi < HI_LEAF && (lo & RWX) !== 0
  },
  typeOf(hi) {
    return (hi >>> 20) & 0x3f
  },
  accessOf(hi) {
    return (hi >>> ACCESS_SHIFT) & 0xf
  },
  rightsOf(lo) {
    return lo & RWX
  },
  partLo(lo, step, order) {
    const flags = (lo & 0xfff & ~LARGE) | (order > 0 ? LARGE : 0)
    const mfn = lo >>> 12
    return mfn === 0 ? flags : (((mfn + step) << 12) | flags) >>> 0
  },
}
