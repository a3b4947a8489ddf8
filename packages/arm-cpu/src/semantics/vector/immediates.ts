import { I64, numeric } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf, type ArmForm } from '../../state/form.ts'
import { R_D, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { element, extendedFrom, repeated, Saturation, wholeVector, writeEach, writeFirst } from './lanes.ts'
import { isUpper, shapeOf } from './shape.ts'
import { shiftedLeft, shiftedRight, type Shift } from './shifts.ts'
import { narrowedTo, writeNarrow } from './mixed-sizes.ts'

/** Constants, and shifts by an immediate. */

/** Eight bits as the high bits of a floating-point number. Source: Arm ARM (DDI 0487), "VFPExpandImm". */
export function floatBits(value: number, bits: number): bigint {
  const [exponentBits, fractionBits] = { 16: [5, 10], 32: [8, 23], 64: [11, 52] }[bits]!
  const sign = BigInt(value >> 7)
  const isSmall = (value >> 6) & 1
  // The exponent's top bit is the opposite of the others, down to its two last.
  const repeated = isSmall === 1 ? (1n << BigInt(exponentBits! - 3)) - 1n : 0n
  const exponent = (BigInt(isSmall ^ 1) << BigInt(exponentBits! - 1)) | (repeated << 2n) | BigInt((value >> 4) & 3)
  const fraction = BigInt(value & 15) << BigInt(fractionBits! - 4)
  return (sign << BigInt(bits - 1)) | (exponent << BigInt(fractionBits!)) | fraction
}

/** The constant of an instruction. Source: Arm ARM (DDI 0487), "AdvSIMDExpandImm". */
function constantOf(row: Row, word: number): bigint {
  const value = fieldOf(row, 'i', word)
  const amount = fieldOf(row, 's', word)
  const { operands, mnemonic } = row
  const bits = { b: 8, h: 16, s: 32, d: 64 }[/<(?:Vd\.\w+\/?\w*?(\w)|(D)d)>/.exec(operands)?.[1] ?? 'd']!
  if (operands.includes('<float>')) return repeated(floatBits(value, bits), bits)
  if (operands.includes('<bytes>')) {
    let result = 0n
    for (let bit = 0; bit < 8; bit++) if ((value >> bit) & 1) result |= 0xffn << BigInt(8 * bit)
    return result
  }
  const shifted = operands.includes('<msl>')
    ? ((BigInt(value) + 1n) << BigInt(8 << amount)) - 1n
    : BigInt(value) << BigInt(8 * amount)
  const expanded = repeated(shifted, bits)
  return mnemonic === 'MVNI' || mnemonic === 'BIC' ? BigInt.asUintN(64, ~expanded) : expanded
}

const constant: Semantics = {
  selectors: 'Q',
  immediate: (row, word) => BigInt.asIntN(64, constantOf(row, word)),
  emit(c, form) {
    const { mnemonic } = form.row
    const all = numeric('i64x2.splat', c.immediate)
    const result =
      mnemonic === 'ORR'
        ? numeric('v128.or', c.readVector(R_D), all)
        : mnemonic === 'BIC'
          ? numeric('v128.and', c.readVector(R_D), all)
          : all
    writeFirst(c, shapeOf(form, 'd'), result)
  },
}

/** Parameters of a shift by an immediate. */
interface ByImmediate {
  readonly left: boolean
  readonly rounds: boolean
  readonly saturates: boolean
  readonly fromSigned: boolean
  readonly toSigned: boolean
  /** The result is added to the destination. */
  readonly adds: boolean
  /** The bits that nothing is shifted into keep the destination's. */
  readonly inserts: boolean
  /** 'narrow' or 'long' where the sizes differ. */
  readonly change: 'narrow' | 'long' | undefined
}

/** The parameters that a mnemonic such as SQRSHRUN spells; undefined for other instructions. */
function byImmediate(name: string): ByImmediate | undefined {
  const [, sign, saturates, rounds, way, toUnsigned, narrow] =
    /^([SU]?)(Q?)(R?)(SHLL|SHL|SHR|SRA|SLI|SRI)(U?)(N?)$/.exec(name) ?? []
  // Of the shifts that keep the size of elements, only these have no sign letter.
  if (way === undefined || (sign + narrow! === '' && !/^(?:SHL|SLI|SRI)$/.test(name))) return undefined
  return {
    left: /^SH?L/.test(way),
    rounds: rounds === 'R',
    saturates: saturates === 'Q',
    fromSigned: sign === 'S',
    toSigned: sign === 'S' && toUnsigned === '',
    adds: way === 'SRA',
    inserts: way.endsWith('I'),
    change: narrow === 'N' ? 'narrow' : way === 'SHLL' ? 'long' : undefined,
  }
}

/** Bits of the narrower element, which the highest 1 of `immh` gives. */
const shiftBits = (row: Row): number => 8 << (31 - Math.clz32((row.value >>> 19) & 15))

const shift: Semantics = {
  selectors: 'Q',
  small(row, word) {
    const bits = shiftBits(row)
    const amount = fieldOf(row, 'i', word)
    return byImmediate(row.name)!.left ? amount : bits - amount
  },
  emit(c, form) {
    const how = byImmediate(form.row.name)!
    if (how.change !== undefined) emitChange(c, form, how)
    else emitSame(c, form, how)
  },
}

function emitSame(c: ArmContext, form: ArmForm, how: ByImmediate): void {
  const shape = shapeOf(form, 'd')
  const { bits, scalar } = shape
  if (!how.saturates && !how.rounds && !how.adds && !how.inserts && !scalar) {
    const name = how.left ? 'shl' : how.fromSigned ? 'shr_s' : 'shr_u'
    const amount = c.small
    // WebAssembly takes the amount modulo the element's bits: a shift by all bits would change nothing.
    const half = how.left ? undefined : wholeVector(name, bits, c.readVector(R_N), amount.shrU(1))
    const result = wholeVector(name, bits, half ?? c.readVector(R_N), how.left ? amount : amount.sub(amount.shrU(1)))
    writeFirst(c, shape, result)
    return
  }
  const saturation = new Saturation(c)
  const amount = c.let(c.small.toI64U())
  const [n, d] = [c.readVector(R_N), c.readVector(R_D)]
  const compute = (i: number): I64 => {
    const value = c.let(element(n, i, bits, how.fromSigned))
    const before = (): I64 => element(d, i, bits, false)
    const moved = c.let(shiftedElement(c, value, amount, bits, how, saturation))
    if (how.inserts) {
      const ones = c.let(extendedFrom(I64.of(-1), bits, false))
      const inside = how.left ? ones.shl(amount) : shiftedRight(c, ones, amount, plainShift(bits))
      return moved.or(before().and(inside.xor(-1)))
    }
    return how.adds ? before().add(moved) : moved
  }
  writeEach(c, shape, compute, how.saturates ? saturation : undefined)
}

const plainShift = (bits: number): Shift => ({ bits, signed: false, rounds: false, saturation: undefined })

function shiftedElement(
  c: ArmContext,
  value: I64,
  amount: I64,
  bits: number,
  how: ByImmediate,
  saturation: Saturation,
): I64 {
  const { fromSigned: signed, rounds } = how
  const options = { bits, signed, rounds, saturation: how.saturates ? saturation : undefined }
  if (!how.left) return shiftedRight(c, value, amount, options)
  if (how.fromSigned === how.toSigned) return shiftedLeft(c, value, amount, options)
  // SQSHLU: negative elements become zero, and the other elements are shifted as unsigned.
  const positive = saturation.replaceIf(value.ltS(0), I64.of(0), value)
  return shiftedLeft(c, positive, amount, { ...options, signed: false })
}

function emitChange(c: ArmContext, form: ArmForm, how: ByImmediate): void {
  const amount = c.let(c.small.toI64U())
  const n = c.readVector(R_N)
  if (how.change === 'long') {
    const shape = shapeOf(form, 'd')
    const first = isUpper(form) ? shape.count : 0
    writeEach(c, shape, (i) => element(n, first + i, shape.bits / 2, how.fromSigned).shl(amount))
    return
  }
  const saturation = new Saturation(c)
  const { bits } = shapeOf(form, 'n')
  const options = { bits, signed: how.fromSigned, rounds: how.rounds, saturation: undefined }
  const compute = (i: number): I64 => {
    const moved = c.let(shiftedRight(c, c.let(element(n, i, bits, how.fromSigned)), amount, options))
    return how.saturates ? narrowedTo(moved, bits / 2, how.fromSigned, how.toSigned, saturation) : moved
  }
  writeNarrow(c, form, compute, how.saturates ? saturation : undefined)
}

/** The family's semantics of a row. */
export function vectorImmediates(row: Row): Semantics | undefined {
  if (row.operation === 'immediate') return constant
  if (row.operation !== 'vector' && row.operation !== 'scalar') return undefined
  if (!/<#(?:\d+-)?i>$/.test(row.operands)) return undefined
  return byImmediate(row.name) === undefined ? undefined : shift
}
