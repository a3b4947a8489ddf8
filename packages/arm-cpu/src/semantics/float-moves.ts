import { I32, I64, numeric, select } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from './context.ts'
import { fieldOf, valueOf, type ArmForm } from '../state/form.ts'
import { R_D, R_M, R_N } from '../state/record.ts'
import type { Semantics } from './semantics.ts'
import { repeated, writeFirst } from './vector/lanes.ts'
import { floatBits } from './vector/immediates.ts'
import { shapeOf } from './vector/shape.ts'

/** Floating-point numbers as bits: moves, the sign, a choice by a condition. None of these looks at the value. */

/** Bits of a number by field `y`, or by the letter of the first register that is one. */
const PRECISIONS = [32, 64, 0, 16] as const
const LETTERS: Readonly<Record<string, number>> = { H: 16, S: 32, D: 64 }

function bitsOf(form: ArmForm): number {
  if (form.row.fields.has('y')) return PRECISIONS[valueOf(form, 'y')]!
  return LETTERS[/<([HSD])[dn]>/.exec(form.row.operands)![1]!]!
}

const maskOf = (bits: number): bigint => (bits === 64 ? -1n : (1n << BigInt(bits)) - 1n)

/** Between register files, or within the floating-point one. */
const move: Semantics = {
  selectors: 'yf',
  emit(c, form) {
    const [to = '', from = ''] = form.row.operands.split(', ')
    if (to.includes('.d[1]')) c.writeElement(R_D, I32.of(1), 8, c.n(true))
    else if (from.includes('.d[1]')) c.setD(c.readElement(R_N, I32.of(1), 8), true)
    else if (/<[WXR]d>/.test(to)) c.setD(low(c, R_N, bitsOf(form)), bitsOf(form) === 64)
    else if (/<[WXR]n>/.test(from)) c.writeVector(R_D, c.zeroExtended(c.n(true).and(maskOf(bitsOf(form)))))
    else c.writeVector(R_D, c.zeroExtended(low(c, R_N, bitsOf(form))))
  },
}

/** The number in the low bits of a register. */
const low = (c: ArmContext, field: number, bits: number): I64 => c.readVectorLow(field).and(maskOf(bits))

/** FABS and FNEG of scalars. */
const sign: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const bits = bitsOf(form)
    const top = 1n << BigInt(bits - 1)
    const value = low(c, R_N, bits)
    const result = form.row.mnemonic === 'FABS' ? value.and(~top) : value.xor(BigInt.asIntN(64, top))
    c.writeVector(R_D, c.zeroExtended(result))
  },
}

/** FABS and FNEG of vectors. */
const signs: Semantics = {
  selectors: 'xQ',
  emit(c, form) {
    const shape = shapeOf(form, 'd')
    const { bits } = shape
    const isAbsolute = form.row.mnemonic === 'FABS'
    const top = repeated(1n << BigInt(bits - 1), bits)
    const all = numeric('i64x2.splat', I64.of(BigInt.asIntN(64, isAbsolute ? ~top : top)))
    const n = c.readVector(R_N)
    writeFirst(c, shape, isAbsolute ? numeric('v128.and', n, all) : numeric('v128.xor', n, all))
  },
}

const choice: Semantics = {
  selectors: 'yc',
  emit(c, form) {
    const bits = bitsOf(form)
    const chosen = select(c.holds(valueOf(form, 'c')), low(c, R_N, bits), low(c, R_M, bits))
    c.writeVector(R_D, c.zeroExtended(chosen))
  },
}

const constant: Semantics = {
  selectors: 'y',
  immediate(row, word) {
    const bits = PRECISIONS[fieldOf(row, 'y', word)]!
    return BigInt.asIntN(64, floatBits(fieldOf(row, 'i', word), bits))
  },
  emit: (c) => c.writeVector(R_D, c.zeroExtended(c.immediate)),
}

/** The family's semantics of a row. */
export function floatMoves(row: Row): Semantics | undefined {
  const { mnemonic, operation } = row
  if (operation === 'move') return move
  if (operation === 'vector') return mnemonic === 'FABS' || mnemonic === 'FNEG' ? signs : undefined
  if (operation !== 'float') return undefined
  switch (mnemonic) {
    case 'FMOV':
      return row.operands.includes('<float>') ? constant : move
    case 'FABS':
    case 'FNEG':
      return sign
    case 'FCSEL':
      return choice
    default:
      return undefined
  }
}
