// The ends of a walk that all modes share.
import * as bits from './bits.ts'
import type { PagingContext } from './context.ts'
import { PagingError } from './errors.ts'
import type { TableReader } from './table-reader.ts'
import type { WalkResult } from './walk-result.ts'

/** No two vCPUs race this often over one entry; a reader that always fails is broken. */
export const MOST_RESTARTS = 100_000
/** Cause before any fault. */
export const NO_CAUSE = -1

/** All bits are set; an entry has changed; the second level refused, and the result says so. */
export const EXCHANGE_DONE = 0
export const EXCHANGE_LOST = 1
export const EXCHANGE_REFUSED = 2

/**
 * {@link MAP_SHADOW_STACK} or 0.
 *
 * @param above - RW of all entries above the leaf
 *
 * Source: Intel SDM vol. 3A, "Determination of Access Rights", shadow-stack addresses.
 */
export function shadowStack(context: PagingContext, above: number, leafLo: number): number {
  return context.cet !== 0 && (above & bits.PTE_RW) !== 0 && (leafLo & (bits.PTE_RW | bits.PTE_D)) === bits.PTE_D
    ? bits.MAP_SHADOW_STACK
    : 0
}

/**
 * Sets the A bits of a walk that succeeded, and D of its leaf for a write, from the leaf up.
 *
 * The exchanges compare with the values that the walk read: an entry that was cleared or moved meanwhile must not be
 * used, nor get its bits back. When one is lost the walk starts again; bits already set are in entries that the walk
 * did use, as with processors.
 *
 * @param top - level of the first entry that the walk read
 */
export function setAccessed64(
  reader: TableReader,
  result: WalkResult,
  leaf: number,
  top: number,
  access: number,
): number {
  const entries = result.entries
  let wanted = (access & bits.ACCESS_WRITE) === 0 ? bits.PTE_A : bits.PTE_A | bits.PTE_D
  for (let level = leaf; level <= top; level++) {
    const lo = entries[level * 2 - 2]!
    if ((lo & wanted) !== wanted) {
      const hi = entries[level * 2 - 1]!
      const set = (lo | wanted) >>> 0
      const gpa = result.entryGpas[level - 1]!
      const status = reader.compareExchange64(gpa, lo, hi, set, hi)
      if (status !== true) return status === false ? EXCHANGE_LOST : refused(result, gpa, level)
      entries[level * 2 - 2] = set
    }
    wanted = bits.PTE_A
  }
  return EXCHANGE_DONE
}

export function refused(result: WalkResult, gpa: number, level: number): number {
  secondLevel(result, gpa, 1, level)
  return EXCHANGE_REFUSED
}

export function mapped64(
  context: PagingContext,
  result: WalkResult,
  level: number,
  flags: number,
  pkey: number,
): number {
  const lo = result.entries[level * 2 - 2]!
  const hi = result.entries[level * 2 - 1]!
  const offsetMask = level === 1 ? 0xfff : level === 2 ? 0x1f_ffff : 0x3fff_ffff
  result.status = bits.WALK_OK
  result.gpa = (hi & bits.ADDRESS_HI) * 0x1_0000_0000 + (((lo & ~offsetMask) | (result.linearLo & offsetMask)) >>> 0)
  result.pageBytes = offsetMask + 1
  result.flags = flags | (lo & bits.PTE_D) | (lo & context.globalMask)
  result.pkey = pkey
  result.level = level
  result.leafLo = lo
  result.leafHi = hi
  result.leafGpa = result.entryGpas[level - 1]!
  return bits.WALK_OK
}

export function secondLevel(result: WalkResult, gpa: number, write: number, level: number): number {
  result.status = bits.WALK_SECOND_LEVEL
  result.pfec = 0
  result.tableGpa = gpa
  result.tableWrite = write
  result.level = level
  result.flags = 0
  result.pkey = 0
  return bits.WALK_SECOND_LEVEL
}

export function fault(
  context: PagingContext,
  result: WalkResult,
  access: number,
  cause: number,
  level: number,
): number {
  const user = (access & bits.ACCESS_IMPLICIT) === 0 ? access & bits.ACCESS_USER : 0
  const fetch = (access & bits.ACCESS_FETCH) === 0 ? 0 : context.fetchBit
  const data = (access & bits.ACCESS_FETCH) === 0 ? access & (bits.ACCESS_WRITE | bits.ACCESS_SHADOW_STACK) : 0
  result.status = bits.WALK_FAULT
  result.pfec = cause | data | user | fetch
  result.level = level
  result.flags = 0
  result.pkey = 0
  return bits.WALK_FAULT
}

export function faultOfRights(
  context: PagingContext,
  result: WalkResult,
  pfec: number,
  level: number,
  flags: number,
  pkey: number,
): number {
  const lo = result.entries[level * 2 - 2]!
  result.status = bits.WALK_FAULT
  result.pfec = pfec
  result.level = level
  result.flags = flags | (lo & (bits.PTE_D | (context.globalMask & bits.PTE_G)))
  result.pkey = pkey
  result.leafLo = lo
  result.leafHi = result.entries[level * 2 - 1]!
  return bits.WALK_FAULT
}

export function broken(linear: number): PagingError {
  return new PagingError(
    'ERR_READER',
    `${MOST_RESTARTS} walks of linear address ending in 0x${(linear >>> 0).toString(16)} failed to set A or D`,
    { linearLo: linear >>> 0 },
  )
}
