/** Walks of an Arm guest's tables as text: stage 1 of EL1 and EL0, in AArch64. */
import {
  ARM_FETCH,
  ARM_UNPRIVILEGED,
  ARM_WALK_FAULT,
  ARM_WALK_OK,
  ARM_WRITE,
  ArmFormat,
  ArmPagingContext,
  ArmWalkResult,
  type TableReader,
  walkArm,
} from '@retrap/paging'
import { usage } from '../../options/values.ts'
import type { MemoryDump } from './dump.ts'
import { size } from './listing.ts'
import { hex } from './registers.ts'

/** Registers of an Arm processor, from options. */
export interface ArmRegisterFlags {
  readonly ttbr0?: bigint
  readonly ttbr1?: bigint
  readonly tcr?: bigint
  readonly sctlr?: bigint
  readonly mair?: bigint
}

export interface ArmAccess {
  readonly access: 'read' | 'write' | 'fetch'
  readonly user?: boolean
}

/** TCR_EL1 of kernels with pages of 4 KiB and 48 bits of address in both halves. */
const USUAL_TCR = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n)
const TCR_EPD0 = 1n << 7n
const TCR_EPD1 = 1n << 23n
/** SCTLR_EL1: the MMU is on. */
const USUAL_SCTLR = 1n
/** MAIR_EL1 of which each attribute is Normal memory, for want of another. */
const UNKNOWN_MAIR = 0xffff_ffff_ffff_ffffn

const FAULTS = ['address size fault', 'translation fault', 'access flag fault', 'permission fault'] as const
const ACCESSES = { read: 0, write: ARM_WRITE, fetch: ARM_FETCH } as const

/** Bits of a table's descriptor, and of a page's or a block's. */
const TABLE_BITS = { APTable0: 61n, APTable1: 62n, UXNTable: 60n, PXNTable: 59n }
const PAGE_BITS = { EL0: 6n, RO: 7n, AF: 10n, nG: 11n, DBM: 51n, Contiguous: 52n, PXN: 53n, UXN: 54n }

const low = (value: bigint): number => Number(value & 0xffff_ffffn)
const high = (value: bigint): number => Number((value >> 32n) & 0xffff_ffffn)

/**
 * The context to walk with.
 *
 * @throws CliError `ERR_USAGE` if the flags give no address of the tables
 */
export function armContextFor({ ttbr0, ttbr1, tcr, sctlr, mair }: ArmRegisterFlags): ArmPagingContext {
  if ((ttbr0 ?? ttbr1) === undefined) throw usage('a dump has no such registers; give --ttbr0 and --ttbr1, and --tcr')
  const [lower, upper, attributes] = [ttbr0 ?? 0n, ttbr1 ?? 0n, mair ?? UNKNOWN_MAIR]
  // A half without tables is off.
  const control = (tcr ?? USUAL_TCR) | (ttbr0 === undefined ? TCR_EPD0 : 0n) | (ttbr1 === undefined ? TCR_EPD1 : 0n)
  const context = new ArmPagingContext()
  context.update({
    aarch64: true,
    sctlr: low(sctlr ?? USUAL_SCTLR),
    tcrLo: low(control),
    // Probe without changes: clear the enables of access and dirty flags.
    tcrHi: high(control) & ~(3 << 7),
    ttbr0Lo: low(lower),
    ttbr0Hi: high(lower),
    ttbr1Lo: low(upper),
    ttbr1Hi: high(upper),
    mairLo: low(attributes),
    mairHi: high(attributes),
    dacr: 0,
  })
  return context
}

const halfOf = ({ lower, upper }: ArmPagingContext, address: bigint): ArmPagingContext['lower'] =>
  ((address >> 55n) & 1n) === 0n ? lower : upper

/** Returns the first line of a listing. */
export function describeArmContext({ lower, upper }: ArmPagingContext): string {
  const half = (name: string, { inputBits, granule, table, disabled }: ArmPagingContext['lower']): string =>
    disabled
      ? `${name} off`
      : `${name} of ${inputBits} bits, ${2 ** (granule - 10)} KiB granule, tables at ${hex(table)}`
  return `AArch64, ${half('lower half', lower)}; ${half('upper half', upper)}`
}

type DumpReader = Pick<MemoryDump, 'read32' | 'read64'>

/** The tables in a dump, which walks do not modify. @param look - is given each descriptor's words, or null where the dump ends */
const dumpedTables = (dump: DumpReader, look: (words: Uint32Array | null, gpa: number) => void): TableReader => ({
  read32: (gpa, into) => dump.read32(gpa, into),
  read64(gpa, into) {
    const found = dump.read64(gpa, into)
    look(found ? into : null, gpa)
    return found
  },
  compareExchange32: () => true,
  compareExchange64: () => true,
})

const ACCESS_FLAG = 1 << 10

/** Shows each page as accessed, so that the rights alone decide. Descriptors of tables ignore the bit. */
function showAccessed(words: Uint32Array | null): void {
  if (words !== null) words[0]! |= ACCESS_FLAG
}

const named = (value: bigint, bits: Readonly<Record<string, bigint>>): string[] =>
  Object.keys(bits).filter((name) => ((value >> bits[name]!) & 1n) !== 0n)

/** A descriptor's kind and fields. */
function describeDescriptor(value: bigint, level: number): string {
  const kind = value & 3n
  if ((kind & 1n) === 0n || (level === 3 && kind !== 3n)) return 'invalid'
  if (level < 3 && kind === 3n) return ['table', ...named(value, TABLE_BITS)].join(' ')
  return [level === 3 ? 'page' : 'block', ...named(value, PAGE_BITS), `AttrIndx ${(value >> 2n) & 7n}`].join(' ')
}

/** Returns the rights of each level at an address, as `rwx`. */
function rightsOf(context: ArmPagingContext, reader: TableReader, address: bigint): string[] {
  const result = new ArmWalkResult()
  return (['EL1', 'EL0'] as const).map((name) => {
    const level = name === 'EL1' ? 0 : ARM_UNPRIVILEGED
    const may = (access: number, letter: string): string =>
      walkArm(context, reader, low(address), high(address), access | level, result) === ARM_WALK_OK ? letter : '-'
    return `${name} ${may(0, 'r')}${may(ARM_WRITE, 'w')}${may(ARM_FETCH, 'x')}`
  })
}

/** A range of addresses mapped with the same attributes. */
interface ArmRun {
  readonly start: bigint
  readonly ipa: number
  readonly kind: string
  bytes: number
}

/**
 * Lists all mappings; neighbours with equal attributes, contiguous on both sides, share a line.
 *
 * @throws CliError `ERR_USAGE` without stage 1
 */
export function* listArmMappings(
  context: ArmPagingContext,
  dump: DumpReader,
  range: { readonly start: bigint; readonly stop: bigint },
  hasAttributes: boolean,
): Generator<string, void> {
  if (context.format === ArmFormat.OFF) throw usage('with the MMU off there are no mappings to list')
  let run: ArmRun | undefined
  const line = ({ start, ipa, kind, bytes }: ArmRun): string =>
    `${hex(start)}-${hex(start + BigInt(bytes) - 1n)}  ${hex(ipa)}  ${size(bytes)}  ${kind}`
  for (const [half, first] of [
    [context.lower, 0n],
    [context.upper, (1n << 64n) - (1n << BigInt(context.upper.inputBits))],
  ] as const) {
    if (half.disabled) continue
    const end = first + (1n << BigInt(half.inputBits))
    const stop = range.stop < end ? range.stop : end
    for (let at = range.start > first ? range.start : first; at < stop;) {
      const found = armMapping(context, dump, half, at, hasAttributes)
      const next = at - (at % found.span) + found.span
      if ('missing' in found) {
        if (run !== undefined) yield line(run)
        run = undefined
        if (found.missing !== undefined) yield `${hex(at)}  the table at ${hex(found.missing)} is not in the dump`
      } else if (at % found.span === 0n) {
        // A range that begins within a page continues at the next page.
        const follows =
          run?.kind === found.kind && run.start + BigInt(run.bytes) === at && run.ipa + run.bytes === found.ipa
        if (!follows) {
          if (run !== undefined) yield line(run)
          run = { start: at, ipa: found.ipa, kind: found.kind, bytes: 0 }
        }
        run!.bytes += Number(found.span)
      }
      at = next
    }
  }
  if (run !== undefined) yield line(run)
}

type ArmMapping =
  | { readonly span: bigint; readonly ipa: number; readonly kind: string }
  | { readonly span: bigint; readonly missing: number | undefined }

/** Returns the mapping at an address: a page, or a hole as large as the absent entry would map. */
function armMapping(
  context: ArmPagingContext,
  dump: DumpReader,
  { granule, stride, inputBits, level: first }: ArmPagingContext['lower'],
  at: bigint,
  hasAttributes: boolean,
): ArmMapping {
  const result = new ArmWalkResult()
  let reads = 0
  // The last descriptor is of a page whose access flag is set.
  let isAccessed = false
  const reader = dumpedTables(dump, (words) => {
    reads++
    isAccessed = words === null ? isAccessed : (words[0]! & ACCESS_FLAG) !== 0
    showAccessed(words)
  })
  const outcome = walkArm(context, reader, low(at), high(at), 0, result)
  if (outcome !== ARM_WALK_OK) {
    // A missing table is a hole in the entry above.
    const level = first + reads - (outcome === ARM_WALK_FAULT ? 1 : 2)
    const shift = level < first ? inputBits : Math.min(inputBits, granule + (3 - level) * stride)
    return { span: 1n << BigInt(shift), missing: outcome === ARM_WALK_FAULT ? undefined : result.tableIpa }
  }
  const { ipa, pageBytes, global, attributes, device } = result
  const within = Number(at % BigInt(pageBytes))
  const kind = [
    ...rightsOf(context, dumpedTables(dump, showAccessed), at),
    ...(global ? ['global'] : []),
    ...(isAccessed ? [] : ['not accessed']),
    ...(hasAttributes ? [`${device ? 'Device' : 'Normal'} ${hex(attributes)}`] : []),
    `by ${size(pageBytes)}`,
  ].join(' ')
  return { span: BigInt(pageBytes), ipa: ipa - within, kind }
}

/** Lists one walk, descriptor by descriptor. */
export function* listArmWalk(
  context: ArmPagingContext,
  dump: DumpReader,
  address: bigint,
  { access, user }: ArmAccess,
  hasAttributes: boolean,
): Generator<string, void> {
  const seen: { readonly gpa: number; readonly value: bigint | undefined }[] = []
  const steps = dumpedTables(dump, (words, gpa) => {
    seen.push({ gpa, value: words === null ? undefined : (BigInt(words[1]!) << 32n) | BigInt(words[0]!) })
  })
  const result = new ArmWalkResult()
  const asked = ACCESSES[access] | (user === true ? ARM_UNPRIVILEGED : 0)
  const outcome = walkArm(context, steps, low(address), high(address), asked, result)
  yield hex(address)
  const { granule, stride, inputBits, level: first } = halfOf(context, address)
  for (const [i, { gpa, value }] of seen.entries()) {
    const level = first + i
    const shift = granule + (3 - level) * stride
    const index = BigInt.asUintN(Math.min(stride, inputBits - shift), address >> BigInt(shift))
    const what = value === undefined ? '-' : `0x${value.toString(16).padStart(16, '0')}`
    const kind = value === undefined ? 'not in the dump' : describeDescriptor(value, level)
    yield `  L${level}    ${`${index}`.padStart(4)}  ${hex(gpa).padEnd(14)} ${what}  ${kind}`
  }
  if (outcome === ARM_WALK_OK) {
    const { ipa, pageBytes, global, attributes, device } = result
    const rights = rightsOf(context, steps, address)
    const type = hasAttributes ? [`${device ? 'Device' : 'Normal'} ${hex(attributes)}`] : []
    const parts = [`${size(pageBytes)} page`, ...rights, ...(global ? ['global'] : []), ...type]
    yield `  = ${hex(ipa)}, ${parts.join(', ')}`
  } else if (outcome === ARM_WALK_FAULT) {
    yield `  = ${FAULTS[result.status >> 2] ?? 'fault'} of level ${result.level}, status ${hex(result.status)}`
  } else yield `  = the table at ${hex(result.tableIpa)} is not in the dump`
}
