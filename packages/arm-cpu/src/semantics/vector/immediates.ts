import { I64, numeric } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf, type ArmForm } from '../../state/form.ts'
import { R_D, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { element, extendedFrom, lowHalf, repeated, Saturation, vectorOf, wholeVector, writeElements } from './lanes.ts'
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
    const { bits, count } = shapeOf(form, 'd')
    c.writeVector(R_D, bits * count === 128 ? result : lowHalf(result))
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

function byImmediate(name: string): ByImmediate | undefined {
  const kept = { left: false, rounds: false, saturates: false, adds: false, inserts: false, change: undefined }
  if (name === 'SHL') return { ...kept, left: true, fromSigned: false, toSigned: false }
  if (name === 'SLI' || name === 'SRI')
    return { ...kept, left: name === 'SLI', inserts: true, fromSigned: false, toSigned: false }
  const right = /^([SU])(R?)SH(R|RA)$/.exec(name) ?? /^([SU])(R?)S(RA)$/.exec(name)
  if (right !== null) {
    const isSigned = right[1] === 'S'
    return { ...kept, rounds: right[2] === 'R', adds: right[3] === 'RA', fromSigned: isSigned, toSigned: isSigned }
  }
  const left = /^([SU])QSHL(U?)$/.exec(name)
  if (left !== null) {
    const isSigned = left[1] === 'S'
    return { ...kept, left: true, saturates: true, fromSigned: isSigned, toSigned: isSigned && left[2] === '' }
  }
  const long = /^([SU])SHLL$/.exec(name)
  if (long !== null) {
    const isSigned = long[1] === 'S'
    return { ...kept, left: true, fromSigned: isSigned, toSigned: isSigned, change: 'long' }
  }
  const narrow = /^(S?U?Q?)(R?)SHR(U?)N$/.exec(name)
  if (narrow !== null) {
    const isSigned = narrow[1]!.startsWith('S')
    return {
      ...kept,
      rounds: narrow[2] === 'R',
      saturates: narrow[1] !== '',
      fromSigned: isSigned,
      toSigned: isSigned && narrow[3] === '',
      change: 'narrow',
    }
  }
  return undefined
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
  const { bits, count, scalar } = shapeOf(form, 'd')
  if (!how.saturates && !how.rounds && !how.adds && !how.inserts && !scalar) {
    const name = how.left ? 'shl' : how.fromSigned ? 'shr_s' : 'shr_u'
    const amount = c.small
    // WebAssembly takes the amount modulo the element's bits: a shift by all bits would change nothing.
    const half = how.left ? undefined : wholeVector(name, bits, c.readVector(R_N), amount.shrU(1))
    const result = wholeVector(name, bits, half ?? c.readVector(R_N), how.left ? amount : amount.sub(amount.shrU(1)))
    c.writeVector(R_D, bits * count === 64 ? lowHalf(result) : result)
    return
  }
  const saturation = new Saturation(c)
  const amount = c.let(c.small.toI64U())
  const [n, d] = [c.readVector(R_N), c.readVector(R_D)]
  const results = Array.from({ length: count }, (_, i) => {
    const value = c.let(element(n, i, bits, how.fromSigned))
    const before = (): I64 => element(d, i, bits, false)
    const moved = c.let(shiftedElement(c, value, amount, bits, how, saturation))
    if (how.inserts) {
      const ones = c.let(extendedFrom(I64.of(-1), bits, false))
      const inside = how.left ? ones.shl(amount) : shiftedRight(c, ones, amount, plainShift(bits))
      return c.let(moved.or(before().and(inside.xor(-1))))
    }
    return c.let(how.adds ? before().add(moved) : moved)
  })
  if (how.saturates) saturation.end()
  c.writeVector(R_D, vectorOf(c, bits, results))
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
  const options = {
    bits,
    signed: how.fromSigned,
    rounds: how.rounds,
    saturation: how.saturates ? saturation : undefined,
  }
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
    const { bits, count } = shapeOf(form, 'd')
    const first = isUpper(form) ? count : 0
    writeElements(c, bits, count, (i) => element(n, first + i, bits / 2, how.fromSigned).shl(amount))
    return
  }
  const saturation = new Saturation(c)
  const { bits, count } = shapeOf(form, 'n')
  const options = { bits, signed: how.fromSigned, rounds: how.rounds, saturation: undefined }
  const results = Array.from({ length: count }, (_, i) => {
    const moved = c.let(shiftedRight(c, c.let(element(n, i, bits, how.fromSigned)), amount, options))
    return how.saturates ? c.let(narrowedTo(moved, bits / 2, how.fromSigned, how.toSigned, saturation)) : moved
  })
  if (how.saturates) saturation.end()
  writeNarrow(c, form, bits / 2, results)
}

/** The family's semantics of a row. */
export function vectorImmediates(row: Row): Semantics | undefined {
  if (row.operation === 'immediate') return constant
  if (row.operation !== 'vector' && row.operation !== 'scalar') return undefined
  if (!/<#(?:\d+-)?i>$/.test(row.operands)) return undefined
  return byImmediate(row.name) === undefined ? undefined : shift
}
