import { a32Forms } from '@retrap/arm-decoder'
import { ROUND_ZERO } from '@retrap/soft-float'
import { I32, select, type I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { FPCR_RMODE_SHIFT } from '../../state/float-rules.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import type { FormSource } from '../semantics.ts'
import { fromFixed, ROUND_BY_FPCR, toFixed } from '../float/conversions.ts'
import { numberToFixed } from '../float/convert.ts'
import type { Precision } from '../float/element.ts'
import { readScalar, writeScalar } from '../float/scalar.ts'
import { S_FPCR } from '../../state/state-layout.ts'
import { neonAccesses } from './neon-memory.ts'
import { accumulate, neonForms, type Signs } from './neon-own.ts'
import { vfpAccesses } from './vfp-memory.ts'
import { FIXED_UNSIGNED, FIXED_WIDE, ownKey, type OwnForm } from './vfp-record.ts'
import { TRANSFERS } from './vfp-transfer.ts'

/** VFP that A64 has nothing like. */

/** Multiply-accumulate instructions that round the product before the addition. */
const ACCUMULATIONS: Readonly<Record<string, Signs>> = {
  VMLA: { product: false, addend: false },
  VMLS: { product: true, addend: false },
  VNMLA: { product: true, addend: true },
  VNMLS: { product: false, addend: true },
}

/** The record's fields of a fixed-point number. */
interface Fixed {
  readonly width: I32
  readonly isUnsigned: I32
  readonly fraction: I32
}

function fixedOf(c: ArmContext): Fixed {
  const small = c.let(c.small)
  return {
    width: c.let(small.and(FIXED_WIDE).shrU(2).add(16).and(48)),
    isUnsigned: c.let(small.and(FIXED_UNSIGNED).ne(0)),
    fraction: c.let(small.and(FIXED_WIDE - 1)),
  }
}

/** The low bits of a value, extended to 64. */
function extended(c: ArmContext, value: I64, { width, isUnsigned }: Fixed): I64 {
  const unused = c.let(I32.of(64).sub(width).toI64U())
  const moved = c.let(value.shl(unused))
  return select(isUnsigned, moved.shrU(unused), moved.shrS(unused))
}

/** Towards zero, and extended to the whole register. */
const toFixedPoint =
  (bits: Precision): OwnForm =>
  (c) => {
    const fixed = fixedOf(c)
    const { width, isUnsigned, fraction } = fixed
    const value = readScalar(c, R_N, bits)
    const mode = I32.of(ROUND_ZERO)
    const result = c.f.call(toFixed(c.library, bits), c.state, value, mode, width, isUnsigned, fraction)
    c.writeVector(R_D, c.zeroExtended(extended(c, result, fixed)))
  }

/** Rounds to nearest, regardless of FPSCR. */
const fromFixedPoint =
  (bits: Precision): OwnForm =>
  (c) => {
    const { f, state } = c
    const fixed = fixedOf(c)
    const value = c.let(extended(c, c.readElement(R_N, I32.of(0), 4), fixed))
    const control = f.load('i32.load', state, S_FPCR)
    f.store('i32.store', state, control.and(~(3 << FPCR_RMODE_SHIFT)), S_FPCR)
    const result = c.let(f.call(fromFixed(c.library, bits), state, value, fixed.isUnsigned, fixed.fraction))
    f.store('i32.store', state, control, S_FPCR)
    writeScalar(c, bits, result)
  }

/** As FPSCR says. */
const toInteger =
  (bits: Precision, unsigned: boolean): OwnForm =>
  (c) => {
    const to = { width: 32, unsigned, fraction: I32.of(0) }
    const value = c.let(readScalar(c, R_N, bits))
    c.writeVector(R_D, c.zeroExtended(numberToFixed(c, bits, ROUND_BY_FPCR, to, value)))
  }

function* vfpForms(): Iterable<readonly [key: string, emit: OwnForm]> {
  for (const bits of [16, 32, 64] as const) {
    for (const [name, signs] of Object.entries(ACCUMULATIONS)) {
      yield [`${name}.${bits}`, (c) => accumulate(c, { bits, count: 1 }, signs, c.readVector(R_M))]
    }
    yield [`VCVT.to.${bits}`, toFixedPoint(bits)]
    yield [`VCVT.from.${bits}`, fromFixedPoint(bits)]
    yield [`VCVTR.S32.F${bits}`, toInteger(bits, false)]
    yield [`VCVTR.U32.F${bits}`, toInteger(bits, true)]
  }
}

/** The forms of VFP and Advanced SIMD that A64 has nothing like: frames call them. */
export function ownSources(): FormSource[] {
  const row = a32Forms()[0]!
  return [...neonForms(), ...neonAccesses(), ...vfpForms(), ...vfpAccesses(), ...TRANSFERS].map(
    ([name, emit], index) => ({
      index,
      form: { row, values: new Map<string, number>(), onStack: false, target: undefined, key: ownKey(name) },
      semantics: { selectors: '', interpreted: true, emit },
    }),
  )
}
