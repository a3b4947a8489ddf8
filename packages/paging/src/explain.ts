import { PFEC_RSVD } from './bits.ts'
import { check, checkReader } from './arguments.ts'
import { checkContext, type PagingContext, PagingMode } from './context.ts'
import { type AccessOptions, translate, type Translation } from './translate.ts'
import type { CachedTable, PagingStructureCache } from './structure-cache.ts'
import { notingReader, type TableReader } from './table-reader.ts'

/** One entry on the way from CR3 to a page. */
export interface WalkStep {
  /** Level of the entry's table: 1 is the last level. */
  readonly level: number
  /** The entry's name in the manual. */
  readonly name: 'PML5E' | 'PML4E' | 'PDPTE' | 'PDE' | 'PTE'
  /** Index of the entry in its table. */
  readonly index: number
  /** Guest-physical address; undefined for a PDPTE register. */
  readonly gpa: number | undefined
  /** The entry; undefined if its address has no memory. */
  readonly value: bigint | undefined
  /** The target of the entry: a table, a page, or nothing. */
  readonly leads: 'table' | 'page' | 'not present' | 'reserved bit' | 'no memory'
  /** Bits that are set, by their names in the manual: `P R/W U/S PWT PCD A D PS G PAT XD`. */
  readonly bits: readonly string[]
}

/** A table of the paging-structure cache, beside the table in memory. */
export interface CachedStep extends CachedTable {
  /** The entry that points to the table, by its name in the manual. */
  readonly name: WalkStep['name']
  /** Whether the tables in memory point to the same table, with the same rights. */
  readonly agrees: boolean
}

/** The result of {@link explain}. */
export interface Explanation {
  /** Every entry on the way. */
  readonly steps: readonly WalkStep[]
  /**
   * The tables that the given cache has for the address, the lowest first: a walk that uses the cache begins with the first, and
   * reads no entry above. It begins at the top where this is empty.
   */
  readonly cached: readonly CachedStep[]
  /** Result of the translation. */
  readonly outcome: Translation
}

const NAMES = ['PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'] as const
/** The address in an entry that leads to a table. */
const TABLE_ADDRESS = 0x000f_ffff_ffff_f000n
const BITS: readonly (readonly [bit: number, name: string])[] = [
  [0, 'P'],
  [1, 'R/W'],
  [2, 'U/S'],
  [3, 'PWT'],
  [4, 'PCD'],
  [5, 'A'],
  [63, 'XD'],
]

/**
 * Every entry that a translation comes by, for debuggers and people. Sets no A or D bits.
 *
 * The entries and the outcome are of the tables in memory, from the top.
 *
 * @param linear - 64 bits, canonical; the upper half is ignored outside long mode
 * @param cache - cache of the vCPU, which is not changed; default none
 * @throws PagingError `ERR_ADDRESS` for more than 64 bits
 */
export function explain(
  context: PagingContext,
  reader: TableReader,
  linear: bigint,
  access: AccessOptions = {},
  cache: PagingStructureCache | null = null,
): Explanation {
  checkContext(context)
  checkReader(reader)
  check.bigint('linear', linear)
  check.object('access', access)
  const seen: { gpa: number | undefined; value: bigint | undefined }[] = []
  if (context.mode === PagingMode.PAE && !context.cpu.amd) {
    const at = Number((linear >> 30n) & 3n) * 2
    const value = BigInt(context.pdptes[at] ?? 0) | (BigInt(context.pdptes[at + 1] ?? 0) << 32n)
    seen.push({ gpa: undefined, value })
  }
  const watched = notingReader(reader, (gpa, value) => seen.push({ gpa, value }))
  const outcome = translate(context, watched, linear, access)
  const steps = seen.map(({ gpa, value }, i): WalkStep => {
    const level = context.mode - i
    const last = i === seen.length - 1
    return {
      ...{ level, gpa, value },
      name: NAMES[level - 1] ?? 'PTE',
      index: indexOf(context.mode, level, linear),
      leads: leads(value, last, outcome),
      bits: value === undefined ? [] : bitsOf(context, value, level),
    }
  })
  return { steps, cached: cache === null ? [] : cachedSteps(context, cache, linear, steps), outcome }
}

/** The tables that a cache has, the lowest first. */
function cachedSteps(
  context: PagingContext,
  cache: PagingStructureCache,
  linear: bigint,
  steps: readonly WalkStep[],
): CachedStep[] {
  const isLong = context.mode >= PagingMode.FOUR_LEVEL
  // Of the two older modes only PAE's page directories are cached, without a PCID.
  const top = isLong ? context.mode : context.mode === PagingMode.PAE ? 2 : 0
  const lo = Number(linear & 0xffff_ffffn)
  const hi = isLong ? Number(linear >> 32n) : 0
  const found: CachedStep[] = []
  for (let level = 1; level < top; level++) {
    const table = cache.peek(lo, hi, level, isLong ? context.pcid : 0)
    if (table === undefined) continue
    // The PDPTEs of PAE have no rights.
    const above = steps.filter((step) => step.level > level && step.level <= top)
    found.push({ ...table, name: NAMES[level] ?? 'PML5E', agrees: isSame(table, above) })
  }
  return found
}

/** Whether the entries of the levels above lead to a table, with its rights. */
function isSame({ level, table, writable, user, executable }: CachedTable, above: readonly WalkStep[]): boolean {
  const last = above.at(-1)
  if (last?.level !== level + 1 || last.leads !== 'table' || last.value === undefined) return false
  const allHave = (bit: string): boolean => above.every(({ bits }) => bits.includes(bit))
  return (
    Number(last.value & TABLE_ADDRESS) === table &&
    writable === allHave('R/W') &&
    user === allHave('U/S') &&
    executable === above.every(({ bits }) => !bits.includes('XD'))
  )
}

function leads(value: bigint | undefined, last: boolean, outcome: Translation): WalkStep['leads'] {
  if (value === undefined) return 'no memory'
  if ((value & 1n) === 0n) return 'not present'
  if (!last) return 'table'
  return outcome.kind === 'fault' && (outcome.pfec & PFEC_RSVD) !== 0 ? 'reserved bit' : 'page'
}

function indexOf(mode: number, level: number, linear: bigint): number {
  if (mode === PagingMode.TWO_LEVEL) return Number((linear >> (level === 2 ? 22n : 12n)) & 1023n)
  return Number((linear >> BigInt(3 + 9 * level)) & (mode === PagingMode.PAE && level === 3 ? 3n : 511n))
}

function isLeaf(context: PagingContext, value: bigint, level: number): boolean {
  if (level === 1) return true
  if ((value & 0x80n) === 0n) return false
  if (context.mode === PagingMode.TWO_LEVEL) return context.pse !== 0
  return level === 2 || (level === 3 && context.mode >= PagingMode.FOUR_LEVEL)
}

function bitsOf(context: PagingContext, value: bigint, level: number): string[] {
  const isSet = (bit: number): boolean => ((value >> BigInt(bit)) & 1n) !== 0n
  // An entry that is not present means nothing to the processor.
  if (!isSet(0)) return []
  const names = BITS.filter(([bit]) => isSet(bit)).map(([, name]) => name)
  if (!isLeaf(context, value, level)) return names
  if (isSet(6)) names.push('D')
  if (level > 1) names.push('PS')
  if (isSet(8)) names.push('G')
  if (isSet(level === 1 ? 7 : 12)) names.push('PAT')
  const key = (value >> 59n) & 15n
  if (key !== 0n && context.mode >= PagingMode.FOUR_LEVEL) names.push(`key ${key}`)
  return names
}
