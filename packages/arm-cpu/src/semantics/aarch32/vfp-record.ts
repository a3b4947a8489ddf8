import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'
import { S_R15, S_V, S_X } from '../../state/state-layout.ts'

/** Registers of VFP and Advanced SIMD in AArch32, and what a record has of their instructions. */

/** An AArch32 instruction that an A64 form or a similar one computes. */
export interface VectorPlan {
  /** Key of that form. */
  readonly key: string
  /** `FRAME_*`. */
  readonly frame: number
  /** State offsets of the registers that the form names so. */
  readonly d: number
  readonly n: number
  readonly m: number
  readonly a: number
  readonly small: number
  readonly immediate: bigint
  /** State offsets of more registers, in the immediate's place. */
  readonly more?: readonly number[]
  /** The form needs to know R15. */
  readonly readsPc?: boolean
}

/** Emits a form that only AArch32 has. */
export type OwnForm = (c: ArmContext) => void

const PC = 15

/** State offset of a general-purpose register. */
export const coreRegister = (number: number): number => (number === PC ? S_R15 : S_X + 8 * number)

/** Singles are numbered Vd:D, doubles D:Vd like their field. */
export const singleNumber = (bits: number): number => ((bits & 15) << 1) | (bits >> 4)

/**
 * State offsets of registers: D0 and D1 are the halves of V0, and so on; S0 to S3 its quarters.
 *
 * Source: Arm ARM (DDI 0487) E1.3.1, "The SIMD and floating-point register file".
 */
export const singleAt = (number: number): number => S_V + 4 * number
export const doubleAt = (number: number): number => S_V + 8 * number

/** An operand: the letters of its kind and its field. */
export interface VectorOperand {
  readonly kind: string
  readonly letter: string
}

const compiled = new WeakMap<Row, readonly VectorOperand[]>()

/** The registers in the text of operands, in their order; those of VFMAL's lanes are singles of fewer bits. */
function vectorOperands(row: Row): readonly VectorOperand[] {
  let operands = compiled.get(row)
  if (operands === undefined) {
    const texts = row.operands
      .replace('<half-lane>', '<Lm>')
      .replace('<table>', '<Dn>')
      .matchAll(/<([SDQVRL])([dnmtu])(?:\[l\])?>/g)
    operands = [...texts].map(([, kind = '', letter = '']) => ({ kind, letter }))
    compiled.set(row, operands)
  }
  return operands
}

/** State offset of an operand. @param bits - its field */
function operandAt({ kind }: VectorOperand, bits: number): number {
  switch (kind) {
    case 'S':
      return singleAt(singleNumber(bits))
    case 'L':
      return singleAt(((bits & 7) << 1) | (bits >> 3))
    case 'R':
      return coreRegister(bits)
    default:
      return doubleAt(bits)
  }
}

/** State offsets of the registers: the destination, and the sources in their order. A third source is the destination. */
export function registersOf(row: Row, word: number): Pick<VectorPlan, 'd' | 'n' | 'm' | 'a'> {
  const [d = 0, n = 0, m = 0] = vectorOperands(row).map((each) => operandAt(each, fieldOf(row, each.letter, word)))
  return { d, n, m, a: d }
}

/** Key of a form that only AArch32 has. */
export const ownKey = (name: string): string => `aarch32.${name}`

/** Beside the bits of a fixed-point number's fraction, in the small number: it has 32 bits, not 16; it has no sign. */
export const FIXED_WIDE = 0x40
export const FIXED_UNSIGNED = 0x80
