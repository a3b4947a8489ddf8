import { OperandKind, type CodeInfo, type Instruction } from '@retrap/x86-decoder'
import { formOf as plainFormOf, type Variant } from '../../interpreter/code-forms.ts'
import type { RecordViews } from '../../interpreter/lower.ts'
import type { EvexForm, Form } from '../../state/form.ts'
import { R_EVEX, R_MASK } from '../../state/record.ts'
import { S_NO_MASK, S_OPMASK } from '../../state/state-layout.ts'

/**
 * Forms of instructions with EVEX on vectors: those of VEX with a length, elements under a mask, an element of memory that is
 * repeated, and rounding of their own. Which mask that is, and which rounding, is in the record: forms do not differ by it.
 *
 * Source: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "Exception Classifications of EVEX-Encoded Instructions".
 */

function evexOf(info: CodeInfo, variant: Variant): EvexForm {
  const { operands, broadcast, rounding, vexL, exceptionClass, elementBytes: bytes } = info
  const covered = operands[operands[0]!.kind === OperandKind.MASK_REG ? 1 : 0]!
  const isScalar = bytes !== 0 && vexL === -1
  const elements = bytes === 0 ? 0 : isScalar ? 1 : covered.memorySize / bytes
  // Two sources of one size as the result, with elements twice as wide, have half of the elements each.
  const isPaired = broadcast > 0 && broadcast === 2 * bytes && operands[1]!.memorySize === covered.memorySize
  const elementBytes = operands.map(({ memorySize }, i) =>
    isScalar ? bytes : isPaired && i > 0 ? broadcast : Math.floor(memorySize / elements),
  )
  // Complex numbers have a source of their own for the elements above, as their registers must differ.
  const isAccumulating = isScalar && operands[0]!.access === 'rw' && rounding === 'rounding' && !info.distinct
  const isRepeated = exceptionClass === 'E6' && operands[1]!.memorySize < covered.memorySize
  const isSuppressing = bytes !== 0 && variant.memory && info.faultSuppression
  const repeated = variant.memory ? broadcast : 0
  const isFloat = rounding !== 'none'
  const isRounding = isFloat && !variant.memory
  const key = ` evex${bytes}/${elements}/${repeated}${isSuppressing ? 's' : ''}${isFloat ? 'f' : ''}`
  return {
    elements,
    elementBytes,
    isScalar,
    isPaired,
    isAccumulating,
    isRepeated,
    isFloat,
    isSuppressing,
    broadcast: repeated,
    isRounding,
    key,
  }
}

/** Returns the form of a code with EVEX on vectors; undefined of others. */
export function formOf(info: CodeInfo, variant: Variant): Form | undefined {
  if (info.encoding !== 'evex' || info.feature.startsWith('APX')) return undefined
  return { ...plainFormOf(info, variant), vex: true, evex: evexOf(info, variant) }
}

/** Writes the mask's register, zeroing, broadcast and rounding to a record. */
export function finish({ u8, u16 }: RecordViews, at: number, insn: Instruction): void {
  const number = insn.evex & 7
  u16[(at + R_MASK) >>> 1] = number === 0 ? S_NO_MASK : S_OPMASK + 8 * number
  u8[at + R_EVEX] = insn.evex & 0xf8
}
