import { LEAF_LEVELS, type TableFormat } from './format.ts'
import { ArmP2mType, ARM_TYPES, P2M_EXECUTE, P2M_READ, P2M_WRITE } from './types.ts'

/*
 * Arm ARM (DDI 0487), "VMSAv8-64 translation table format descriptors", stage 2 with 4 KiB granules. Two 32-bit words:
 *
 *   low    0 valid; 1 table (above the last level) or page (at it); 5:2 MemAttr; 6 read; 7 write; 9:8 SH; 10 AF;
 *          31:12 machine address
 *   high   15:0 machine address 47:32, always zero here; 20 contiguous; 22 XN; 26:23 type; 31 counted
 *
 *          of a table: 31 sealed
 *
 * Hardware ignores bits 58:55 and 63. An entry whose type is not 0 is in use, whatever its valid bit says: that may be
 * taken away to have the next access fault.
 */

/** Hardware uses the entry. */
export const LO_VALID = 1
const LO_TABLE_OR_PAGE = 2
const LO_READ = 1 << 6
const LO_WRITE = 1 << 7
const LO_ACCESSED = 1 << 10
const SH_OUTER = 2 << 8
const SH_INNER = 3 << 8
const HI_CONTIGUOUS = 1 << 20
const HI_XN = 1 << 22
const TYPE_SHIFT = 23

const NORMAL = (0xf << 2) | SH_INNER
/** MemAttr and SH, for types that are not ordinary memory. */
const ATTRIBUTES: Readonly<Record<number, number>> = {
  [ArmP2mType.MMIO_DIRECT_DEV]: (0x1 << 2) | SH_OUTER,
  [ArmP2mType.MMIO_DIRECT_NC]: (0x5 << 2) | SH_OUTER,
  [ArmP2mType.MMIO_DIRECT_C]: (0xf << 2) | SH_OUTER,
}

/** Stage-2 entries. */
export const LPAE: TableFormat = {
  name: 'lpae',
  types: ARM_TYPES,
  present: LO_VALID,
  // A block has the bit clear that a table has set.
  leafBit: LO_TABLE_OR_PAGE,
  leafFlip: LO_TABLE_OR_PAGE,
  read: LO_READ,
  write: LO_WRITE,
  execute: 0,
  counted: 2 ** 31,
  sealed: 2 ** 31,
  contiguous: HI_CONTIGUOUS,
  breakBeforeMake: true,
  leafLo(mfn, type, rights, order) {
    if (mfn < 0) return 0
    const attributes = ATTRIBUTES[type] ?? NORMAL
    const page = order === 0 ? LO_TABLE_OR_PAGE : 0
    const access = ((rights & P2M_READ) === 0 ? 0 : LO_READ) | ((rights & P2M_WRITE) === 0 ? 0 : LO_WRITE)
    return ((mfn << 12) | LO_VALID | page | attributes | access | LO_ACCESSED) >>> 0
  },
  leafHi(type, rights) {
    return (rights & P2M_EXECUTE) === 0 && type !== ArmP2mType.INVALID
      ? (type << TYPE_SHIFT) | HI_XN
      : type << TYPE_SHIFT
  },
  tableLo(mfn) {
    return ((mfn << 12) | LO_VALID | LO_TABLE_OR_PAGE) >>> 0
  },
  // "Valid by type" holds for tables, too.
  tableHi: ArmP2mType.RAM_RW << TYPE_SHIFT,
  isLeaf(lo, hi, level) {
    return typeOf(hi) !== 0 && (level === 1 || (level <= LEAF_LEVELS && (lo & LO_TABLE_OR_PAGE) === 0))
  },
  isTable(lo, hi, level) {
    return level > 1 && typeOf(hi) !== 0 && (lo & LO_TABLE_OR_PAGE) !== 0
  },
  typeOf,
  // Kept beside the tables: see `AccessTree`.
  accessOf() {
    return 7
  },
  rightsOf(lo, hi) {
    if (typeOf(hi) === 0) return 0
    return ((lo >>> 6) & (P2M_READ | P2M_WRITE)) | ((hi & HI_XN) === 0 ? P2M_EXECUTE : 0)
  },
  partLo(lo, step, order) {
    const flags = (lo & 0xfff & ~LO_TABLE_OR_PAGE) | (order === 0 ? LO_TABLE_OR_PAGE : 0)
    return ((((lo >>> 12) + step) << 12) | flags) >>> 0
  },
}

function typeOf(hi: number): number {
  return (hi >>> TYPE_SHIFT) & 0xf
}
