import { valueOf } from '../../state/form.ts'
import type { ArmForm } from '../../state/form.ts'
import type { Elements } from './lanes.ts'

/** How the operands of vector instructions are made up: from the texts of the decoder's table. */

/** The elements of an operand. */
export interface Shape extends Elements {
  /** Whether the operand is one element of a register. */
  readonly scalar: boolean
}

/** Bits by the letter of an element or a scalar register. */
const LETTERS: Readonly<Record<string, number>> = { b: 8, h: 16, s: 32, d: 64, q: 128 }

/**
 * The shape of an operand.
 *
 * @param letter - field of the operand's register number: `d`, `n`, `m`
 */
export function shapeOf(form: ArmForm, letter: string): Shape {
  const [, file = '', more = '', arrangement = ''] =
    new RegExp(`<([VYDSHBQ])(\\+?)${letter}(?:\\.([^>[]*))?`).exec(form.row.operands) ?? []
  const size = 8 << valueOf(form, 'z')
  if (file !== 'V') {
    const bits = file === 'Y' ? size << more.length : LETTERS[file.toLowerCase()]!
    return { bits, count: 1, scalar: true }
  }
  const bits = arrangementBits(arrangement, size, 32 << valueOf(form, 'x'))
  const [named] = /^\d+(?=[bhsdq]$)/.exec(arrangement) ?? []
  if (named !== undefined) return { bits, count: Number(named), scalar: false }
  // The wider operand takes a whole register, regardless of `Q`.
  const registerBits = arrangement === 'W' || valueOf(form, 'Q') === 1 ? 128 : 64
  return { bits, count: registerBits / bits, scalar: false }
}

function arrangementBits(arrangement: string, size: number, precision: number): number {
  if (arrangement === 'F') return precision
  if (arrangement === 'T') return size
  if (arrangement === 'W' || arrangement === 'P') return 2 * size
  return LETTERS[arrangement.at(-1)!]!
}

/** Whether a row's instructions can read their narrow operand from the upper half, or write their result there. */
export const hasUpper = ({ mnemonic }: ArmForm['row']): boolean => mnemonic.endsWith('<2>')

/** Whether an instruction does so. */
export const isUpper = (form: ArmForm): boolean => hasUpper(form.row) && valueOf(form, 'Q') === 1
