import { I64, select } from '@retrap/wasm-emitter'
import type { FloatModule, SharedFunction } from './float-module.ts'

/** Multiplication and division of 64 bits whose product or dividend has 128. */

/** High 64 bits of an unsigned 64 × 64 product, by 32-bit digits. */
export function multiplyHigh(c: Pick<FloatModule, 'shared'>): SharedFunction<'i64'> {
  return c.shared('multiplyHigh', ['i64', 'i64'], 'i64', (f) => {
    const a = f.param(0, 'i64').get
    const b = f.param(1, 'i64').get
    const mask = 0xffff_ffffn
    const [a0, a1, b0, b1] = [f.let(a.and(mask)), f.let(a.shrU(32)), f.let(b.and(mask)), f.let(b.shrU(32))]
    const low = f.let(a0.mul(b0).shrU(32))
    const middle = f.let(a1.mul(b0).add(low))
    const cross = f.let(a0.mul(b1).add(middle.and(mask)))
    f.return(a1.mul(b1).add(middle.shrU(32)).add(cross.shrU(32)))
  })
}

/**
 * (high, low, divisor) → quotient, remainder in c.floatScratch: 128 by 64 bits, unsigned. The caller has made sure that
 * high < divisor, so that the quotient fits. Long division in digits of 32 bits (Knuth, TAOCP vol. 2, 4.3.1, algorithm D).
 */
export function divideWide(c: FloatModule): SharedFunction<'i64'> {
  return c.shared('divideWide', ['i32', 'i64', 'i64', 'i64'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    const highIn = f.param(1, 'i64').get
    const lowIn = f.param(2, 'i64').get
    const divisorIn = f.param(3, 'i64').get
    f.if(highIn.eqz(), () => {
      f.store('i64.store', state, lowIn.remU(divisorIn), c.floatScratch)
      f.return(lowIn.divU(divisorIn))
    })
    const mask = 0xffff_ffffn
    // Normalise: the divisor's top bit set.
    const shift = f.let(divisorIn.clz())
    const divisor = f.let(divisorIn.shl(shift))
    const [d1, d0] = [f.let(divisor.shrU(32)), f.let(divisor.and(mask))]
    const spill = select(shift.eqz(), I64.of(0), lowIn.shrU(I64.of(64).sub(shift)))
    const high = f.let(highIn.shl(shift).or(spill))
    const low = f.let(lowIn.shl(shift))
    /** One quotient digit of `rest : digit` by the divisor; leaves the new rest in the local. */
    const digit = (rest: I64, next: I64): { q: I64; rest: I64 } => {
      const q = f.local('i64')
      const r = f.local('i64')
      f.set(q, rest.divU(d1))
      f.set(r, rest.sub(q.get.mul(d1)))
      // The estimate is at most two too large.
      f.block((done) => {
        f.loop((again) => {
          f.brIf(r.get.gtU(mask), done)
          const tooLarge = q.get.gtU(mask).or(q.get.mul(d0).gtU(r.get.shl(32).or(next)))
          f.brIf(tooLarge.eqz(), done)
          f.set(q, q.get.sub(1))
          f.set(r, r.get.add(d1))
          f.br(again)
        })
      })
      return { q: q.get, rest: f.let(rest.shl(32).add(next).sub(q.get.mul(divisor))) }
    }
    const first = digit(high, f.let(low.shrU(32)))
    const second = digit(first.rest, f.let(low.and(mask)))
    f.store('i64.store', state, second.rest.shrU(shift), c.floatScratch)
    f.return(first.q.shl(32).or(second.q.and(mask)))
  })
}
