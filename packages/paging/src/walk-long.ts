import { ADDRESS_HI, MAP_NX, PFEC_P, PFEC_RSVD, PTE_P, PTE_PS, PTE_RW, PTE_US } from './bits.ts'
import type { PagingContext } from './context.ts'
import { permission } from './permission.ts'
import type { PagingStructureCache } from './structure-cache.ts'
import type { TableReader } from './table-reader.ts'
import {
  broken,
  EXCHANGE_DONE,
  EXCHANGE_REFUSED,
  fault,
  faultOfRights,
  mapped64,
  MOST_RESTARTS,
  NO_CAUSE,
  secondLevel,
  setAccessed64,
  shadowStack,
} from './walk-outcome.ts'
import type { WalkResult } from './walk-result.ts'

/** Four and five levels. */
export function walkLong(
  context: PagingContext,
  reader: TableReader,
  result: WalkResult,
  update: boolean,
  cache: PagingStructureCache | null,
): number {
  const { linearLo, linearHi, access, entry } = result
  const entries = result.entries
  const gpas = result.entryGpas
  const top = context.mode
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    let level = top
    let table = context.root
    let rights = PTE_RW | PTE_US
    let nx = 0
    if (cache !== null && restarts === 0) {
      const found = cache.find(linearLo, linearHi, top, context.pcid)
      if (found !== 0) {
        level = found
        table = cache.table
        rights = cache.rights
        nx = cache.nx
      }
    }
    const first = level
    let above = rights
    let lo = 0
    let hi = 0
    let cause = NO_CAUSE
    for (;;) {
      const gpa = table + indexOf(linearLo, linearHi, level) * 8
      result.reads++
      const status = reader.read64(gpa, entry)
      if (status !== true) {
        if (status !== false) return secondLevel(result, gpa, 0, level)
        cause = 0
        break
      }
      lo = entry[0]!
      hi = entry[1]!
      if ((lo & PTE_P) === 0) {
        cause = 0
        break
      }
      let reserved = hi & context.reservedHi
      let large = false
      if (level > 3) {
        reserved |= lo & context.reservedUpperLo
      } else if (level > 1 && (lo & PTE_PS) !== 0) {
        reserved |= lo & (level === 3 ? context.reservedLarge1G : 0x1f_e000)
        large = true
      }
      if (reserved !== 0) {
        cause = PFEC_P | PFEC_RSVD
        break
      }
      above = rights
      rights &= lo
      nx |= hi
      gpas[level - 1] = gpa
      entries[level * 2 - 2] = lo
      entries[level * 2 - 1] = hi
      if (level === 1 || large) break
      table = (hi & ADDRESS_HI) * 0x1_0000_0000 + ((lo & ~0xfff) >>> 0)
      level--
    }
    if (cause !== NO_CAUSE) {
      // A cached entry may be out of date; a fault has to follow from the tables as they are.
      if (first === top) return fault(context, result, access, cause, level)
      ;(cache as PagingStructureCache).drop(linearLo, linearHi, top, context.pcid)
      continue
    }
    const pkey = (hi >>> 27) & 15
    const flags = rights | (nx < 0 ? MAP_NX : 0) | shadowStack(context, above, lo)
    const denied = permission(context, flags, pkey, access)
    if (denied !== 0) {
      if (first === top) return faultOfRights(context, result, denied, level, flags, pkey)
      ;(cache as PagingStructureCache).drop(linearLo, linearHi, top, context.pcid)
      continue
    }
    if (update) {
      const set = setAccessed64(reader, result, level, first, access)
      if (set !== EXCHANGE_DONE) {
        if (set === EXCHANGE_REFUSED) return result.status
        continue
      }
      if (cache !== null && first > level) keep(context, cache, result, first, level)
    }
    return mapped64(context, result, level, flags, pkey)
  }
  throw broken(linearLo)
}

/** Puts the upper entries of a walk that succeeded, whose A bits are set by now, into the cache. */
function keep(
  context: PagingContext,
  cache: PagingStructureCache,
  result: WalkResult,
  first: number,
  leaf: number,
): void {
  const entries = result.entries
  // A walk that begins in the cache starts with the cached rights.
  let rights = first === context.mode ? PTE_RW | PTE_US : cache.rights
  let nx = first === context.mode ? 0 : cache.nx
  for (let level = first; level > leaf; level--) {
    rights &= entries[level * 2 - 2]!
    nx |= entries[level * 2 - 1]!
    cache.put(result, level - 1, context.pcid, rights, nx)
  }
}

/** Bits of a linear address that index the table of a level, 9 bits each from bit 12 up. */
function indexOf(lo: number, hi: number, level: number): number {
  if (level === 4) return (hi >>> 7) & 511
  if (level === 3) return ((lo >>> 30) | (hi << 2)) & 511
  if (level === 2) return (lo >>> 21) & 511
  if (level === 1) return (lo >>> 12) & 511
  return (hi >>> 16) & 511
}
