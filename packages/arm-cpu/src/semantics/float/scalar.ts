import { bitsOf, float, floatTest, ofBits, type Float } from '@retrap/soft-float'
import { extractLane, I32, I64, numeric, replaceLane, type F32, type F64, type V128 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import { fieldOf, valueOf, type ArmForm } from '../../state/form.ts'
import { flagsOfBits } from '../flags.ts'
import { R_A, R_D, R_M, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { zeros } from '../vector/lanes.ts'
import { ARITHMETIC } from './arithmetic.ts'
import { elementFunction, type FloatOperation, type Precision } from './element.ts'
import { ESTIMATES } from './estimates.ts'
import { floatLocal, HOST, hostMultiplyAdd, hostScalar, isFusedRight, keepsDenormals } from './host.ts'

/** Scalar arithmetic and comparison. */

/** Bits of a number by field `y`. */
const PRECISIONS: readonly Precision[] = [32, 64, 16, 16]
const LETTERS: Readonly<Record<string, Precision>> = { H: 16, S: 32, D: 64 }

/** The precision of a form: by field `y`, or by the letter of a register. */
export const precisionOf = (form: ArmForm, letter = 'd'): Precision =>
  form.row.fields.has('y')
    ? PRECISIONS[valueOf(form, 'y')]!
    : LETTERS[new RegExp(`<([HSD])${letter}>`).exec(form.row.operands)![1]!]!

/** Returns the operation of a mnemonic without `F`. */
export const operationOf = (name: string): FloatOperation | undefined => ARITHMETIC[name] ?? ESTIMATES[name]

/** Returns a scalar's encoding. */
export const readScalar = (c: ArmContext, field: number, bits: Precision): I64 =>
  c.readElement(field, I32.of(0), (bits / 8) as 2 | 4 | 8)

/** Writes an encoding's low bits, and clears the bits above. */
export function writeScalar(c: ArmContext, bits: Precision, value: I64): void {
  if (bits === 64) c.writeVector(R_D, c.zeroExtended(value))
  else if (bits === 32) c.writeVector(R_D, replaceLane('i32x4.replace_lane', zeros(), 0, value.toI32()))
  else c.writeVector(R_D, replaceLane('i16x8.replace_lane', zeros(), 0, value.toI32()))
}

/** Sign bit of an encoding. */
export const signOf = (bits: Precision): bigint => BigInt.asIntN(64, 1n << BigInt(bits - 1))

/** Operations whose result is negated or made positive afterwards, by mnemonic. */
const SIGNED: Readonly<Record<string, readonly [operation: string, change: 'neg' | 'abs']>> = {
  NMUL: ['MUL', 'neg'],
  ABD: ['SUB', 'abs'],
}

const arithmetic: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const own = form.row.name.slice(1)
    const [name, change] = SIGNED[own] ?? [own]
    const bits = precisionOf(form)
    const fields = [R_N, ...(form.row.fields.has('m') ? [R_M] : [])]
    const callee = elementFunction(c.library, name, bits, operationOf(name)!)
    if (bits === 16 || HOST[name] === undefined) {
      const operands = fields.map((field) => c.let(readScalar(c, field, bits)))
      const result = c.f.call(callee, c.state, ...operands)
      const sign = signOf(bits)
      writeScalar(c, bits, change === undefined ? result : change === 'neg' ? result.xor(sign) : result.and(~sign))
      return
    }
    const operands = fields.map((field) => c.readFloat(field, bits))
    const slow = (): I64 => c.f.call(callee, c.state, ...operands.map((each) => bitsOf(bits, each)))
    const result = hostScalar(c, bits, name, operands, slow)
    c.writeFloat(R_D, bits, change === undefined ? result : float(bits, change, result))
  },
}

const multiplyAdd: Semantics = {
  selectors: 'y',
  emit(c, form) {
    const { f, library, state } = c
    const { value: opcode } = form.row
    const bits = precisionOf(form)
    // Bit 21 (o1) is set of FNMADD and FNMSUB, which negate the addend, and bit 15 (o0) of FMSUB and FNMSUB.
    const [o1, o0] = [(opcode >>> 21) & 1, (opcode >>> 15) & 1]
    const negated = [o1 !== o0, false, o1 === 1]
    const fields = [R_N, R_M, R_A]
    const callee = elementFunction(library, 'MLA', bits, ARITHMETIC['MLA']!)
    if (bits === 16) {
      const operands = fields.map((field, i) => {
        const value = readScalar(c, field, bits)
        return c.let(negated[i] === true ? value.xor(signOf(bits)) : value)
      })
      writeScalar(c, bits, f.call(callee, state, ...operands))
      return
    }
    const operands = fields.map((field, i) => {
      const value = c.readFloat(field, bits)
      return negated[i] === true ? f.let(float(bits, 'neg', value)) : value
    })
    const splat = (value: Float): V128 =>
      bits === 64 ? numeric('f64x2.splat', value as F64) : numeric('f32x4.splat', value as F32)
    const [x, y, z] = operands.map(splat) as [V128, V128, V128]
    const fused = f.let(hostMultiplyAdd(c, bits, x, y, z))
    const result = floatLocal(c, bits)
    const lane = bits === 64 ? 'f64x2.extract_lane' : ('f32x4.extract_lane' as 'f64x2.extract_lane')
    f.set(result, extractLane(lane, fused, 0))
    const isRight = isFusedRight(c, { bits, count: 1 }, x, y, z, fused)
    f.if(isRight.eqz(), () => {
      const slow = f.call(callee, state, ...operands.map((each) => bitsOf(bits, each)))
      f.set(result, ofBits(bits, slow) as F64)
    })
    c.writeFloat(R_D, bits, result.get)
  },
}

/** N, Z, C and V of a comparison, in bits 3 to 0. */
function compare(c: ArmContext, form: ArmForm): I32 {
  const { f } = c
  const { value, fields } = form.row
  const bits = precisionOf(form, 'n')
  // Bit 4: quiet NaNs raise Invalid Operation, too.
  const name = (value & 16) !== 0 ? 'CMPE' : 'CMP'
  const callee = elementFunction(c.library, name, bits, ARITHMETIC[name]!)
  const slow = (n: I64, m: I64): I32 => f.call(callee, c.state, n, m).toI32()
  if (bits === 16) {
    const n = c.let(readScalar(c, R_N, bits))
    return slow(n, fields.has('m') ? c.let(readScalar(c, R_M, bits)) : I64.of(0))
  }
  const x = c.readFloat(R_N, bits)
  const y = fields.has('m') ? c.readFloat(R_M, bits) : ofBits(bits, I64.of(0))
  const less = f.let(floatTest(bits, 'lt', x, y))
  const equal = f.let(floatTest(bits, 'eq', x, y))
  const isRight = less
    .or(equal)
    .or(floatTest(bits, 'gt', x, y))
    .and(keepsDenormals(c))
  return f.ifElse(
    'i32',
    isRight,
    () => less.shl(3).or(equal.shl(2)).or(less.xor(1).shl(1)),
    () => slow(bitsOf(bits, x), bitsOf(bits, y)),
  )
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
  const { name: whole, operation, fields } = row
  if (operation === 'float-compare') return fields.has('c') ? conditionalComparison : comparison
  if (operation !== 'float') return undefined
  if (fields.has('a')) return multiplyAdd
  const name = whole.slice(1)
  return operationOf(name) !== undefined || name === 'NMUL' ? arithmetic : undefined
}
