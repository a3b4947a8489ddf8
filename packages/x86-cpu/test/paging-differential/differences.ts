import { PFEC_P, PFEC_PK, PFEC_RSVD, PFEC_W } from '@retrap/paging'
import type { Choices } from '@retrap/tooling/random'
import { outputHere, outputOnQemu } from '../system/differential/run.ts'
import { entryFor, image, type Levels, linearOf, OPERATIONS, type PagingCase, records } from './program.ts'

const PAGE_FAULT = 14
const FLAG_AC = 0x4_0000
const CR0_WP = 0x1_0000
const CR4_PSE = 0x10
const CR4_SMEP = 0x10_0000
const CR4_SMAP = 0x20_0000
const EFER_NXE = 0x800

/**
 * One access through random tables.
 *
 * Left out, because QEMU (7 to 9) departs from the manual: descriptors loaded at CPL 0 with AC set and SMAP, which it takes
 * for explicit accesses; reserved bits of PDPTEs in PAE mode, which it meets in the walk and not in MOV to CR3. For the
 * same reason two things are put right in what it says: it leaves out P with RSVD, and faults of read-modify-write
 * instructions are those of a read, which may have set A already.
 */
export function pagingCase(c: Choices, levels: Levels): PagingCase {
  const operation = c.pick(OPERATIONS)
  const cpl = c.pick([0, 3] as const)
  const some = (bit: number, numerator = 1, denominator = 2): number => (c.chance(numerator, denominator) ? bit : 0)
  const cr4 = some(CR4_SMEP) | some(CR4_SMAP) | (levels === 2 ? some(CR4_PSE, 3, 4) : 0)
  const descriptor = operation === 'descriptor' && cpl === 0 && (cr4 & CR4_SMAP) !== 0
  // The page is a user's for one draw in two, at every level, so that it is not denied there nearly always.
  const user = c.chance(1, 2)
  const entries: bigint[] = []
  for (let level = 1; level <= levels; level++) {
    if (levels === 3 && level === 3) {
      entries.push(entryFor(levels, 3, false, c.chance(9, 10) ? 1n : 0n))
      continue
    }
    const large = level > 1 && level <= (levels === 2 || levels === 3 ? 2 : 3) && c.chance(1, 6)
    let bits = BigInt(some(1, 15, 16) | some(2, 3, 4) | some(0x20) | some(0x40))
    if (user ? c.chance(15, 16) : c.chance(1, 2)) bits |= 4n
    if (levels > 2 && c.chance(1, 8)) bits |= 1n << 63n
    if (c.chance(1, 6)) bits ^= 1n << BigInt(flippedBit(c, levels, level, large))
    entries.push(entryFor(levels, level, large, bits))
  }
  return {
    ...{ operation, cpl, cr4, entries },
    flags: 2 | (descriptor ? 0 : some(FLAG_AC)),
    cr0: some(CR0_WP),
    nxe: some(EFER_NXE, 3, 4),
  }
}

/** A bit that does not lead elsewhere: flags, and what lies above the physical address or below a large page's. */
function flippedBit(c: Choices, levels: Levels, level: number, large: boolean): number {
  const low = [3, 4, 8, 9, 10, 11]
  if (levels === 2) return c.pick(large ? [...low, 12, 21] : low)
  const high = Array.from({ length: 24 }, (_, i) => 40 + i)
  if (!large) return c.pick([...low, ...high, ...(level > 3 ? [7] : [])])
  const inside = Array.from({ length: level === 2 ? 9 : 18 }, (_, i) => 12 + i)
  return c.pick([...low, ...high, ...inside])
}

const CR4_PKE = 0x40_0000
const CR4_PKS = 0x100_0000

/**
 * The same in long mode with protection keys, for users' pages and for supervisors'.
 *
 * Left out: a user's access to a supervisor's page whose key denies it as well. By the manual, and in Xen, the error code
 * has PK; QEMU looks no further than US.
 */
export function keyCase(c: Choices, levels: 4 | 5): PagingCase {
  const each = pagingCase(c, levels)
  const byUser = each.cpl === 3 && each.operation !== 'descriptor'
  const rights = (): number => c.pick([0b01, 0b10, 0b11, 0]) * 4 + c.pick([0b01, 0b10, 0b11, 0]) * 16
  return {
    ...each,
    // The leaf's key, in whichever entry is the leaf; in others the bits mean nothing.
    entries: each.entries.map((entry) => entry | (BigInt(c.pick([1, 2, 2, 3])) << 59n)),
    cr4: each.cr4 | (c.chance(3, 4) ? CR4_PKE : 0) | (!byUser && c.chance(3, 4) ? CR4_PKS : 0),
    keys: { pkru: rights(), pkrs: rights() },
  }
}

/** An access to a page that is there and may be written, by whom it is for; `bits` are changed in the leaf. */
function plainCase(
  levels: Levels,
  [operation, cpl]: readonly [PagingCase['operation'], 0 | 3],
  { page = cpl, bits = 0n, cr4 = 0 }: { page?: 0 | 3; bits?: bigint; cr4?: number } = {},
): PagingCase {
  const rights = page === 3 ? 7n : 3n
  const entries = Array.from({ length: levels }, (_, i) =>
    entryFor(levels, i + 1, false, levels === 3 && i === 2 ? 1n : i === 0 ? rights ^ bits : rights),
  )
  return { ...{ operation, cpl, cr4, entries }, flags: 2, cr0: CR0_WP, nxe: 0 }
}

/** Accesses that end in each page fault that any tables have: of random ones, the rarest are not in every slice. */
export function eachPageFault(levels: Levels): PagingCase[] {
  const absent = { bits: 1n }
  return [
    plainCase(levels, ['read', 0], absent),
    plainCase(levels, ['write', 0], absent),
    plainCase(levels, ['read', 3], absent),
    plainCase(levels, ['write', 3], absent),
    plainCase(levels, ['read', 0], { page: 3, cr4: CR4_SMAP }),
    plainCase(levels, ['write', 0], { bits: 2n }),
    plainCase(levels, ['read', 3], { page: 0 }),
    plainCase(levels, ['write', 3], { bits: 2n }),
    plainCase(levels, ['fetch', 0], { page: 3, cr4: CR4_SMEP }),
  ]
}

/** Reads and writes, by user and supervisor, that nothing but the page's key denies. */
export function eachKeyFault(levels: 4 | 5): PagingCase[] {
  const accessDisable = 1 << 2
  return ([0, 3] as const).flatMap((cpl) =>
    (['read', 'write'] as const).map((operation) => ({
      ...plainCase(levels, [operation, cpl], { bits: 1n << 59n, cr4: cpl === 3 ? CR4_PKE : CR4_PKS }),
      keys: { pkru: accessDisable, pkrs: accessDisable },
    })),
  )
}

/** What a comparison finds. */
export interface Comparison {
  /** A line for each access that ends differently, or leaves different tables. */
  readonly differences: readonly string[]
  /** How often accesses end in each way: a comparison means something only if all ways are common. */
  readonly outcomes: ReadonlyMap<string, number>
}

/** Makes accesses here and on QEMU. */
export function compare(cases: readonly PagingCase[], levels: Levels): Comparison {
  const program = image(levels, cases)
  const ours = records(levels, outputHere(program, { cpu: levels === 5 ? 'max,+la57' : 'max' }))
  const theirs = records(levels, outputOnQemu(program))
  const found: string[] = []
  const outcomes = new Map<string, number>()
  for (const [i, each] of cases.entries()) {
    const [a, b] = [ours[i], theirs[i]]
    if (a === undefined || b === undefined) {
      found.push(`${ours.length} results here, ${theirs.length} on QEMU`)
      break
    }
    const outcome = a.vector === PAGE_FAULT ? `#PF(${a.error.toString(16)})` : `vector ${a.vector}`
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    const modify = each.operation === 'modify'
    // QEMU reads first. Where that faults, it does not see that the key forbids the write as well.
    const byRead = modify && b.vector === PAGE_FAULT && (b.error & (PFEC_W | PFEC_PK)) === 0
    const marked = (record: typeof a): string =>
      record.entries
        // QEMU sets A on its way down; here it is set when all of the walk has succeeded. The manual allows both.
        // And it sets A in PDPTEs of PAE mode, which have none.
        .map((entry, level) => {
          const ignored = (record.vector === PAGE_FAULT && (level > 0 || modify)) || (levels === 3 && level === 2)
          return ignored ? entry & ~0x20 : entry
        })
        .map((entry) => (entry >>> 0).toString(16))
        .join(' ')
    const show = (record: typeof a): string => {
      const { vector } = record
      if (vector !== PAGE_FAULT) return `vector ${vector} error ${record.error.toString(16)} entries ${marked(record)}`
      const all = record.error | ((record.error & PFEC_RSVD) === 0 ? 0 : PFEC_P) | (modify ? PFEC_W : 0)
      const error = byRead ? all & ~PFEC_PK : all
      return `#PF(${error.toString(16)}) CR2 ${record.cr2.toString(16)} entries ${marked(record)}`
    }
    if (show(a) === show(b)) continue
    found.push(`${show(a)}; on QEMU ${show(b)}: ${describe(each, levels)}`)
  }
  return { differences: found, outcomes }
}

function describe({ operation, cpl, flags, cr0, cr4, nxe, entries, keys }: PagingCase, levels: Levels): string {
  const numbers = { flags, cr0, cr4, nxe, ...keys }
  const registers = Object.entries(numbers).map(([name, value]) => `${name} ${value.toString(16)}`)
  const tables = entries.map((entry) => entry.toString(16)).join(' ')
  return `${operation} at CPL ${cpl} of ${linearOf(levels).toString(16)}, ${registers.join(' ')}, entries ${tables}`
}
