import { PAGE_BYTES } from '@retrap/memory'
import * as bits from './bits.ts'
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

/** PAE tables. The PDPTE is a register, or under AMD's rules the first entry that is read. */
export function walkPae(
  context: PagingContext,
  reader: TableReader,
  result: WalkResult,
  update: boolean,
  cache: PagingStructureCache | null,
): number {
  const { linearLo: linear, access, entry } = result
  const entries = result.entries
  const gpas = result.entryGpas
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    // PDPTEs carry no rights, and no A bit.
    let level = 2
    let rights = bits.PTE_RW | bits.PTE_US
    let nx = 0
    let table = 0
    if (cache !== null && restarts === 0 && cache.find(linear, 0, 2, 0) !== 0) {
      level = 1
      table = cache.table
      rights = cache.rights
      nx = cache.nx
    } else {
      const pdpte = linear >>> 30
      if (context.cpu.amd) {
        const gpa = context.root + pdpte * 8
        result.reads++
        const status = reader.read64(gpa, entry)
        if (status === false) return fault(context, result, access, 0, 3)
        if (status !== true) return secondLevel(result, gpa, 0, 3)
      } else {
        entry[0] = context.pdptes[pdpte * 2]!
        entry[1] = context.pdptes[pdpte * 2 + 1]!
      }
      const lo = entry[0]!
      const hi = entry[1]!
      if ((lo & bits.PTE_P) === 0) return fault(context, result, access, 0, 3)
      // The registers were checked when they were loaded; entries in memory are checked at each use.
      if (context.cpu.amd && context.pdpteReserved(lo, hi)) {
        return fault(context, result, access, bits.PFEC_P | bits.PFEC_RSVD, 3)
      }
      table = (hi & bits.ADDRESS_HI) * 0x1_0000_0000 + ((lo & ~0xfff) >>> 0)
    }
    const first = level
    let above = rights
    let lo = 0
    let hi = 0
    let cause = NO_CAUSE
    for (;;) {
      const gpa = table + ((linear >>> (level === 2 ? 21 : 12)) & 511) * 8
      result.reads++
      const status = reader.read64(gpa, entry)
      if (status !== true) {
        if (status !== false) return secondLevel(result, gpa, 0, level)
        cause = 0
        break
      }
      lo = entry[0]!
      hi = entry[1]!
      if ((lo & bits.PTE_P) === 0) {
        cause = 0
        break
      }
      const large = level === 2 && (lo & bits.PTE_PS) !== 0
      if (((hi & context.reservedHi) | (large ? lo & 0x1f_e000 : 0)) !== 0) {
        cause = bits.PFEC_P | bits.PFEC_RSVD
        break
      }
      above = rights
      rights &= lo
      nx |= hi
      gpas[level - 1] = gpa
      entries[level * 2 - 2] = lo
      entries[level * 2 - 1] = hi
      if (level === 1 || large) break
      table = (hi & bits.ADDRESS_HI) * 0x1_0000_0000 + ((lo & ~0xfff) >>> 0)
      level--
    }
    if (cause !== NO_CAUSE) {
      if (first === 2) return fault(context, result, access, cause, level)
      ;(cache as PagingStructureCache).drop(linear, 0, 2, 0)
      continue
    }
    const flags = rights | (nx < 0 ? bits.MAP_NX : 0) | shadowStack(context, above, lo)
    const denied = permission(context, flags, 0, access)
    if (denied !== 0) {
      if (first === 2) return faultOfRights(context, result, denied, level, flags, 0)
      ;(cache as PagingStructureCache).drop(linear, 0, 2, 0)
      continue
    }
    if (update) {
      const set = setAccessed64(reader, result, level, first, access)
      if (set !== EXCHANGE_DONE) {
        if (set === EXCHANGE_REFUSED) return result.status
        continue
      }
      if (cache !== null && first > level) {
        cache.put(result, 1, 0, above, entries[3]! | 0)
      }
    }
    return mapped64(context, result, level, flags, 0)
  }
  throw broken(linear)
}

/** 32-bit paging. A paging-structure cache would save one read of two, and look-ups cost as much. */
export function walkTwoLevel(context: PagingContext, reader: TableReader, result: WalkResult, update: boolean): number {
  const { linearLo: linear, access, entry } = result
  for (let restarts = 0; restarts < MOST_RESTARTS; restarts++) {
    const upperGpa = context.root + (linear >>> 22) * 4
    result.reads++
    let status = reader.read32(upperGpa, entry)
    if (status === false) return fault(context, result, access, 0, 2)
    if (status !== true) return secondLevel(result, upperGpa, 0, 2)
    const upper = entry[0]!
    if ((upper & bits.PTE_P) === 0) return fault(context, result, access, 0, 2)
    // Without CR4.PSE bit 7 is ignored.
    const large = context.pse !== 0 && (upper & bits.PTE_PS) !== 0
    let lo = upper
    let gpa = upperGpa
    if (large) {
      if ((upper & context.reservedLarge4M) !== 0)
        return fault(context, result, access, bits.PFEC_P | bits.PFEC_RSVD, 2)
    } else {
      gpa = ((upper & ~0xfff) >>> 0) + ((linear >>> 12) & 1023) * 4
      result.reads++
      status = reader.read32(gpa, entry)
      if (status === false) return fault(context, result, access, 0, 1)
      if (status !== true) return secondLevel(result, gpa, 0, 1)
      lo = entry[0]!
      if ((lo & bits.PTE_P) === 0) return fault(context, result, access, 0, 1)
    }
    const level = large ? 2 : 1
    const flags = (upper & lo & (bits.PTE_RW | bits.PTE_US)) | shadowStack(context, large ? bits.PTE_RW : upper, lo)
    const denied = permission(context, flags, 0, access)
    if (denied !== 0) {
      result.entries[level * 2 - 2] = lo
      result.entries[level * 2 - 1] = 0
      return faultOfRights(context, result, denied, level, flags, 0)
    }
    if (update) {
      const wanted = lo | ((access & bits.ACCESS_WRITE) === 0 ? bits.PTE_A : bits.PTE_A | bits.PTE_D)
      if (wanted !== (lo | 0)) {
        status = reader.compareExchange32(gpa, lo, wanted >>> 0)
        if (status === false) continue
        if (status !== true) return secondLevel(result, gpa, 1, level)
        lo = wanted
      }
      if (!large && (upper & bits.PTE_A) === 0) {
        status = reader.compareExchange32(upperGpa, upper, (upper | bits.PTE_A) >>> 0)
        if (status === false) continue
        if (status !== true) return secondLevel(result, upperGpa, 1, 2)
      }
    }
    result.status = bits.WALK_OK
    result.pageBytes = large ? 0x40_0000 : PAGE_BYTES
    result.gpa = large
      ? ((lo >>> 13) & 0xff) * 0x1_0000_0000 + (((lo & 0xffc0_0000) | (linear & 0x3f_ffff)) >>> 0)
      : ((lo & ~0xfff) | (linear & 0xfff)) >>> 0
    result.flags = flags | (lo & bits.PTE_D) | (lo & context.globalMask)
    result.pkey = 0
    result.level = level
    result.leafLo = lo >>> 0
    result.leafHi = 0
    result.leafGpa = gpa
    return bits.WALK_OK
  }
  throw broken(linear)
}
