import {
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_USER,
  ACCESS_WRITE,
  MAP_DIRTY,
  MAP_NX,
  MAP_USER,
  MAP_WRITABLE,
  PFEC_P,
  PFEC_RSVD,
  PTE_A,
  PTE_D,
  PTE_G,
  PTE_P,
  PTE_PS,
  PTE_RW,
  PTE_US,
  WALK_FAULT,
  WALK_OK,
} from './bits.ts'
import { PagingMode, type PagingContext } from './context.ts'
import { PagingError } from './errors.ts'
import { permission } from './permission.ts'
import type { TableReader } from './table-reader.ts'
import type { WalkResult } from './walk-result.ts'

/** Guest-physical bits 51:32 in the high word of an entry. */
const ADDRESS_HI = 0xf_ffff
/** No two vCPUs race this often over one entry; a reader that always fails is broken. */
const MOST_RESTARTS = 100_000

/**
 * Walks the guest's tables for one linear address, which is canonical (that check comes first, and is another fault).
 * If the access is allowed, A and D bits are set by exchange, once; if an entry changed meanwhile the walk starts again.
 *
 * @param linearHi - ignored outside long mode
 * @param access - `ACCESS_` bits
 * @param result - filled in
 * @returns {@link WALK_OK} or {@link WALK_FAULT}
 * @throws PagingError `ERR_READER`
 *
 * Source: Intel SDM vol. 3A, "Paging"; AMD APM vol. 2, "Page Translation and Protection" for AMD's rules.
 */
export function walk(
  context: PagingContext,
  reader: TableReader,
  linearLo: number,
  linearHi: number,
  access: number,
  result: WalkResult,
): number {
  return walkTables(context, reader, linearLo, linearHi, access, result, true)
}

/** As {@link walk}, but sets no A or D bits: for debuggers, and for checking before anything happens. */
export function probe(
  context: PagingContext,
  reader: TableReader,
  linearLo: number,
  linearHi: number,
  access: number,
  result: WalkResult,
): number {
  return walkTables(context, reader, linearLo, linearHi, access, result, false)
}

function walkTables(
  context: PagingContext,
  reader: TableReader,
  linearLo: number,
  linearHi: number,
  access: number,
  result: WalkResult,
  update: boolean,
): number {
  result.reads = 0
  result.pfec = 0
  if (context.mode >= PagingMode.FOUR_LEVEL) {
    return walkLong(context, reader, linearLo, linearHi, access, result, update)
  }
  if (context.mode === PagingMode.PAE) return walkPae(context, reader, linearLo, access, result, update)
  if (context.mode === PagingMode.TWO_LEVEL) return walkTwoLevel(context, reader, linearLo, access, result, update)
  result.status = WALK_OK
  result.gpa = linearLo >>> 0
  result.pageBytes = 4096
  result.flags = MAP_WRITABLE | MAP_USER | MAP_DIRTY
  result.pkey = 0
  result.level = 0
  result.leafLo = 0
  result.leafHi = 0
  result.leafGpa = -1
  return WALK_OK
}

function walkLong(
  context: PagingContext,
  reader: TableReader,
  linearLo: number,
  linearHi: number,
  access: number,
  result: WalkResult,
  update: boolean,
): number {
  const entry = result.entry
  const entries = result.entries
  const gpas = result.entryGpas
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    // A paging-structure cache would start further down, with the table and the rights so far; these four are all that
    // it has to supply.
    let level = context.mode
    let table = context.root
    let rights = PTE_RW | PTE_US
    let nx = 0
    let lo = 0
    let hi = 0
    let large = false
    for (;;) {
      const gpa = table + indexLong(linearLo, linearHi, level) * 8
      result.reads++
      if (!reader.read64(gpa, entry)) return fault(context, result, access, 0, level)
      lo = entry[0] as number
      hi = entry[1] as number
      if ((lo & PTE_P) === 0) return fault(context, result, access, 0, level)
      let reserved = hi & context.reservedHi
      if (level > 3) {
        reserved |= lo & context.reservedUpperLo
      } else if (level > 1 && (lo & PTE_PS) !== 0) {
        reserved |= lo & (level === 3 ? context.reservedLarge1G : 0x1f_e000)
        large = true
      }
      if (reserved !== 0) return fault(context, result, access, PFEC_P | PFEC_RSVD, level)
      rights &= lo
      nx |= hi
      gpas[level - 1] = gpa
      entries[level * 2 - 2] = lo
      entries[level * 2 - 1] = hi
      if (level === 1 || large) break
      table = (hi & ADDRESS_HI) * 0x1_0000_0000 + ((lo & ~0xfff) >>> 0)
      level--
    }
    const pkey = (hi >>> 27) & 15
    const flags = rights | (nx < 0 ? MAP_NX : 0)
    const denied = permission(context, flags, pkey, access)
    if (denied !== 0) return faultOfRights(context, result, denied, level, flags, pkey, lo, hi)
    if (update && !setAccessed64(reader, result, level, context.mode, access)) continue
    return mapped64(context, result, linearLo, level, flags, pkey)
  }
  throw broken(linearLo)
}

function walkPae(
  context: PagingContext,
  reader: TableReader,
  linear: number,
  access: number,
  result: WalkResult,
  update: boolean,
): number {
  const entry = result.entry
  const entries = result.entries
  const gpas = result.entryGpas
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    const pdpte = linear >>> 30
    if (context.cpu.amd) {
      result.reads++
      if (!reader.read64(context.root + pdpte * 8, entry)) return fault(context, result, access, 0, 3)
    } else {
      entry[0] = context.pdptes[pdpte * 2] as number
      entry[1] = context.pdptes[pdpte * 2 + 1] as number
    }
    let lo = entry[0] as number
    let hi = entry[1] as number
    if ((lo & PTE_P) === 0) return fault(context, result, access, 0, 3)
    // Registers were checked when they were loaded; memory is at each use.
    if (context.cpu.amd && context.pdpteReserved(lo, hi)) {
      return fault(context, result, access, PFEC_P | PFEC_RSVD, 3)
    }
    // PDPTEs carry no rights, and no A bit.
    let rights = PTE_RW | PTE_US
    let nx = 0
    let level = 2
    for (;;) {
      const table = (hi & ADDRESS_HI) * 0x1_0000_0000 + ((lo & ~0xfff) >>> 0)
      const gpa = table + ((linear >>> (level === 2 ? 21 : 12)) & 511) * 8
      result.reads++
      if (!reader.read64(gpa, entry)) return fault(context, result, access, 0, level)
      lo = entry[0] as number
      hi = entry[1] as number
      if ((lo & PTE_P) === 0) return fault(context, result, access, 0, level)
      const large = level === 2 && (lo & PTE_PS) !== 0
      if (((hi & context.reservedHi) | (large ? lo & 0x1f_e000 : 0)) !== 0) {
        return fault(context, result, access, PFEC_P | PFEC_RSVD, level)
      }
      rights &= lo
      nx |= hi
      gpas[level - 1] = gpa
      entries[level * 2 - 2] = lo
      entries[level * 2 - 1] = hi
      if (level === 1 || large) break
      level--
    }
    const flags = rights | (nx < 0 ? MAP_NX : 0)
    const denied = permission(context, flags, 0, access)
    if (denied !== 0) return faultOfRights(context, result, denied, level, flags, 0, lo, hi)
    if (update && !setAccessed64(reader, result, level, 2, access)) continue
    return mapped64(context, result, linear, level, flags, 0)
  }
  throw broken(linear)
}

function walkTwoLevel(
  context: PagingContext,
  reader: TableReader,
  linear: number,
  access: number,
  result: WalkResult,
  update: boolean,
): number {
  const entry = result.entry
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    const upperGpa = context.root + (linear >>> 22) * 4
    result.reads++
    if (!reader.read32(upperGpa, entry)) return fault(context, result, access, 0, 2)
    const upper = entry[0] as number
    if ((upper & PTE_P) === 0) return fault(context, result, access, 0, 2)
    // Without CR4.PSE bit 7 is ignored.
    const large = context.pse !== 0 && (upper & PTE_PS) !== 0
    let lo = upper
    let gpa = upperGpa
    if (large) {
      if ((upper & context.reservedLarge4M) !== 0) return fault(context, result, access, PFEC_P | PFEC_RSVD, 2)
    } else {
      gpa = ((upper & ~0xfff) >>> 0) + ((linear >>> 12) & 1023) * 4
      result.reads++
      if (!reader.read32(gpa, entry)) return fault(context, result, access, 0, 1)
      lo = entry[0] as number
      if ((lo & PTE_P) === 0) return fault(context, result, access, 0, 1)
    }
    const level = large ? 2 : 1
    const flags = upper & lo & (PTE_RW | PTE_US)
    const denied = permission(context, flags, 0, access)
    if (denied !== 0) return faultOfRights(context, result, denied, level, flags, 0, lo, 0)
    if (update) {
      const wanted = lo | ((access & ACCESS_WRITE) === 0 ? PTE_A : PTE_A | PTE_D)
      if (wanted !== (lo | 0)) {
        if (!reader.compareExchange32(gpa, lo, wanted >>> 0)) continue
        lo = wanted
      }
      if (!large && (upper & PTE_A) === 0 && !reader.compareExchange32(upperGpa, upper, (upper | PTE_A) >>> 0)) continue
    }
    result.status = WALK_OK
    result.pageBytes = large ? 0x40_0000 : 4096
    result.gpa = large
      ? ((lo >>> 13) & 0xff) * 0x1_0000_0000 + (((lo & 0xffc0_0000) | (linear & 0x3f_ffff)) >>> 0)
      : ((lo & ~0xfff) | (linear & 0xfff)) >>> 0
    result.flags = flags | (lo & PTE_D) | (lo & context.globalMask)
    result.pkey = 0
    result.level = level
    result.leafLo = lo >>> 0
    result.leafHi = 0
    result.leafGpa = gpa
    return WALK_OK
  }
  throw broken(linear)
}

/** Bits of a linear address that index the table of a level, 9 bits each from bit 12 up. */
function indexLong(lo: number, hi: number, level: number): number {
  if (level === 4) return (hi >>> 7) & 511
  if (level === 3) return ((lo >>> 30) | (hi << 2)) & 511
  if (level === 2) return (lo >>> 21) & 511
  if (level === 1) return (lo >>> 12) & 511
  return (hi >>> 16) & 511
}

/**
 * Sets the A bits of a walk that succeeded, and D of its leaf for a write, from the leaf up.
 *
 * The exchanges compare with what the walk read: an entry that was cleared or moved meanwhile must not be used, nor
 * get its bits back. On false the walk starts again; bits already set are those of entries it did use, which is what
 * processors do too.
 */
function setAccessed64(reader: TableReader, result: WalkResult, leaf: number, top: number, access: number): boolean {
  const entries = result.entries
  let wanted = (access & ACCESS_WRITE) === 0 ? PTE_A : PTE_A | PTE_D
  for (let level = leaf; level <= top; level++) {
    const lo = entries[level * 2 - 2] as number
    if ((lo & wanted) !== wanted) {
      const hi = entries[level * 2 - 1] as number
      const set = (lo | wanted) >>> 0
      if (!reader.compareExchange64(result.entryGpas[level - 1] as number, lo, hi, set, hi)) return false
      entries[level * 2 - 2] = set
    }
    wanted = PTE_A
  }
  return true
}

function mapped64(
  context: PagingContext,
  result: WalkResult,
  linearLo: number,
  level: number,
  flags: number,
  pkey: number,
): number {
  const lo = result.entries[level * 2 - 2] as number
  const hi = result.entries[level * 2 - 1] as number
  const offsetMask = level === 1 ? 0xfff : level === 2 ? 0x1f_ffff : 0x3fff_ffff
  result.status = WALK_OK
  result.gpa = (hi & ADDRESS_HI) * 0x1_0000_0000 + (((lo & ~offsetMask) | (linearLo & offsetMask)) >>> 0)
  result.pageBytes = offsetMask + 1
  result.flags = flags | (lo & PTE_D) | (lo & context.globalMask)
  result.pkey = pkey
  result.level = level
  result.leafLo = lo
  result.leafHi = hi
  result.leafGpa = result.entryGpas[level - 1] as number
  return WALK_OK
}

function fault(context: PagingContext, result: WalkResult, access: number, cause: number, level: number): number {
  const user = (access & ACCESS_IMPLICIT) === 0 ? access & ACCESS_USER : 0
  const fetch = (access & ACCESS_FETCH) === 0 ? 0 : context.fetchBit
  const write = (access & ACCESS_FETCH) === 0 ? access & ACCESS_WRITE : 0
  result.status = WALK_FAULT
  result.pfec = cause | write | user | fetch
  result.level = level
  result.flags = 0
  result.pkey = 0
  return WALK_FAULT
}

function faultOfRights(
  context: PagingContext,
  result: WalkResult,
  pfec: number,
  level: number,
  flags: number,
  pkey: number,
  lo: number,
  hi: number,
): number {
  result.status = WALK_FAULT
  result.pfec = pfec
  result.level = level
  result.flags = flags | (lo & (PTE_D | (context.globalMask & PTE_G)))
  result.pkey = pkey
  result.leafLo = lo >>> 0
  result.leafHi = hi >>> 0
  return WALK_FAULT
}

function broken(linear: number): PagingError {
  return new PagingError(
    'ERR_READER',
    `${MOST_RESTARTS} walks of linear address ending in 0x${(linear >>> 0).toString(16)} failed to set A or D`,
    { linearLo: linear >>> 0 },
  )
}
