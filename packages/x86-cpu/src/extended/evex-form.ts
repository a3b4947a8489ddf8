import { OperandKind } from '@retrap/x86-decoder'
import type { CodeInfo, Instruction } from '@retrap/x86-decoder'
import { formOf as plainFormOf, type Variant } from '../interpreter/code-forms.ts'
import type { RecordViews } from '../interpreter/lower.ts'
import type { EvexForm, Form } from '../state/form.ts'
import { R_EVEX, R_MASK } from '../state/record.ts'
import { S_NO_MASK, S_OPMASK } from '../state/state-layout.ts'

/**
 * Forms of instructions with EVEX on vectors: those of VEX with a length, elements under a mask, an element of memory that is
 * repeated, and rounding of their own. Which mask that is, and which rounding, is in the record: forms do not differ by it.
 *
 * Source: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "Exception Classifications of EVEX-Encoded Instructions".
 */

/** Operations that EVEX has under names with the width of its elements. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^VMOVDQU(8|16|32|64)$/, 'VMOVUPS'],
  [/^VMOVDQA(32|64)$/, 'VMOVAPS'],
  [/^VP(AND|ANDN|OR|XOR)[DQ]$/, 'VP$1'],
  [/^V(BROADCAST|INSERT|EXTRACT|SHUF)[FI](\d+X\d)$/, 'V$1$2'],
]

/** Bytes of the elements of operand 0, by the last letter of a name. */
const LETTERS: Readonly<Record<string, number>> = { B: 1, W: 2, H: 2, S: 4, D: 8, F: 2 }

/** Names that do not end with the letter of their elements. */
const ELEMENTS: readonly (readonly [RegExp, number | undefined])[] = [
  [/^VMOVDQ[AU](\d+)$|[FI](\d+)X\d$/, undefined],
  [/^VPUNPCK[LH]BW$|^VPALIGNR$|[BH]F8S?$/, 1],
  [/^VPUNPCK[LH]WD$|BF16$|PHX$|(PH|BF16)2IU?BS$/, 2],
  [/^VPUNPCK[LH]DQ$|2U?DQS?$|^VMOVS[LH]DUP$|^VPDP|^VDP|PSX$|C[PS]H$|^VALIGND$/, 4],
  [/^VMOVDDUP$|2U?QQS?$/, 8],
  // The letters of integers: a D is a doubleword.
  [/^VP.*B$/, 1],
  [/^VP.*W$/, 2],
  [/^VP.*D$/, 4],
  [/Q$/, 8],
]

/** Bytes of the elements that the mask of an instruction covers. */
function elementBytesOf(mnemonic: string): number {
  for (const [names, bytes] of ELEMENTS) {
    const found = names.exec(mnemonic)
    if (found === null || FLOATS.test(mnemonic)) continue
    return bytes ?? Number(found[1] ?? found[2]) / 8
  }
  return LETTERS[mnemonic.at(-1)!] ?? 0
}

/** Permutations and blends of numbers, whose names begin like those of integers. */
const FLOATS = /^VPERM.*P[SD]$|^VP.*2P[SDH]$/

function evexOf(info: CodeInfo, variant: Variant): EvexForm {
  const { mnemonic, masking, operands, broadcast, rounding, vexL } = info
  const covered = operands[operands[0]!.kind === OperandKind.MASK_REG ? 1 : 0]!
  const bytes = masking === 'none' ? 0 : elementBytesOf(mnemonic)
  const isScalar = bytes !== 0 && vexL === -1
  const elements = bytes === 0 ? 0 : isScalar ? 1 : covered.memorySize / bytes
  // Two sources of one size as the result, with elements twice as wide, have half of the elements each.
  const isPaired = broadcast > 0 && broadcast === 2 * bytes && operands[1]!.memorySize === covered.memorySize
  const elementBytes = operands.map(({ memorySize }, i) =>
    isScalar ? bytes : isPaired && i > 0 ? broadcast : Math.floor(memorySize / elements),
  )
  const isSuppressing = bytes !== 0 && variant.memory && info.faultSuppression
  const repeated = variant.memory ? broadcast : 0
  const isFloat = rounding !== 'none'
  const isRounding = isFloat && !variant.memory
  const key = ` evex${bytes}/${elements}/${repeated}${isSuppressing ? 's' : ''}${isFloat ? 'f' : ''}`
  return { elements, elementBytes, isScalar, isPaired, isFloat, isSuppressing, broadcast: repeated, isRounding, key }
}

/** Returns the form of a code with EVEX on vectors; undefined of others. */
export function formOf(info: CodeInfo, variant: Variant): Form | undefined {
  if (info.encoding !== 'evex' || info.feature.startsWith('APX')) return undefined
  const form = plainFormOf(info, variant)
  const mnemonic = NAMES.reduce((name, [names, other]) => name.replace(names, other), form.mnemonic)
  return { ...form, mnemonic, vex: true, evex: evexOf(info, variant) }
}

/** Writes the mask's register, zeroing, broadcast and rounding to a record. */
export function finish({ u8, u16 }: RecordViews, at: number, insn: Instruction): void {
  const number = insn.evex & 7
  u16[(at + R_MASK) >>> 1] = number === 0 ? S_NO_MASK : S_OPMASK + 8 * number
  u8[at + R_EVEX] = insn.evex & 0xf8
}
