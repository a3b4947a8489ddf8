import {
  Addressing,
  decodeLoadStoreA32,
  decodeLoadStoreA64,
  decodeLoadStoreThumb,
  LoadStore,
} from '@retrap/arm-decoder'
import { PSTATE_NRW, PSTATE_T } from '../state/pstate.ts'
import { EC_DATA_ABORT, exceptionClassOf, ISS_CM, ISS_S1PTW, ofHalfword } from '../state/syndrome.ts'

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

/** Loads and stores of A32 and Thumb that have an access described; PC is no register of theirs. */
const PC = 15

/** Decodes an instruction. @param status - PSTATE */
function decode(word: number, status: number): boolean {
  if ((status & PSTATE_NRW) === 0) return decodeLoadStoreA64(word, scratch)
  if ((status & PSTATE_T) === 0) return decodeLoadStoreA32(word, scratch)
  return word > 0xffff
    ? decodeLoadStoreThumb(word >>> 16, word & 0xffff, scratch)
    : decodeLoadStoreThumb(word, 0, scratch)
}

/**
 * A syndrome of an abort of stage 2 with the fields that describe the access of an instruction: of loads and stores of one
 * general-purpose register, but not of exclusive ones, nor of those that write their base back. ISV stays clear for all others.
 *
 * @param word - the instruction
 * @param status - PSTATE
 *
 * Source: Arm ARM (DDI 0487) D24.2.40 "ESR_EL2", "ISS encoding for an exception from a Data Abort", ISV.
 */
export function accessSyndrome(syndrome: number, word: number, status: number): number {
  if (!decode(word, status)) return syndrome
  const { form, addressing, rt, length } = scratch
  const { operation, attributes, operands, size } = form
  if ((operation !== 'load' && operation !== 'store') || !isInPlace(addressing)) return syndrome
  if (attributes.has('pair') || attributes.has('couple') || attributes.has('multiple')) return syndrome
  const letter = operands.charAt(operands.indexOf('t>') - 1)
  const isGeneral = (status & PSTATE_NRW) === 0 ? letter === 'W' || letter === 'X' : letter === 'R' && rt !== PC
  if (!isGeneral) return syndrome
  const ordered = attributes.has('acquire') || attributes.has('release')
  const described =
    syndrome |
    ISV |
    (Math.log2(size) << SAS_SHIFT) |
    (attributes.has('sx') ? SSE : 0) |
    (rt << SRT_SHIFT) |
    (letter === 'X' ? SF : 0) |
    (ordered ? AR : 0)
  return length === 2 ? ofHalfword(described) : described >>> 0
}
