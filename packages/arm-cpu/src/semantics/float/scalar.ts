import { floatTest, hostMultiplyAdd32, hostMultiplyAdd64, ofBits, ordinaryBits } from '@retrap/soft-float'
import { extractLane, I32, I64, replaceLane } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../../context.ts'
import { fieldOf, valueOf } from '../../form.ts'
import type { ArmForm } from '../../form.ts'
import { flagsOfBits } from '../../flags.ts'
import { R_A, R_D, R_M, R_N } from '../../record.ts'
import type { Semantics } from '../../semantics.ts'
import { zeros } from '../vector/lanes.ts'
import { ARITHMETIC } from './arithmetic.ts'
import { elementFunction } from './element.ts'
import type { FloatOperation, Precision } from './element.ts'
import { ESTIMATES } from './estimates.ts'
import { HOST, hostScalar, isSettled, keepsDenormals } from './host.ts'

/** Scalar arithmetic and comparison. */

/** Bits of a number by field `y`. */
const PRECISIONS: readonly Precision[] = [32, 64, 16, 16]
const LETTERS: Readonly<Record<string, Precision>> = { H: 16, S: 32, D: 64 }

/** The precision of a form: by field `y`, or by the letter of a register. */
export const precisionOf = (form: ArmForm, letter = 'd'): Precision =>
  form.row.fields.has('y')
    ? PRECISIONS[valueOf(form, 'y')]!
    : LETTERS[new RegExp(`<([HSD])${letter}>`).exec(form.row.operands)![1]!]!

/** The operation of a mnemonic without its `F`. */
export const operationOf = (name: string): FloatOperation | undefined => ARITHMETIC[name] ?? ESTIMATES[name]

/** A scalar as its encoding. */
export const readScalar = (c: ArmContext, field: number, bits: Precision): I64 =>
  c.readElement(field, I32.of(0), (bits / 8) as 2 | 4 | 8)

/** Writes an encoding, of which the low bits count, and clears what is above it. */
export function writeScalar(c: ArmContext, bits: Precision, value: I64): void {
  if (bits === 64) c.writeVector(R_D, c.zeroExtended(value))
  else if (bits === 32) c.writeVector(R_D, replaceLane('i32x4.replace_lane', zeros(), 0, value.toI32()))
  else c.writeVector(R_D, replaceLane('i16x8.replace_lane', zeros(), 0, value.toI32()))
}

/** An operation on encodings: in the host's floating point where that is right. */
export function scalarResult(c: ArmContext, bits: Precision, name: string, operands: readonly I64[]): I64 {
  const operation = operationOf(name)!
  const slow = (): I64 => c.f.call(elementFunction(c.library, name, bits, operation), c.state, ...operands)
  if (bits === 16 || HOST[name] === undefined) return slow()
  const numbers = operands.map((each) => ofBits(bits, each))
  return hostScalar(c, bits, name, numbers, slow)
}

/** Sign bit of an encoding. */
export const signOf = (bits: Precision): bigint => BigInt.asIntN(64, 1n << BigInt(bits - 1))

const arithmetic: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const name = form.row.mnemonic.slice(1)
    const bits = precisionOf(form)
    const operands = [R_N, ...(form.row.fields.has('m') ? [R_M] : [])].map((field) => c.let(readScalar(c, field, bits)))
    if (form.row.operands.includes('#0.0')) operands.push(I64.of(0))
    if (name === 'NMUL') writeScalar(c, bits, scalarResult(c, bits, 'MUL', operands).xor(signOf(bits)))
    else if (name === 'ABD') writeScalar(c, bits, scalarResult(c, bits, 'SUB', operands).and(~signOf(bits)))
    else writeScalar(c, bits, scalarResult(c, bits, name, operands))
  },
}

/** a · b + addend, of encodings. */
export function scalarMultiplyAdd(c: ArmContext, bits: Precision, a: I64, b: I64, addend: I64): I64 {
  const { f, library, state } = c
  const slow = (): I64 => f.call(elementFunction(library, 'MLA', bits, ARITHMETIC['MLA']!), state, a, b, addend)
  if (bits === 16) return slow()
  const fused = bits === 64 ? hostMultiplyAdd64(library) : hostMultiplyAdd32(library)
  const [x, y, z] = [a, b, addend].map((each) => c.zeroExtended(each))
  const result = f.local('i64')
  f.set(result, extractLane('i64x2.extract_lane', f.call(fused, x!, y!, z!), 0))
  const isRight = ordinaryBits(bits, ofBits(bits, result.get)).ne(0).and(isSettled(c))
  f.if(isRight.eqz(), () => f.set(result, slow()))
  return result.get
}

const multiplyAdd: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const { mnemonic } = form.row
    const bits = precisionOf(form)
    const sign = signOf(bits)
    const [n, m, a] = [R_N, R_M, R_A].map((field) => c.let(readScalar(c, field, bits)))
    const product = mnemonic === 'FMSUB' || mnemonic === 'FNMADD' ? c.let(n!.xor(sign)) : n!
    const addend = mnemonic.startsWith('FNM') ? c.let(a!.xor(sign)) : a!
    writeScalar(c, bits, scalarMultiplyAdd(c, bits, product, m!, addend))
  },
}

/** N, Z, C and V of a comparison, in bits 3 to 0. */
function compare(c: ArmContext, form: ArmForm): I32 {
  const { f } = c
  const { mnemonic, fields } = form.row
  const bits = precisionOf(form, 'n')
  const name = mnemonic.endsWith('E') ? 'CMPE' : 'CMP'
  const n = c.let(readScalar(c, R_N, bits))
  const m = fields.has('m') ? c.let(readScalar(c, R_M, bits)) : I64.of(0)
  const slow = (): I32 => f.call(elementFunction(c.library, name, bits, ARITHMETIC[name]!), c.state, n, m).toI32()
  if (bits === 16) return slow()
  const [x, y] = [ofBits(bits, n), ofBits(bits, m)]
  const less = f.let(floatTest(bits, 'lt', x, y))
  const equal = f.let(floatTest(bits, 'eq', x, y))
  const isRight = less
    .or(equal)
    .or(floatTest(bits, 'gt', x, y))
    .and(keepsDenormals(c))
  return f.ifElse('i32', isRight, () => less.shl(3).or(equal.shl(2)).or(less.xor(1).shl(1)), slow)
}

const comparison: Semantics = {
  selectors: 'y',
  emit: (c, form) => c.setFlags(flagsOfBits(c.let(compare(c, form)))),
}

const conditionalComparison: Semantics = {
  selectors: 'yc',
  small: (row, word) => fieldOf(row, 'v', word),
  emit(c, form) {
    const holds = c.let(c.holds(valueOf(form, 'c')))
    const bits = c.f.ifElse(
      'i32',
      holds,
      () => compare(c, form),
      () => c.small,
    )
    c.setFlags(flagsOfBits(bits))
  },
}

/** The family's semantics of a row. */
export function scalarFloat(row: Row): Semantics | undefined {
  const { mnemonic, operation, fields } = row
  if (operation === 'float-compare') return fields.has('c') ? conditionalComparison : comparison
  if (operation !== 'float') return undefined
  if (/^FN?M(?:ADD|SUB)$/.test(mnemonic)) return multiplyAdd
  const name = mnemonic.slice(1)
  return operationOf(name) !== undefined || name === 'NMUL' ? arithmetic : undefined
}
