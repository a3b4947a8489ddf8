/** The inputs of a walk beside the tables: control registers, from options or from the dump. */
import {
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_LA57,
  CR4_PAE,
  CR4_PGE,
  CR4_PSE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  PagingContext,
  PagingMode,
} from '@retrap/paging'
import { usage } from '../../options/values.ts'
import type { MemoryDump } from './dump.ts'

/** Paging modes by their names on the command line. */
export const MODES = ['none', '2-level', 'pae', '4-level', '5-level'] as const

export interface RegisterFlags {
  readonly cr0?: bigint
  readonly cr3?: bigint
  readonly cr4?: bigint
  readonly efer?: bigint
  readonly mode?: (typeof MODES)[number]
  readonly cpu?: number
  readonly physicalBits: number
  readonly amd?: boolean
}

const PAGING = BigInt((CR0_PE | CR0_WP | CR0_PG) >>> 0)
const TWO_LEVEL = BigInt(CR4_PSE | CR4_PGE)
const PAE = TWO_LEVEL | BigInt(CR4_PAE)
const NX = BigInt(EFER_NXE)
const LONG = BigInt(EFER_LME | EFER_LMA | EFER_NXE)

const MODE_REGISTERS: Readonly<Record<(typeof MODES)[number], { cr0: bigint; cr4: bigint; efer: bigint }>> = {
  none: { cr0: BigInt(CR0_PE), cr4: 0n, efer: 0n },
  '2-level': { cr0: PAGING, cr4: TWO_LEVEL, efer: 0n },
  pae: { cr0: PAGING, cr4: PAE, efer: NX },
  '4-level': { cr0: PAGING, cr4: PAE, efer: LONG },
  '5-level': { cr0: PAGING, cr4: PAE | BigInt(CR4_LA57), efer: LONG },
}

/**
 * The context to walk with.
 *
 * @throws CliError `ERR_USAGE` for registers that contradict each other, or that nobody has given
 */
export function contextFor(flags: RegisterFlags, dump: MemoryDump): PagingContext {
  const { cr0, cr3, cr4, efer } = registersOf(flags, dump)
  const context = new PagingContext({
    maxPhysicalBits: flags.physicalBits,
    pages1G: true,
    pse36: true,
    amd: flags.amd === true,
  })
  const low = (value: bigint): number => Number(value & 0xffff_ffffn)
  try {
    context.configure(low(cr0), low(cr3), Number(cr3 >> 32n), low(cr4), low(efer))
  } catch (error) {
    throw usage(`these control registers go with no paging mode: ${(error as Error).message}`)
  }
  if (context.mode === PagingMode.PAE && flags.amd !== true && !context.loadPdptes(dump)) {
    throw usage(`CR3 ${hex(cr3)} names no table of PDPTEs: one that is present has reserved bits set`)
  }
  return context
}

function registersOf(flags: RegisterFlags, dump: MemoryDump): { cr0: bigint; cr3: bigint; cr4: bigint; efer: bigint } {
  const given = [flags.cr0, flags.cr4, flags.efer].some((value) => value !== undefined)
  if (given && flags.mode !== undefined) throw usage('--mode stands for --cr0, --cr4 and --efer; give it or them')
  const index = flags.cpu ?? 0
  const cpu = dump.cpus[index]
  if (cpu === undefined && flags.cpu !== undefined) {
    throw usage(`--cpu ${index}: the dump has registers of ${dump.cpus.length === 0 ? 'none' : `${dump.cpus.length}`}`)
  }
  const mode = flags.mode ?? (cpu === undefined ? '4-level' : undefined)
  const fromMode = mode === undefined ? undefined : MODE_REGISTERS[mode]
  const cr3 = flags.cr3 ?? cpu?.cr3 ?? (mode === 'none' ? 0n : undefined)
  if (cr3 === undefined) throw usage('the dump has no registers; give --cr3, where the tables begin')
  const cr0 = flags.cr0 ?? fromMode?.cr0 ?? cpu?.cr0 ?? PAGING
  const cr4 = flags.cr4 ?? fromMode?.cr4 ?? cpu?.cr4 ?? 0n
  const long = cpu?.long === true ? LONG : NX
  return { cr0, cr3, cr4, efer: flags.efer ?? fromMode?.efer ?? long }
}

/** Describes the mode and enabled features, for the listing's first line. */
export function describeContext(context: PagingContext): string {
  const names: readonly [string, number][] = [
    ['WP', context.wp],
    // NXE does not apply to two-level entries, and PSE does not apply to others.
    context.mode === PagingMode.TWO_LEVEL ? ['PSE', context.pse] : ['NXE', context.nxe],
    ['PGE', context.globalMask],
    ['SMEP', context.smep],
    ['SMAP', context.smap],
    ['PKE', context.pke],
    ['PKS', context.pks],
    ['CET', context.cet],
  ]
  if (context.mode === PagingMode.NONE) return 'no paging'
  const kind =
    context.mode === PagingMode.PAE
      ? 'PAE'
      : context.mode === PagingMode.TWO_LEVEL
        ? '2-level'
        : `${context.mode}-level`
  const on = names.filter(([, value]) => value !== 0).map(([name]) => name)
  return [`${kind} paging, tables at ${hex(BigInt(context.root))}`, ...on].join(' ')
}

export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`
}
