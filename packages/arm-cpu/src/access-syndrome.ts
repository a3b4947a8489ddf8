import { Addressing, decodeLoadStoreA64, LoadStore } from '@retrap/arm-decoder'
import { EC_DATA_ABORT, exceptionClassOf, ISS_CM, ISS_S1PTW } from './syndrome.ts'

/** Fields of the ISS of a data abort that describe the access. */
const ISV = 1 << 24
const SAS_SHIFT = 22
const SSE = 1 << 21
const SRT_SHIFT = 16
const SF = 1 << 15
const AR = 1 << 14

const scratch = /*#__PURE__*/ new LoadStore()

/** The base is not written back. */
const isInPlace = (addressing: Addressing): boolean =>
  addressing === Addressing.OFFSET || addressing === Addressing.LITERAL

/** Whether the abort of a syndrome can have its access described: not cache maintenance, nor walks. */
export const tellsAccess = (syndrome: number): boolean =>
  exceptionClassOf(syndrome) === EC_DATA_ABORT && (syndrome & (ISS_CM | ISS_S1PTW)) === 0

/**
 * The fields of an abort of stage 2 that describe the access of an instruction: of loads and stores of one general-purpose
 * register, but not of exclusive ones, nor of those that write their base back. 0 for all others: ISV is clear.
 *
 * Source: Arm ARM (DDI 0487) D24.2.40 "ESR_EL2", "ISS encoding for an exception from a Data Abort", ISV.
 */
export function accessSyndrome(word: number): number {
  if (!decodeLoadStoreA64(word, scratch)) return 0
  const { form, addressing, rt } = scratch
  const { operation, attributes, operands, size } = form
  if ((operation !== 'load' && operation !== 'store') || !isInPlace(addressing) || attributes.has('pair')) return 0
  const letter = operands.charAt(operands.indexOf('t>') - 1)
  if (letter !== 'W' && letter !== 'X') return 0
  const ordered = attributes.has('acquire') || attributes.has('release')
  return (
    ISV |
    (Math.log2(size) << SAS_SHIFT) |
    (attributes.has('sx') ? SSE : 0) |
    (rt << SRT_SHIFT) |
    (letter === 'X' ? SF : 0) |
    (ordered ? AR : 0)
  )
}
