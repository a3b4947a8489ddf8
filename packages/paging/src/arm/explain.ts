import { notingReader, type TableReader } from '../table-reader.ts'
import { ArmFormat, type ArmHalf, type ArmPagingContext } from './context.ts'
import { walkArm } from './walk.ts'
import { ARM_READ, ARM_WALK_FAULT, ARM_WALK_OK, ArmWalkResult } from './walk-result.ts'

/** One descriptor on the way from TTBR0 or TTBR1 to a page. */
export interface ArmWalkStep {
  /** Level of the descriptor's table: 3 is the last, or 2 with short descriptors. */
  readonly level: number
  /** Index of the descriptor in its table. */
  readonly index: number
  /** Guest-physical address. */
  readonly gpa: number
  /** The descriptor; undefined if its address has no memory. */
  readonly value: bigint | undefined
  /** The target of the descriptor. */
  readonly leads: 'table' | 'block' | 'page' | 'invalid' | 'no memory'
  /** Bits that are set in a long descriptor, by their names in the manual. */
  readonly bits: readonly string[]
}

/** The result of {@link explainArm}. */
export interface ArmExplanation {
  /** The register that leads to the first table. */
  readonly register: 'TTBR0' | 'TTBR1'
  /** Bytes of a page. */
  readonly granuleBytes: number
  /** Bits of address that this half of the address space translates. */
  readonly inputBits: number
  /** Every descriptor on the way; empty where stage 1 is off. */
  readonly steps: readonly ArmWalkStep[]
  /** Result of the translation of a read by EL1. `status`: as in ESR_EL1. `second-level`: a table is in no memory. */
  readonly outcome:
    | { readonly kind: 'mapped'; readonly gpa: number }
    | { readonly kind: 'fault'; readonly level: number; readonly status: number }
    | { readonly kind: 'second-level' }
}

/** Source: Arm ARM (DDI 0487), D8.3, "VMSAv8-64 translation table format descriptors". */
const LEAF_BITS = [
  [6, 'AP[1]'],
  [7, 'AP[2]'],
  [10, 'AF'],
  [11, 'nG'],
  [50, 'GP'],
  [51, 'DBM'],
  [52, 'Contiguous'],
  [53, 'PXN'],
  [54, 'UXN'],
] as const
const TABLE_BITS = [
  [59, 'PXNTable'],
  [60, 'UXNTable'],
  [61, 'APTable[0]'],
  [62, 'APTable[1]'],
] as const
/** Bytes of a second-level table of short descriptors, and the most of a first one. */
const [SHORT_BYTES, MOST_FIRST_BYTES] = [1024, 2 ** 14]

/**
 * Every descriptor that a stage-1 walk comes by, for debuggers and people. Sets no bits in them.
 *
 * @param address - virtual, of 64 bits
 */
export function explainArm(context: ArmPagingContext, reader: TableReader, address: bigint): ArmExplanation {
  const seen: { readonly gpa: number; readonly value: bigint | undefined }[] = []
  const watched = notingReader(reader, (gpa, value) => seen.push({ gpa, value }))
  const result = new ArmWalkResult()
  const walked = walkArm(context, watched, Number(address & 0xffff_ffffn), Number(address >> 32n), ARM_READ, result)
  const { format, upper, lower } = context
  const inUpper = (seen[0]?.gpa ?? -1) - upper.table
  const isUpper =
    format === ArmFormat.LONG_64 ? (address & (1n << 55n)) !== 0n : inUpper >= 0 && inUpper < MOST_FIRST_BYTES
  const half = isUpper ? upper : lower
  return {
    register: isUpper ? 'TTBR1' : 'TTBR0',
    granuleBytes: 2 ** half.granule,
    inputBits: half.inputBits,
    steps: seen.map(({ gpa, value }, i) => stepOf(format === ArmFormat.SHORT, half, i, { gpa, value })),
    outcome:
      walked === ARM_WALK_OK
        ? { kind: 'mapped', gpa: result.ipa }
        : walked === ARM_WALK_FAULT
          ? { kind: 'fault', level: result.level, status: result.status }
          : { kind: 'second-level' },
  }
}

/** @param number - number of the step, from 0 */
function stepOf(isShort: boolean, half: ArmHalf, number: number, { gpa, value }: Pick<ArmWalkStep, 'gpa' | 'value'>) {
  const level = (isShort ? 1 : half.level) + number
  const tableBytes = isShort ? SHORT_BYTES : 2 ** half.granule
  const inTable = number === 0 ? gpa - half.table : gpa % tableBytes
  const leads = leadsTo(isShort, level, value)
  const names = isShort || value === undefined ? [] : leads === 'table' ? TABLE_BITS : LEAF_BITS
  const bits = names.flatMap(([bit, name]) => (((value! >> BigInt(bit)) & 1n) === 0n ? [] : [name]))
  return { level, index: inTable / (isShort ? 4 : 8), gpa, value, leads, bits }
}

function leadsTo(isShort: boolean, level: number, value: bigint | undefined): ArmWalkStep['leads'] {
  if (value === undefined) return 'no memory'
  const kind = Number(value & 3n)
  if (isShort) return kind === 0 ? 'invalid' : level === 2 ? 'page' : kind === 1 ? 'table' : 'block'
  if ((kind & 1) === 0 || (level === 3 && kind !== 3)) return 'invalid'
  return level === 3 ? 'page' : kind === 3 ? 'table' : 'block'
}
