import { I64, select } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { limitOf, limits, type Saturation } from './lanes.ts'

/** Shifts of elements: left and right, rounded and saturated. */

/** The number of bits that an element is shifted by, and the direction. */
export interface Shift {
  readonly bits: number
  readonly signed: boolean
  readonly rounds: boolean
  /** Saturation of results that do not fit. */
  readonly saturation: Saturation | undefined
}

/** An element shifted left, by 0 to 127. */
export function shiftedLeft(c: ArmContext, value: I64, amount: I64, shift: Shift): I64 {
  const { bits, signed, saturation } = shift
  if (saturation === undefined) return select(amount.gtU(63), I64.of(0), value.shl(amount))
  if (bits < 64) {
    // An element that is moved by all its bits still fits in 64, and is too large unless it is zero.
    const most = I64.of(bits)
    const moved = c.let(value.shl(select(amount.gtU(most), most, amount)))
    if (signed) return saturation.clamp(moved, bits, true)
    const [, greatest] = limits(bits, false)
    return saturation.replaceIf(moved.gtU(greatest), I64.of(greatest), moved)
  }
  const moved = c.let(value.shl(amount))
  const back = signed ? moved.shrS(amount) : moved.shrU(amount)
  const lost = select(amount.gtU(63), value.ne(0), back.ne(value))
  return saturation.replaceIf(lost, signed ? limitOf(value) : I64.of(-1), moved)
}

/** An element shifted right, by 1 to 128. */
export function shiftedRight(c: ArmContext, value: I64, amount: I64, { signed, rounds }: Shift): I64 {
  const by = (count: I64): I64 => {
    const isAll = c.let(count.gtU(63))
    return signed ? value.shrS(select(isAll, I64.of(63), count)) : select(isAll, I64.of(0), value.shrU(count))
  }
  const moved = by(amount)
  return rounds ? moved.add(by(amount.sub(1)).and(1)) : moved
}

interface ByRegister {
  readonly signed: boolean
  readonly saturates: boolean
  readonly apply: (
    operands: { readonly a: I64; readonly b: I64; readonly bits: number; readonly saturation: Saturation },
    c: ArmContext,
  ) => I64
}

/** SSHL and similar: shifts by the signed number in the second operand's low byte, to the left if positive. */
export function shiftByRegister(name: string): ByRegister | undefined {
  const [, sign, saturates, rounds] = /^([SU])(Q?)(R?)SHL$/.exec(name) ?? []
  if (sign === undefined) return undefined
  return {
    signed: sign === 'S',
    saturates: saturates === 'Q',
    apply({ a, b, bits, saturation }, c) {
      const { f } = c
      const amount = c.let(b.extend8S())
      const shift: Shift = {
        bits,
        signed: sign === 'S',
        rounds: rounds === 'R',
        saturation: saturates === 'Q' ? saturation : undefined,
      }
      const result = f.local('i64')
      f.if(
        amount.ltS(0),
        () => f.set(result, shiftedRight(c, a, c.let(I64.of(0).sub(amount)), shift)),
        () => f.set(result, shiftedLeft(c, a, amount, shift)),
      )
      return result.get
    },
  }
}
