import {
  ACCESS_AC,
  ACCESS_FETCH,
  ACCESS_IMPLICIT,
  ACCESS_READ,
  ACCESS_USER,
  ACCESS_WRITE,
  PagingContext,
  type TableReader,
  walk,
  WALK_OK,
  WalkResult,
} from '@retrap/paging'
import {
  CR0_BASE,
  type Levels,
  linearOf,
  OWN,
  type PagingCase,
  type PagingRecord,
  slotOf,
  TARGET_DESCRIPTOR,
} from './program.ts'

const FLAG_AC = 0x4_0000
const KIND = {
  read: ACCESS_READ,
  write: ACCESS_WRITE,
  modify: ACCESS_WRITE,
  fetch: ACCESS_FETCH,
  descriptor: ACCESS_READ | ACCESS_IMPLICIT,
} as const

/** How accesses end by `walk` alone: for what the processor here does not have, such as protection keys. Long mode. */
export function walked(cases: readonly PagingCase[], levels: Levels): PagingRecord[] {
  const context = new PagingContext({ maxPhysicalBits: 40, pages1G: true, pse36: true, amd: false })
  const result = new WalkResult()
  return cases.map(({ operation, cpl, flags, cr0, cr4, nxe, entries, keys }) => {
    const memory = new Map<number, bigint>()
    entries.forEach((entry, i) => memory.set(slotOf(levels, i + 1), entry))
    context.configure(CR0_BASE | cr0, OWN, 0, 0x20 | (levels === 5 ? 0x1000 : 0) | cr4, 0x500 | nxe)
    context.pkru = keys?.pkru ?? 0
    context.pkrs = keys?.pkrs ?? 0
    const linear =
      operation === 'descriptor' ? (linearOf(levels) & ~0xfffn) | BigInt(TARGET_DESCRIPTOR & 0xfff) : linearOf(levels)
    const access = KIND[operation] | (cpl === 3 ? ACCESS_USER : 0) | ((flags & FLAG_AC) === 0 ? 0 : ACCESS_AC)
    const status = walk(context, reader(memory), Number(linear & 0xffff_ffffn), Number(linear >> 32n), access, result)
    return {
      vector: status === WALK_OK ? 0x50 : 14,
      error: result.pfec,
      cr2: linear,
      entries: entries.map((_, i) => Number((memory.get(slotOf(levels, i + 1)) ?? 0n) & 0xffff_ffffn)),
    }
  })
}

function reader(memory: Map<number, bigint>): TableReader {
  return {
    read32: () => false,
    read64: (gpa, into) => {
      const value = memory.get(gpa)
      if (value === undefined) return false
      into[0] = Number(value & 0xffff_ffffn)
      into[1] = Number(value >> 32n)
      return true
    },
    compareExchange32: () => false,
    compareExchange64: (gpa, _lo, _hi, lo, hi) => {
      memory.set(gpa, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0))
      return true
    },
  }
}
