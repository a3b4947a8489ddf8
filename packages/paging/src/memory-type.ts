import { check } from './arguments.ts'
import { PagingError } from './errors.ts'

/** Memory types, by their numbers in MTRRs and in IA32_PAT. */
export const MemoryType = {
  /** Uncacheable. */
  UC: 0,
  /** Write-combining. */
  WC: 1,
  /** Write-through. */
  WT: 4,
  /** Write-protected. */
  WP: 5,
  /** Write-back. */
  WB: 6,
  /** A type of IA32_PAT only: uncacheable unless an MTRR says write-combining. */
  UC_MINUS: 7,
} as const

/** A value of `MemoryType`. */
export type MemoryType = (typeof MemoryType)[keyof typeof MemoryType]

/** The memory-type range registers, as RDMSR gives them. */
export interface Mtrrs {
  /** MAXPHYADDR: 32 to 52. */
  readonly maxPhysicalBits: number
  /** IA32_MTRR_DEF_TYPE. */
  readonly defType: bigint
  /** IA32_MTRR_FIX64K_00000, FIX16K_80000, FIX16K_A0000, FIX4K_C0000 to FIX4K_F8000: 11, or none. */
  readonly fixed: readonly bigint[]
  /** IA32_MTRR_PHYSBASEn and PHYSMASKn. */
  readonly variable: readonly { readonly base: bigint; readonly mask: bigint }[]
}

/** IA32_PAT after reset: WB, WT, UC−, UC, and the same again. */
export const PAT_RESET = 0x0007_0406_0007_0406n

const DEF_TYPE_FIXED = 1n << 10n
const DEF_TYPE_ENABLED = 1n << 11n
const MASK_VALID = 1n << 11n
const MEGABYTE = 0x10_0000
const FIXED_COUNT = 11

/**
 * The memory type that MTRRs give an address.
 *
 * @throws PagingError `ERR_ADDRESS` for one beyond MAXPHYADDR
 *
 * Source: Intel SDM vol. 3A, "Memory Type Range Registers (MTRRs)", "MTRR Precedences".
 */
export function mtrrType(mtrrs: Mtrrs, gpa: number): MemoryType {
  check.object('mtrrs', mtrrs)
  check.number('maxPhysicalBits', mtrrs.maxPhysicalBits)
  check.bigint('defType', mtrrs.defType)
  check.number('gpa', gpa)
  if (!(Number.isSafeInteger(gpa) && gpa >= 0 && gpa < 2 ** mtrrs.maxPhysicalBits)) {
    throw new PagingError('ERR_ADDRESS', `guest-physical address ${gpa}: expected ${mtrrs.maxPhysicalBits} bits`, {
      gpa,
    })
  }
  if ((mtrrs.defType & DEF_TYPE_ENABLED) === 0n) return MemoryType.UC
  if (gpa < MEGABYTE && (mtrrs.defType & DEF_TYPE_FIXED) !== 0n && mtrrs.fixed.length === FIXED_COUNT) {
    return fixedType(mtrrs.fixed, gpa)
  }
  const page = BigInt(gpa) & ~0xfffn
  const bits = (1n << BigInt(mtrrs.maxPhysicalBits)) - 1n
  let found: MemoryType | undefined
  for (const { base, mask } of mtrrs.variable) {
    if ((mask & MASK_VALID) === 0n) continue
    const field = mask & bits & ~0xfffn
    if ((page & field) !== (base & field)) continue
    const type = Number(base & 0xffn) as MemoryType
    found = found === undefined ? type : overlap(found, type)
  }
  return found ?? (Number(mtrrs.defType & 0xffn) as MemoryType)
}

/** Eight ranges a register: of 64 KiB from 0, of 16 KiB from 80000H, of 4 KiB from C0000H. */
function fixedType(fixed: readonly bigint[], gpa: number): MemoryType {
  const field =
    gpa < 0x8_0000 ? gpa >> 16 : gpa < 0xc_0000 ? 8 + ((gpa - 0x8_0000) >> 14) : 24 + ((gpa - 0xc_0000) >> 12)
  return Number(((fixed[field >> 3] ?? 0n) >> BigInt((field & 7) * 8)) & 0xffn) as MemoryType
}

/** Combines overlapping variable ranges: equal types stay, UC wins, WT wins over WB; anything else is undefined, so UC. */
function overlap(a: MemoryType, b: MemoryType): MemoryType {
  if (a === b) return a
  const isThrough = (type: MemoryType): boolean => type === MemoryType.WT || type === MemoryType.WB
  return isThrough(a) && isThrough(b) ? MemoryType.WT : MemoryType.UC
}

/**
 * Which of IA32_PAT's eight fields a leaf selects: PAT, PCD and PWT. PAT is bit 12 of a large leaf, else bit 7.
 *
 * Source: Intel SDM vol. 3A, "Selecting a Memory Type from the PAT".
 */
export function patIndex(leafLo: number, level: number): number {
  return ((leafLo >>> 3) & 3) | (level === 1 ? (leafLo >>> 5) & 4 : (leafLo >>> 10) & 4)
}

/** The memory type in a field of IA32_PAT. @param pat - the register */
export function patType(pat: bigint, index: number): MemoryType {
  check.bigint('pat', pat)
  check.number('index', index)
  if (!(Number.isInteger(index) && index >= 0 && index <= 7)) {
    throw new PagingError('ERR_ARGUMENT', `index ${index}: expected 0 to 7`, { index })
  }
  return Number((pat >> BigInt(index * 8)) & 7n) as MemoryType
}

const { UC, WC, WT, WP, WB } = MemoryType

/** By the MTRRs' type, and in it by PAT's: UC, WC, WT, WP, WB, UC−. */
const EFFECTIVE: Readonly<Record<number, readonly MemoryType[]>> = {
  [UC]: [UC, WC, UC, UC, UC, UC],
  [WC]: [UC, WC, UC, UC, WC, WC],
  [WT]: [UC, WC, WT, WP, WT, UC],
  [WP]: [UC, WC, WT, WP, WP, WC],
  [WB]: [UC, WC, WT, WP, WB, UC],
}
const PAT_ORDER: readonly number[] = [UC, WC, WT, WP, WB, MemoryType.UC_MINUS]

/**
 * The memory type of an access, from the MTRRs' and the page's. With CR0.CD nothing is cached, and it is UC whatever
 * they say, which is for the caller to know.
 *
 * @returns never UC−; UC for reserved types
 *
 * Source: Intel SDM vol. 3A, table "Effective Page-Level Memory Types for Pentium III and More Recent Processor Families".
 */
export function effectiveMemoryType(mtrr: MemoryType, pat: MemoryType): MemoryType {
  return EFFECTIVE[mtrr]?.[PAT_ORDER.indexOf(pat)] ?? UC
}
