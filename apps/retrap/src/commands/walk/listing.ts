/** Walks and mappings as text. */
import {
  explain,
  type AccessOptions,
  type LinearRange,
  type Mapping,
  mappings,
  MemoryType,
  PagingMode,
  type PagingContext,
  patType,
} from '@retrap/paging'
import { usage } from '../../options/values.ts'
import type { MemoryDump } from './dump.ts'
import { hex } from './registers.ts'

const TYPE_NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  Object.entries(MemoryType).map(([name, type]) => [type, name.replace('_MINUS', '−')]),
)

/** Bits of a page fault's error code by their names in the manual. */
const ERROR_BITS = ['P', 'W/R', 'U/S', 'RSVD', 'I/D', 'PK', 'SS'] as const

/**
 * Lists one walk, entry by entry.
 *
 * @throws CliError `ERR_USAGE` for an address that is not canonical
 */
export function* listWalk(
  context: PagingContext,
  dump: MemoryDump,
  linear: bigint,
  access: AccessOptions,
  pat: bigint | undefined,
): Generator<string, void> {
  checkAddress(context, linear)
  const { steps, outcome } = explain(context, dump, linear, access)
  yield `${hex(linear)}`
  for (const { name, index, gpa, value, leads, bits } of steps) {
    const where = gpa === undefined ? 'register' : hex(gpa)
    const what = value === undefined ? '-' : `0x${value.toString(16).padStart(context.mode === 2 ? 8 : 16, '0')}`
    yield `  ${name.padEnd(5)} ${`${index}`.padStart(4)}  ${where.padEnd(14)} ${what}  ${[leads, ...bits].join(' ')}`
  }
  if (outcome.kind === 'mapped') {
    const rest = context.mode === PagingMode.NONE ? '' : `, ${describe(outcome, pat)}`
    yield `  = ${hex(outcome.gpa)}${rest}`
  }
  if (outcome.kind === 'fault') {
    const names = ERROR_BITS.filter((_, bit) => (outcome.pfec & (1 << bit)) !== 0)
    yield `  = page fault, error code ${hex(outcome.pfec)}${names.length === 0 ? '' : ` (${names.join(' ')})`}`
  }
}

function checkAddress(context: PagingContext, linear: bigint): void {
  if (context.mode < PagingMode.FOUR_LEVEL) {
    if (linear >> 32n !== 0n) throw usage(`${hex(linear)} has more than 32 bits, which is all there are in this mode`)
    return
  }
  const bits = context.mode === PagingMode.FOUR_LEVEL ? 48 : 57
  if (BigInt.asUintN(64, BigInt.asIntN(bits, linear)) !== linear) {
    throw usage(`${hex(linear)} is not canonical: with ${context.mode} levels, bits 63 to ${bits - 1} are all alike`)
  }
}

function describe(mapping: Mapping, pat: bigint | undefined): string {
  const { pageBytes, user, writable, executable, global, accessed, dirty, pkey, shadowStack } = mapping
  return [
    `${size(pageBytes)} page`,
    user ? 'user' : 'supervisor',
    `r${writable ? 'w' : '-'}${executable ? 'x' : '-'}`,
    ...(global ? ['global'] : []),
    ...(dirty ? ['dirty'] : accessed ? ['accessed'] : []),
    ...(pkey === 0 ? [] : [`key ${pkey}`]),
    ...(shadowStack ? ['shadow stack'] : []),
    memoryType(mapping.patIndex, pat),
  ].join(', ')
}

function memoryType(index: number, pat: bigint | undefined): string {
  return pat === undefined ? `PAT ${index}` : (TYPE_NAMES[patType(pat, index)] ?? `PAT ${index}`)
}

/** Formats a size in the largest unit that divides it. */
export function size(bytes: number): string {
  if (bytes % 2 ** 30 === 0) return `${bytes / 2 ** 30} GiB`
  return bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`
}

/** Lists all mappings; neighbours with equal attributes, contiguous on both sides, share a line. */
export function* listMappings(
  context: PagingContext,
  dump: MemoryDump,
  pat: bigint | undefined,
  range: LinearRange,
): Generator<string, void> {
  if (context.mode === PagingMode.NONE) throw usage('without paging there are no mappings to list')
  for (const end of [range.start, range.stop]) if (end !== undefined && end >> 64n === 0n) checkAddress(context, end)
  let first: Mapping | undefined
  let bytes = 0
  let kind = ''
  const line = ({ linear, gpa }: Mapping): string => {
    const end = BigInt.asUintN(64, linear + BigInt(bytes) - 1n)
    return `${hex(linear)}-${hex(end)}  ${hex(gpa)}  ${size(bytes)}  ${kind}`
  }
  for (const mapping of mappings(context, dump, range)) {
    const rights = [
      `${mapping.user ? 'u' : 's'}r${mapping.writable ? 'w' : '-'}${mapping.executable ? 'x' : '-'}`,
      ...(mapping.global ? ['G'] : []),
      ...(mapping.pkey === 0 ? [] : [`key ${mapping.pkey}`]),
      ...(mapping.shadowStack ? ['SS'] : []),
      memoryType(mapping.patIndex, pat),
      `by ${size(mapping.pageBytes)}`,
    ].join(' ')
    const follows =
      first !== undefined &&
      rights === kind &&
      mapping.linear === first.linear + BigInt(bytes) &&
      mapping.gpa === first.gpa + bytes
    if (!follows) {
      if (first !== undefined) yield line(first)
      first = mapping
      bytes = 0
      kind = rights
    }
    bytes += mapping.pageBytes
  }
  if (first !== undefined) yield line(first)
}
