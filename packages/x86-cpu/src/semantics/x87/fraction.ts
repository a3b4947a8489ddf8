import { I64, select, type FunctionBuilder, type I32, type Local } from '@retrap/wasm-emitter'
import { S_SCRATCH } from '../../state/state-layout.ts'
import type { Context } from '../context.ts'
import { divideWide, multiplyHigh, type SharedFunction } from '@retrap/soft-float'

/**
 * Fractions of 128 bits, for functions that are computed as series: 0 ≤ value < 1, the binary point before bit 127. Errors
 * of a few units in bit 0 do not matter where 64 bits are wanted.
 */
export interface Fraction {
  readonly high: I64
  readonly low: I64
}

/** Low half of the last 128-bit result. */
const F_LOW: number = S_SCRATCH + 8

/** A fraction that is known: from an integer number of units of 2^-128. */
export function fractionOf(units: bigint): Fraction {
  return { high: I64.of(units >> 64n), low: I64.of(units & 0xffff_ffff_ffff_ffffn) }
}

/** numerator / denominator in units of 2^-128, to nearest. */
export function ratio(numerator: bigint, denominator: bigint): bigint {
  return ((numerator << 129n) / denominator + 1n) >> 1n
}

/** 1/3, 1/5, … in units of 2^-128. */
export function oddReciprocals(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => ratio(1n, BigInt(2 * i + 3)))
}

/** ln 2 in units of 2^-128: 2 · artanh(1/3). */
export function naturalLogOfTwo(): bigint {
  const scale = 1n << 160n
  let sum = 0n
  let power = scale / 3n
  for (let k = 1n; power > 0n; k += 2n) {
    sum += power / k
    power /= 9n
  }
  return (2n * sum) >> 32n
}

/**
 * arctan(n / d) in units of 2^-128, n ≤ d. Euler's series, whose terms shrink by more than a half each.
 */
export function arctangentOf(n: bigint, d: bigint): bigint {
  const scale = 1n << 160n
  const sum2 = n * n + d * d
  let term = (scale * n * d) / sum2
  let sum = 0n
  for (let k = 1n; term > 0n; k++) {
    sum += term
    term = (term * 2n * k * n * n) / ((2n * k + 1n) * sum2)
  }
  return sum >> 32n
}

/** A fraction in two locals of a function. */
export class FractionLocal {
  readonly #f: FunctionBuilder
  readonly high: Local<'i64'>
  readonly low: Local<'i64'>

  constructor(f: FunctionBuilder) {
    this.#f = f
    this.high = f.local('i64')
    this.low = f.local('i64')
  }

  get value(): Fraction {
    return { high: this.high.get, low: this.low.get }
  }

  set(value: Fraction): void {
    this.#f.set(this.high, value.high)
    this.#f.set(this.low, value.low)
  }
}

/** Operations on fractions inside one function of the module. */
export class Fixed {
  readonly #c: Context
  readonly #f: FunctionBuilder
  readonly #state: I32

  constructor(c: Context, f: FunctionBuilder, state: I32) {
    this.#c = c
    this.#f = f
    this.#state = state
  }

  let(value: Fraction): Fraction {
    return { high: this.#f.let(value.high), low: this.#f.let(value.low) }
  }

  #result(high: I64): Fraction {
    return { high, low: this.#f.load('i64.load', this.#state, F_LOW) }
  }

  multiply(a: Fraction, b: Fraction): Fraction {
    return this.#result(this.#f.call(multiplyFractions(this.#c), this.#state, a.high, a.low, b.high, b.low))
  }

  /** a / b, with a < b and the top bit of b set. */
  divide(a: Fraction, b: Fraction): Fraction {
    return this.#result(this.#f.call(divideFractions(this.#c), this.#state, a.high, a.low, b.high, b.low))
  }

  add(a: Fraction, b: Fraction): Fraction {
    const low = this.#f.let(a.low.add(b.low))
    return { low, high: this.#f.let(a.high.add(b.high).add(low.ltU(b.low).toI64U())) }
  }

  subtract(a: Fraction, b: Fraction): Fraction {
    const high = this.#f.let(a.high.sub(b.high).sub(a.low.ltU(b.low).toI64U()))
    return { high, low: this.#f.let(a.low.sub(b.low)) }
  }

  /** 1 − a; for a = 0 the largest fraction. */
  complement(a: Fraction): Fraction {
    const zero = this.#f.let(a.high.or(a.low).eqz().toI64U())
    const low = this.#f.let(I64.of(0).sub(a.low).sub(zero))
    return { low, high: this.#f.let(I64.of(0).sub(a.high).sub(a.low.ne(0).toI64U()).sub(zero)) }
  }

  /** Shifted right by 0 or more; what is lost is lost. */
  shiftRight(a: Fraction, count: I32): Fraction {
    const f = this.#f
    const n = f.let(count.toI64U())
    const wide = f.let(count.geU(64))
    const gone = f.let(count.geU(128))
    const spill = select(n.and(63).eqz(), I64.of(0), a.high.shl(I64.of(64).sub(n)))
    const low = select(gone, I64.of(0), select(wide, a.high.shrU(n), a.low.shrU(n).or(spill)))
    return { low: f.let(low), high: f.let(select(wide, I64.of(0), a.high.shrU(n))) }
  }

  /** Shifted left so that the top bit is set; a is not zero. */
  normalise(a: Fraction): { readonly fraction: Fraction; readonly shift: I32 } {
    const f = this.#f
    const short = f.let(a.high.eqz())
    const high = f.let(select(short, a.low, a.high))
    const low = f.let(select(short, I64.of(0), a.low))
    const zeros = f.let(high.clz())
    const spill = select(zeros.eqz(), I64.of(0), low.shrU(I64.of(64).sub(zeros)))
    const fraction = { high: f.let(high.shl(zeros).or(spill)), low: f.let(low.shl(zeros)) }
    return { fraction, shift: f.let(zeros.toI32().add(short.shl(6))) }
  }

  choose(condition: I32, a: Fraction, b: Fraction): Fraction {
    const test = this.#f.let(condition)
    return { high: this.#f.let(select(test, a.high, b.high)), low: this.#f.let(select(test, a.low, b.low)) }
  }

  /**
   * c0 ∓ x (c1 ∓ x (c2 ∓ …)): coefficients in units of 2^-128, each less than 1.
   *
   * @param alternating - terms are subtracted and added in turn, else all added
   */
  polynomial(x: Fraction, coefficients: readonly bigint[], alternating: boolean): Fraction {
    let sum = fractionOf(coefficients.at(-1) ?? 0n)
    for (const coefficient of coefficients.slice(0, -1).toReversed()) {
      const product = this.multiply(sum, x)
      const constant = fractionOf(coefficient)
      sum = alternating ? this.subtract(constant, product) : this.add(constant, product)
    }
    return sum
  }
}

/** (state, a, b) → upper half of a · b; lower half in F_LOW. */
function multiplyFractions(c: Context): SharedFunction<'i64'> {
  return c.shared('fixed.multiply', ['i32', 'i64', 'i64', 'i64', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const [ah, al, bh, bl] = [
      f.param(1, 'i64').get,
      f.param(2, 'i64').get,
      f.param(3, 'i64').get,
      f.param(4, 'i64').get,
    ]
    const high = multiplyHigh(c)
    const top = f.call(high, ah, bh)
    const cross = f.call(high, ah, bl)
    const other = f.call(high, al, bh)
    const first = f.let(ah.mul(bh).add(cross))
    const low = f.let(first.add(other))
    f.store('i64.store', state, low, F_LOW)
    f.return(top.add(first.ltU(cross).toI64U()).add(low.ltU(other).toI64U()))
  })
}

/** (state, a, b) → upper half of a / b; lower half in F_LOW. Long division, a digit being 64 bits. */
function divideFractions(c: Context): SharedFunction<'i64'> {
  return c.shared('fixed.divide', ['i32', 'i64', 'i64', 'i64', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const [bh, bl] = [f.param(3, 'i64').get, f.param(4, 'i64').get]
    const restHigh = f.param(1, 'i64')
    const restLow = f.param(2, 'i64')
    const digit = (): I64 => {
      const q = f.local('i64')
      f.if(
        restHigh.get.geU(bh),
        () => f.set(q, I64.of(-1n)),
        () => f.set(q, f.call(divideWide(c), state, restHigh.get, restLow.get, bh)),
      )
      // rest · 2^64 − q · b, in three words; the estimate is at most two too large.
      const p0 = f.let(q.get.mul(bl))
      const carry = f.call(multiplyHigh(c), q.get, bl)
      const p1 = f.let(q.get.mul(bh).add(carry))
      const p2 = f.let(f.call(multiplyHigh(c), q.get, bh).add(p1.ltU(carry).toI64U()))
      const [r0, r1, r2] = [f.local('i64'), f.local('i64'), f.local('i64')]
      f.set(r0, I64.of(0).sub(p0))
      const borrow0 = f.let(p0.ne(0).toI64U())
      const middle = f.let(restLow.get.sub(p1))
      f.set(r1, middle.sub(borrow0))
      const borrow1 = f.let(restLow.get.ltU(p1).or(middle.ltU(borrow0)).toI64U())
      f.set(r2, restHigh.get.sub(p2).sub(borrow1))
      f.block((done) => {
        f.loop((again) => {
          f.brIf(r2.get.geS(0), done)
          f.set(q, q.get.sub(1))
          f.set(r0, r0.get.add(bl))
          const carried = f.let(r0.get.ltU(bl).toI64U())
          const sum = f.let(r1.get.add(bh))
          f.set(r1, sum.add(carried))
          f.set(r2, r2.get.add(sum.ltU(bh).or(r1.get.ltU(carried)).toI64U()))
          f.br(again)
        })
      })
      f.set(restHigh, r1.get)
      f.set(restLow, r0.get)
      return q.get
    }
    const first = digit()
    const second = digit()
    f.store('i64.store', state, second, F_LOW)
    f.return(first)
  })
}
