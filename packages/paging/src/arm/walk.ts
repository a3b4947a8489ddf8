/**
 * Stage-1 walks of the Arm EL1&0 regime: VMSAv8-64 with 4K, 16K and 64K granules, VMSAv8-32 with long and short
 * descriptors.
 *
 * Source: Arm ARM (DDI 0487), "The AArch64 Virtual Memory System Architecture", "The AArch32 Virtual Memory System
 * Architecture".
 */
import { PAGE_BYTES } from '@retrap/memory'
import { SECOND_LEVEL_FAULT } from '../bits.ts'
import type { TableReader } from '../table-reader.ts'
import { ArmFormat, type ArmHalf, type ArmPagingContext } from './context.ts'
import { walkShort } from './walk-short.ts'
import {
  ARM_FETCH,
  ARM_PAN,
  ARM_UNPRIVILEGED,
  ARM_WALK_OK,
  ARM_WALK_TABLE,
  ARM_WRITE,
  type ArmWalkResult,
  fault,
  keepsChanging,
  MOST_RESTARTS,
} from './walk-result.ts'

/** Attributes of memory, as in MAIR: Device-nGnRnE; Normal, write-back. */
const DEVICE = 0
const NORMAL = 0xff

// Fault status codes, to which the level is added.
const ADDRESS_SIZE = 0x00
const TRANSLATION = 0x04
const ACCESS_FLAG = 0x08
const PERMISSION = 0x0c

/**
 * Walks the tables for one address.
 *
 * @param vaLo, vaHi - the address; `vaHi` is ignored in AArch32
 * @param access - `ARM_` bits
 * @param result - filled in
 * @returns `ARM_WALK_OK`, `ARM_WALK_FAULT`, or `ARM_WALK_TABLE`
 */
export function walkArm(
  context: ArmPagingContext,
  reader: TableReader,
  vaLo: number,
  vaHi: number,
  access: number,
  result: ArmWalkResult,
): number {
  result.status = 0
  result.domain = false
  result.guarded = false
  result.level = 0
  switch (context.format) {
    case ArmFormat.OFF:
      return walkFlat(context.lower, vaLo, vaHi, access, result)
    case ArmFormat.SHORT:
      return walkShort(context, reader, vaLo >>> 0, access, result)
    default:
      return walkLong(context, reader, vaLo >>> 0, vaHi >>> 0, access, result)
  }
}

/** Without stage 1, all data is Device memory. */
function walkFlat(lower: ArmHalf, vaLo: number, vaHi: number, access: number, result: ArmWalkResult): number {
  const hi = lower.inputBits === 32 ? 0 : ignoresTopByte(lower, access) ? vaHi & 0xff_ffff : vaHi >>> 0
  if (hi > 0xffff) return fault(result, ADDRESS_SIZE, 0)
  result.ipa = hi * 2 ** 32 + (vaLo >>> 0)
  result.pageBytes = PAGE_BYTES
  result.device = (access & ARM_FETCH) === 0
  result.attributes = result.device ? DEVICE : NORMAL
  result.global = true
  return ARM_WALK_OK
}

const ignoresTopByte = (half: ArmHalf, access: number): boolean =>
  (access & ARM_FETCH) === 0 ? half.topByteIgnored : half.fetchTopByteIgnored

/** Which half of the address space translates an address; undefined if none does. */
function chooseHalf(context: ArmPagingContext, lo: number, hi: number, access: number): ArmHalf | undefined {
  if (context.format === ArmFormat.LONG_32) return chooseHalf32(context, lo)
  const upper = (hi & (1 << 23)) !== 0
  const chosen = upper ? context.upper : context.lower
  // All bits above those translated must be equal to bit 55, except a top byte that is ignored.
  const top = ignoresTopByte(chosen, access) ? 24 : 32
  const from = chosen.inputBits - 32
  if (chosen.disabled || !bitsEqual(lo, hi, from, top, upper)) return undefined
  if (chosen.unprivilegedDisabled && (access & ARM_UNPRIVILEGED) !== 0) return undefined
  return chosen
}

/** Whether bits 32+`from` to 31+`top` of an address are all `ones`; `from` may be negative. */
function bitsEqual(lo: number, hi: number, from: number, top: number, ones: boolean): boolean {
  const high = ((ones ? ~hi : hi) << (32 - top)) >>> (32 - top)
  if (from < 0) return high === 0 && (ones ? ~lo : lo) >>> (32 + from) === 0
  return from >= 32 || high >>> from === 0
}

/** VMSAv8-32: T0SZ and T1SZ determine the upper range, which uses TTBR1. */
function chooseHalf32(context: ArmPagingContext, lo: number): ArmHalf | undefined {
  const { lower, upper } = context
  const t0 = 32 - lower.inputBits
  const t1 = 32 - upper.inputBits
  const inLower = t0 === 0 || lo >>> lower.inputBits === 0
  if (inLower && (t0 !== 0 || t1 === 0 || lo >>> upper.inputBits !== 2 ** t1 - 1)) {
    return lower.disabled ? undefined : lower
  }
  const inUpper = t1 === 0 ? !inLower : lo >>> upper.inputBits === 2 ** t1 - 1
  return inUpper && !upper.disabled ? upper : undefined
}

/** Bits `shift` up of a 64-bit value, as a number; `width` ≤ 16. */
function bits(lo: number, hi: number, shift: number, width: number): number {
  const value = shift >= 32 ? hi >>> (shift - 32) : shift === 0 ? lo : (lo >>> shift) | (hi << (32 - shift))
  return value & ((1 << width) - 1)
}

// Descriptor bits of the low word.
const VALID = 1
const TABLE = 2
const AP_USER = 1 << 6
const AP_READ_ONLY = 1 << 7
const ACCESS_FLAG_BIT = 1 << 10
const NOT_GLOBAL = 1 << 11
// Descriptor bits of the high word.
const GUARDED = 1 << 18
const DIRTY_MODIFIER = 1 << 19
const PXN = 1 << 21
const UXN = 1 << 22
const PXN_TABLE = 1 << 27
const UXN_TABLE = 1 << 28
const AP_TABLE_USER = 1 << 29
const AP_TABLE_READ_ONLY = 1 << 30

function walkLong(
  context: ArmPagingContext,
  reader: TableReader,
  lo: number,
  hi: number,
  access: number,
  result: ArmWalkResult,
): number {
  const chosen = chooseHalf(context, lo, hi, access)
  // An address that no table translates is a fault at level 0; in AArch32 at level 1.
  if (chosen === undefined) return fault(result, TRANSLATION, context.format === ArmFormat.LONG_32 ? 1 : 0)
  const { entry } = result
  const addresses = 2 ** context.outputBits
  if (chosen.table >= addresses) return fault(result, ADDRESS_SIZE, 0)
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    let { level, table } = chosen
    // Rights that tables above take away.
    let taken = 0
    for (;;) {
      const shift = chosen.granule + (3 - level) * chosen.stride
      const width = Math.min(chosen.inputBits - shift, chosen.stride)
      const address = table + bits(lo, hi, shift, width) * 8
      result.tableIpa = address
      result.level = level
      if (reader.read64(address, entry) !== true) return ARM_WALK_TABLE
      const entryLo = entry[0]!
      const entryHi = entry[1]!
      if ((entryLo & VALID) === 0) return fault(result, TRANSLATION, level)
      const isTable = (entryLo & TABLE) !== 0
      if (level === 3 && !isTable) return fault(result, TRANSLATION, level)
      if (level < 3 && isTable) {
        if (!chosen.hierarchyIgnored) taken |= entryHi
        table = (entryHi & 0xffff) * 2 ** 32 + (entryLo >>> 0) - (entryLo & ((1 << chosen.granule) - 1))
        if (table >= addresses) return fault(result, ADDRESS_SIZE, level)
        level++
        continue
      }
      if (level < 3 && !blockAllowed(chosen.granule, level)) return fault(result, TRANSLATION, level)
      const outcome = finishLong(context, reader, access, taken, shift, result)
      if (outcome < 0) break
      if (outcome === ARM_WALK_OK) result.ipa += ((hi & 0xffff) * 2 ** 32 + lo) % result.pageBytes
      return outcome
    }
  }
  throw keepsChanging(result.tableIpa)
}

/** Blocks: 4K at levels 1 and 2; 16K and 64K at level 2. */
function blockAllowed(granule: number, level: number): boolean {
  return level === 2 || (level === 1 && granule === 12)
}

/** Checks a leaf's rights and access flag; `result.ipa` is its base. @returns −1 if the entry changed and the walk restarts */
function finishLong(
  context: ArmPagingContext,
  reader: TableReader,
  access: number,
  taken: number,
  shift: number,
  result: ArmWalkResult,
): number {
  const { entry, level } = result
  const entryLo = entry[0]!
  const entryHi = entry[1]!
  if ((entryHi & 0xffff) >= 2 ** (context.outputBits - 32)) return fault(result, ADDRESS_SIZE, level)
  if ((entryLo & ACCESS_FLAG_BIT) === 0 && !context.hardwareAccess) return fault(result, ACCESS_FLAG, level)
  // A writable-clean descriptor permits writes, and the first write makes it dirty.
  const dirtyManaged = context.hardwareDirty && (entryHi & DIRTY_MODIFIER) !== 0
  const readOnly = ((entryLo & AP_READ_ONLY) !== 0 && !dirtyManaged) || (taken & AP_TABLE_READ_ONLY) !== 0
  const user = (entryLo & AP_USER) !== 0 && (taken & AP_TABLE_USER) === 0
  const pxn = (entryHi & PXN) !== 0 || (taken & PXN_TABLE) !== 0
  const uxn = (entryHi & UXN) !== 0 || (taken & UXN_TABLE) !== 0
  if (!allowed(context, access, user, readOnly, pxn, uxn)) return fault(result, PERMISSION, level)
  let newLo = entryLo | ACCESS_FLAG_BIT
  if (dirtyManaged && (access & ARM_WRITE) !== 0) newLo &= ~AP_READ_ONLY
  if (newLo >>> 0 !== entryLo >>> 0) {
    const exchanged = reader.compareExchange64(result.tableIpa, entryLo, entryHi, newLo >>> 0, entryHi)
    if (exchanged === SECOND_LEVEL_FAULT) return ARM_WALK_TABLE
    if (!exchanged) return -1
  }
  const bytes = 2 ** shift
  const base = (entryHi & 0xffff) * 2 ** 32 + (entryLo >>> 0)
  result.ipa = base - (base % bytes)
  result.pageBytes = bytes
  result.attributes = attributesOf(context, (entryLo >>> 2) & 7)
  // Device memory has 0000 in the upper half.
  result.device = (result.attributes & 0xf0) === 0
  result.global = (entryLo & NOT_GLOBAL) === 0
  result.guarded = (entryHi & GUARDED) !== 0 && context.format === ArmFormat.LONG_64
  return ARM_WALK_OK
}

/** Returns the memory attribute of a descriptor, from MAIR. */
function attributesOf(context: ArmPagingContext, index: number): number {
  const word = index < 4 ? context.mairLo : context.mairHi
  return (word >>> ((index & 3) * 8)) & 0xff
}

function allowed(
  context: ArmPagingContext,
  access: number,
  user: boolean,
  readOnly: boolean,
  pxn: boolean,
  uxn: boolean,
): boolean {
  const unprivileged = (access & ARM_UNPRIVILEGED) !== 0
  if ((access & ARM_FETCH) !== 0) {
    const userWrites = user && !readOnly
    // In AArch64 EL0 may execute pages that it may not read, and EL1 executes none that EL0 may write. In AArch32 XN is
    // for both, and executed pages have to be readable.
    const is64 = context.format === ArmFormat.LONG_64
    if (unprivileged) return (is64 || user) && !uxn && !(userWrites && context.writeExecuteNever)
    if (pxn || (context.writeExecuteNever && !readOnly)) return false
    return is64 ? !userWrites : !uxn && !(userWrites && context.userWriteExecuteNever)
  }
  if (unprivileged && !user) return false
  if (!unprivileged && user && (access & ARM_PAN) !== 0) return false
  return (access & ARM_WRITE) === 0 || !readOnly
}
