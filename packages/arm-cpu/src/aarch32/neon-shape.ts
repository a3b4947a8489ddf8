import type { Form as Row } from '@retrap/arm-decoder'
import { fieldOf } from '../form.ts'

/** How the operands of Advanced SIMD are made up: from the texts of the decoder's table. */

/** On floating-point numbers, also where only the operands or the result are such. */
export const isFloat = ({ mnemonic }: Row): boolean => /\.(?:F|<fx?>|[SU](?:\d+|<z>)\.F)/.test(mnemonic)

/** By an immediate; also to and from fixed point. */
export const isShift = ({ operands }: Row): boolean => /^<[VQD]d>, <[VQD]m>, <#(?:\d+-)?i>$/.test(operands)

/** S or U: what the field or the data type says. */
export const signLetter = (row: Row, word: number): string =>
  row.fields.has('u') ? 'SU'.charAt(fieldOf(row, 'u', word)) : (/\.([SU])/.exec(row.mnemonic)?.[1] ?? 'S')

/** Bits of a shift's narrower elements, by the width of its immediate. */
const SHIFTED: Readonly<Record<number, number>> = { 3: 8, 4: 16, 5: 32, 6: 64 }

/** Bits of an element: of the narrower one, where there are two sizes; 8 where it has no say. */
export function elementBits(row: Row, word: number): number {
  const { mnemonic, fields } = row
  if (fields.has('z')) return 8 << fieldOf(row, 'z', word)
  if (isShift(row)) return SHIFTED[fields.get('i')!.width]!
  if (mnemonic.includes('<f>')) return fieldOf(row, 'x', word) === 1 ? 16 : 32
  if (mnemonic.includes('<fx>')) return fieldOf(row, 'x', word) === 1 ? 32 : 16
  const sizes = [...mnemonic.matchAll(/\.(?:[SUFIP]|<su>)?(\d+)/g)].map(([, bits]) => Number(bits))
  return sizes.length === 0 ? 8 : Math.min(...sizes)
}

/** Whether the destination has 128 bits. */
export const isQuad = (row: Row, word: number): boolean =>
  row.operands.startsWith('<Q') || (row.operands.startsWith('<V') && fieldOf(row, 'Q', word) === 1)
