import * as paging from '../../src/index.ts'
import { contextOf, CR0_PE_PG, CR0_WP, CR4, LMA, Memory, NXE, pair } from './guest.ts'
import { naiveWalk, type NaiveState } from './naive.ts'

const PCIDS = [0, 1, 0x123, 4095]
const WALKS = 60

/**
 * A guest with a few tables, a few address spaces and a paging-structure cache, which edits its tables between accesses
 * and invalidates what the manual asks for, and no more. What each access sees must be what a walker without any cache
 * sees.
 *
 * @returns undefined, or what differs
 */
export function cachedCase(random: () => number): string | undefined {
  const below = (n: number): number => Math.floor(random() * n)
  const pick = <T>(of: readonly T[]): T => of[below(of.length)] as T
  const mode = pick([3, 4, 4, 5])
  const memory = new Memory()
  // Three tables a level, at 0x1000 × (3 × level + 0, 1, 2); two entries of each are ever used.
  const tableAt = (level: number, which: number): number => 0x1000 * (3 * level + which)
  const slots = mode === 3 ? [0, 3] : [0, 511]
  const fresh = (level: number): bigint => {
    if (random() < 0.15) return 0n
    if (mode === 3 && level === 3) return BigInt(tableAt(2, below(3))) | 1n
    let bits = 1n | (random() < 0.8 ? 2n : 0n) | (random() < 0.8 ? 4n : 0n) | (random() < 0.5 ? 0x20n : 0n)
    if (random() < 0.2) bits |= 1n << 63n
    if (random() < 0.05) bits |= 1n << 51n
    const large = level > 1 && level <= (mode === 3 ? 2 : 3) && random() < 0.2
    if (large) return bits | 0x80n | (BigInt(1 + below(3)) << 30n)
    return bits | (level === 1 ? BigInt(0x10_0000 + 0x1000 * below(64)) : BigInt(tableAt(level - 1, below(3))))
  }
  const entries: { gpa: number; level: number }[] = []
  for (let level = mode; level >= 1; level--) {
    for (let which = 0; which < 3; which++) {
      for (const slot of slots) {
        const gpa = tableAt(level, which) + (level === mode && mode === 3 ? slot : slot === 0 ? 0 : 511) * 8
        memory.store(gpa, fresh(level))
        entries.push({ gpa, level })
      }
    }
  }
  const cr0 = CR0_PE_PG + CR0_WP
  const cr4 = CR4.PAE | (mode === 5 ? CR4.LA57 : 0) | (mode === 3 ? 0 : CR4.PCIDE)
  const efer = (mode === 3 ? 0 : LMA) | NXE
  let pcid = 0
  let state: NaiveState
  let context = contextOf()
  const loadCr3 = (): void => {
    pcid = mode === 3 ? 0 : pick(PCIDS)
    const cr3 = BigInt(tableAt(mode, pcid % 3) | pcid)
    const registers = { cpu: { amd: mode === 3 }, cr0, cr3, cr4, efer, pkru: 0, pkrs: 0 }
    context = contextOf(registers)
    state = { ...registers, cpu: context.cpu, pdptes: [] }
  }
  loadCr3()
  const cache = new paging.PagingStructureCache()
  const flushAll = (): void => {
    const way = below(4)
    if (way === 0) cache.invalidate(paging.Invalidate.ALL, 0)
    else if (way === 1) cache.invalidate(paging.Invalidate.ALL_NON_GLOBAL, 0)
    else
      for (const each of PCIDS) cache.invalidate(way === 2 ? paging.Invalidate.PCID : paging.Invalidate.ADDRESS, each)
  }
  /** An upper entry has more rights than the cache may know of. */
  let widened = false
  const result = new paging.WalkResult()
  for (let n = 0; n < WALKS; n++) {
    const edits = random()
    if (edits < 0.3) {
      const { gpa, level } = pick(entries)
      const old = memory.at(gpa)
      if (level > 1 && (old & 1n) !== 0n && random() < 0.5) {
        // More rights: no invalidation is asked for.
        memory.store(gpa, mode === 3 && level === 3 ? old : (old | 6n) & ~(1n << 63n))
        widened = true
      } else {
        memory.store(gpa, fresh(level))
        // Leaves are never held, nor is what was not present; every other change is followed by an invalidation.
        const upper = level > 1 && (old & 1n) !== 0n
        if (upper) {
          flushAll()
          widened = false
        }
      }
    } else if (edits < 0.5) {
      loadCr3()
      // Bit 63 of the value loaded decides.
      if (random() < 0.5) cache.invalidate(paging.Invalidate.PCID, pcid)
    }
    let linear = BigInt(pick(slots) === 0 ? 0 : mode === 3 ? 3 : 511)
    for (let level = mode - 1; level >= 1; level--) linear = (linear << 9n) | (random() < 0.5 ? 0n : 511n)
    linear <<= 12n
    const lo = Number(linear & 0xffff_ffffn)
    const hi = mode === 4 ? (Number(linear >> 32n) << 16) >> 16 : mode === 5 ? (Number(linear >> 32n) << 7) >> 7 : 0
    const fetch = random() < 0.2
    const write = !fetch && random() < 0.5
    const user = random() < 0.5
    const read = (gpa: bigint): bigint | undefined => memory.words.get(Number(gpa))
    const access = { fetch, write, user, implicit: false, ac: false }
    const expected = naiveWalk(state!, read, pair(lo, hi), access)
    const before = new Map(memory.words)
    const bits = (fetch ? paging.ACCESS_FETCH : 0) | (write ? paging.ACCESS_WRITE : 0) | (user ? paging.ACCESS_USER : 0)
    const status = paging.walk(context, memory, lo, hi >>> 0, bits, result, cache)
    const differ = (what: string): string =>
      `${what}: walk ${n} of linear ${linear.toString(16)} in PCID ${pcid}, mode ${mode}: ${JSON.stringify(access)}, ` +
      `status ${status} pfec ${result.pfec} gpa ${result.gpa.toString(16)} flags ${result.flags.toString(16)}; ` +
      `without a cache ${expected.kind} ${expected.kind === 'fault' ? expected.pfec : expected.gpa.toString(16)}`
    if (expected.kind === 'fault') {
      if (status === paging.WALK_OK || result.pfec !== expected.pfec || result.level !== expected.level)
        return differ('fault')
      continue
    }
    if (status !== paging.WALK_OK || BigInt(result.gpa) !== expected.gpa) return differ('mapping')
    const flags =
      (expected.rw ? paging.MAP_WRITABLE : 0) | (expected.us ? paging.MAP_USER : 0) | (expected.nx ? paging.MAP_NX : 0)
    if (!widened && (result.flags & (paging.MAP_WRITABLE | paging.MAP_USER | paging.MAP_NX)) !== flags)
      return differ('rights')
    for (const [gpa, value] of before) {
      if (memory.at(gpa) !== (expected.updates.get(BigInt(gpa)) ?? value))
        return differ(`A or D at ${gpa.toString(16)}`)
    }
  }
  return undefined
}
