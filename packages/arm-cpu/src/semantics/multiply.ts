import { I32, I64, select } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from './context.ts'
import { signedField } from '../state/form.ts'
import { familyOf, type Family, type Semantics } from './semantics.ts'
import { isWide, signed } from './operands.ts'

/** Multiplication, division, the greater and the smaller of two, checksums. */

/** The upper half of a product of 128 bits. */
export function multiplyHigh(c: ArmContext, a: I64, b: I64, isSigned: boolean): I64 {
  const low = (value: I64): I64 => value.and(0xffff_ffffn)
  const high = (value: I64): I64 => (isSigned ? value.shrS(32) : value.shrU(32))
  const [aLow, aHigh, bLow, bHigh] = [c.let(low(a)), c.let(high(a)), c.let(low(b)), c.let(high(b))]
  const middle = c.let(aHigh.mul(bLow).add(aLow.mul(bLow).shrU(32)))
  const other = c.let(aLow.mul(bHigh).add(low(middle)))
  return aHigh.mul(bHigh).add(high(middle)).add(high(other))
}

const multiply: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const { attributes, sign } = form.row
    const wide = isWide(form)
    if (attributes.has('high')) {
      c.setD(multiplyHigh(c, c.n(true), c.m(true), sign === 'S'), true)
      return
    }
    const operand = (value: I64): I64 => (sign === 'S' ? value.extend32S() : value)
    const product = attributes.has('long') ? operand(c.n(false)).mul(operand(c.m(false))) : c.n(wide).mul(c.m(wide))
    c.setD(attributes.has('minus') ? c.a(wide).sub(product) : c.a(wide).add(product), wide)
  },
}

/** Division by zero gives zero, and the smallest number divided by −1 gives itself, without exceptions. */
const divide: Semantics = {
  selectors: 'f',
  emit(c, form) {
    const wide = isWide(form)
    const { f } = c
    const isSigned = form.row.sign === 'S'
    const [a, b] = [c.n(wide), c.m(wide)]
    const divisor = c.let(isSigned ? signed(b, wide) : b)
    const quotient = f.local('i64')
    f.set(quotient, I64.of(0))
    f.if(divisor.ne(0), () => {
      if (!isSigned) f.set(quotient, a.divU(divisor))
      else {
        // Wasm traps where the quotient does not fit.
        f.if(
          divisor.eq(-1),
          () => f.set(quotient, I64.of(0).sub(signed(a, wide))),
          () => f.set(quotient, signed(a, wide).divS(divisor)),
        )
      }
    })
    c.setD(quotient.get, wide)
  },
}

const maximum: Semantics = {
  selectors: 'f',
  immediate: (row, word) => BigInt(row.sign === 'S' ? signedField(row, 'i', word) : signedField(row, 'i', word) & 0xff),
  emit(c, form) {
    const wide = isWide(form)
    const isSigned = form.row.sign === 'S'
    const operand = (value: I64): I64 => (isSigned ? signed(value, wide) : value)
    const a = c.let(operand(c.n(wide)))
    const b = c.let(form.row.fields.has('m') ? operand(c.m(wide)) : c.immediate)
    const less = isSigned ? a.ltS(b) : a.ltU(b)
    c.setD(form.row.attributes.has('greater') ? select(less, b, a) : select(less, a, b), wide)
  },
}

/** The polynomials of CRC32 and CRC32C, their bits reversed. */
const CRC32 = 0xedb8_8320
const CRC32C = 0x82f6_3b78

/** CRC32 and CRC32C. */
export function emitCrc(c: ArmContext, { size: bytes, attributes }: Row): void {
  const { f } = c
  const polynomial = I32.of((attributes.has('castagnoli') ? CRC32C : CRC32) | 0)
  const value = c.m(bytes === 8)
  const sum = f.local('i32')
  const bits = f.local('i32')
  f.set(sum, c.n(false).toI32())
  for (const word of bytes === 8 ? [value.toI32(), value.shrU(32).toI32()] : [value.toI32()]) {
    const width = Math.min(8 * bytes, 32)
    f.set(sum, sum.get.xor(width === 32 ? word : word.and((1 << width) - 1)))
    f.set(bits, I32.of(width))
    f.loop((again) => {
      f.set(sum, sum.get.shrU(1).xor(I32.of(0).sub(sum.get.and(1)).and(polynomial)))
      f.set(bits, bits.get.sub(1))
      f.brIf(bits.get, again)
    })
  }
  c.setD(sum.get.toI64U(), false)
}

const crc: Semantics = { selectors: '', emit: (c, form) => emitCrc(c, form.row) }

/** The family's semantics of a row. */
export const multiplication: Family<Semantics> = familyOf({ multiply, divide, maximum, crc })
