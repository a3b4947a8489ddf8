import { add, CLASS_FINITE, SLOT_R } from '@retrap/soft-float'
import { I32, I64 } from '@retrap/wasm-emitter'
import type { V128 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import { ARITHMETIC, isInvalidProduct, unpackBoth } from '../float/arithmetic.ts'
import { elementFunction } from '../float/element.ts'
import type { FloatElement, FloatOperation } from '../float/element.ts'
import type { Elements } from '../float/host.ts'
import { eachOf } from '../float/vector.ts'
import { element } from '../vector/lanes.ts'

/**
 * Steps of Newton's method, whose product is rounded before it is subtracted: 2 − a · b, or (3 − a · b) / 2.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "FPRecipStep" and "FPRSqrtStep".
 */

const step = (isRoot: boolean): FloatOperation => ({
  operands: 2,
  emit(e, a, b) {
    const { f } = e
    unpackBoth(e, a, b)
    const product = f.local('i64')
    // Zero times infinity counts as zero.
    f.set(product, I64.of(0))
    const isInvalid = f.let(isInvalidProduct(e))
    e.end()
    f.if(isInvalid.eqz(), () => {
      const multiply = elementFunction(e.library, 'MUL', e.bits, ARITHMETIC['MUL']!)
      f.set(product, f.call(multiply, e.state, a, b))
    })
    return differenceFrom(e, isRoot, product.get)
  },
})

function differenceFrom(e: FloatElement, isRoot: boolean, product: I64): I64 {
  const { f } = e
  const fractionTop = I64.of(1).shl({ 16: 9, 32: 22, 64: 51 }[e.bits])
  unpackBoth(e, isRoot ? e.power(1).or(fractionTop) : e.power(1), product)
  e.call(add(e.library), I32.of(1))
  if (isRoot) {
    const r = e.slot(SLOT_R)
    f.if(r.class.eq(CLASS_FINITE), () => {
      r.exponent = r.exponent.sub(1)
    })
  }
  return e.finish()
}

/** VRECPS, and VRSQRTS. */
export function stepVector(c: ArmContext, elements: Elements, isRoot: boolean): void {
  const { bits } = elements
  const callee = elementFunction(c.library, isRoot ? 'VRSQRTS' : 'VRECPS', bits, step(isRoot))
  const [n, m] = [c.readVector(R_N), c.readVector(R_M)]
  const at = (vector: V128, i: number): I64 => element(vector, i, bits, false)
  c.writeVector(
    R_D,
    eachOf(c, elements, (i) => c.f.call(callee, c.state, at(n, i), at(m, i))),
  )
}
