import { isForeign, isRam, rightsOf } from './types.ts'

/*
 * Table entries are in EPT format (Intel SDM vol. 3C, "The Extended Page Table Mechanism"), as two 32-bit words:
 *
 *   low    0 R, 1 W, 2 X; 5:3 memory type; 7 leaf (levels 2 and 3); 31:12 machine address
 *   high   19:0 machine address 51:32, always zero here; 25:20 type; 30:27 access
 *
 * All that a processor's translation needs is in the low word, so that one 32-bit load of each level is a consistent
 * walk at any time.
 */

/** R, W and X: none of them, and the entry is not present. */
export const LO_RWX = 7
/** Leaf of more than 4 KiB. */
export const LO_LARGE = 0x80
const LO_WRITE_BACK = 6 << 3
/** Software's mark on leaves that give no rights, so that type INVALID and explicit MMIO_DM are not all zero. */
export const HI_LEAF = 0x8000_0000
/** Xen's `p2m_access_rwx`. */
const HI_ACCESS_RWX = 7 << 27

/** Low word of an entry that points to a table. */
export function tableLo(mfn: number): number {
  return ((mfn << 12) | LO_RWX) >>> 0
}

/** High word of an entry that points to a table: of type RAM_RW, as in Xen. */
export const TABLE_HI: number = HI_ACCESS_RWX

/** Low word of a leaf. `mfn` is ignored for a type without frames. */
export function leafLo(mfn: number, type: number, order: number): number {
  const large = order > 0 ? LO_LARGE : 0
  return isRam(type) || isForeign(type) ? ((mfn << 12) | large | LO_WRITE_BACK | rightsOf(type)) >>> 0 : large
}

/** High word of a leaf. */
export function leafHi(type: number): number {
  return (HI_LEAF | HI_ACCESS_RWX | (type << 20)) >>> 0
}

/** Type of a leaf by its high word. */
export function typeOf(hi: number): number {
  return (hi >>> 20) & 0x3f
}

/** Levels of the table; level 1 has the 4 KiB leaves. */
export const LEVELS = 4

/** Whether an entry of a level maps something, or says that nothing is there. */
export function isLeaf(lo: number, hi: number, level: number): boolean {
  return hi >= HI_LEAF && (level === 1 || (level < LEVELS && (lo & LO_LARGE) !== 0))
}

/** Whether an entry of a level points to a table. */
export function isTable(lo: number, hi: number, level: number): boolean {
  return level > 1 && hi < HI_LEAF && (lo & LO_RWX) !== 0
}
