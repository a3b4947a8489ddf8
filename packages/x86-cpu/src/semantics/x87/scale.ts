import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { S_FSW } from '../../state/state-layout.ts'
import type { Context, SemanticsTable } from '../context.ts'
import {
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_ZERO,
  FE_INVALID,
  FE_ROUNDED_UP,
  FE_STACK,
  FE_ZERO_DIVIDE,
  finish80,
  propagateNan,
  propagateNanUnary,
  setNormalised,
  Slot,
  unpackInteger,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_EXTRA, F_WORD, raiseFlags, SLOT_A, SLOT_B, SLOT_R } from '../float-scratch.ts'
import {
  FSW_C0,
  FSW_C1,
  FSW_C2,
  FSW_C3,
  begin,
  commit,
  invalid,
  isEmpty,
  loadStack,
  notePointers,
  push,
  raiseStackUnderflow,
  storeResult,
  storeStack,
} from './stack.ts'

/** x87 exponents and remainders. Source: Intel SDM vol. 2, FSCALE, FXTRACT, FPREM, FPREM1. */

/** (state) → 1 if the result was delivered: ST(0) = an operation on ST(0) and ST(1), which `compute` finds in A and B. */
function onTopTwo(c: Context, name: string, compute: (f: FunctionBuilder, state: I32) => void): SharedFunction<'i32'> {
  return c.shared(`x87.${name}`, ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    f.if(
      isEmpty(f, state, 0).or(isEmpty(f, state, 1)),
      () => {
        raiseStackUnderflow(f, state)
        new Slot(f, state, SLOT_R).setDefaultNan(1)
        f.store('i32.store', state, I32.of(NO_QUOTIENT), F_EXTRA)
      },
      () => {
        f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
        f.call(loadStack(c), state, state.add(SLOT_B), I32.of(1))
        compute(f, state)
      },
    )
    f.return(f.call(storeResult(c), state, I32.of(0), f.call(finish80(c), state, I32.of(64))))
  })
}

interface Slots {
  readonly a: Slot
  readonly b: Slot
  readonly r: Slot
}

function slots(f: FunctionBuilder, state: I32): Slots {
  return { a: new Slot(f, state, SLOT_A), b: new Slot(f, state, SLOT_B), r: new Slot(f, state, SLOT_R) }
}

/** Far beyond what the exponent range can take: larger scale factors make no difference. */
const SCALE_LIMIT = 0x1_0000

function scaleFunction(c: Context): SharedFunction {
  return c.shared('float.scale', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const { a, b, r } = slots(f, state)
    f.if(f.call(propagateNan(c), state), () => f.return())
    const [classA, classB, sign] = [a.class, b.class, a.sign]
    f.if(classB.eq(CLASS_INFINITY), () => {
      f.if(
        b.sign,
        () => {
          f.if(classA.eq(CLASS_INFINITY), () => invalid(f, state, r))
          r.setZero(sign)
        },
        () => {
          f.if(classA.eq(CLASS_ZERO), () => invalid(f, state, r))
          r.setInfinity(sign)
        },
      )
      f.return()
    })
    r.copy(a)
    f.if(classA.ne(CLASS_FINITE).or(classB.ne(CLASS_FINITE)).or(b.exponent.ltS(0)), () => f.return())
    const exponent = b.exponent
    const count = f.let(
      select(
        exponent.gtS(16),
        I32.of(SCALE_LIMIT),
        b.significand.shrU(I64.of(63).sub(exponent.and(63).toI64U())).toI32(),
      ),
    )
    r.exponent = f.let(a.exponent.add(select(b.sign, I32.of(0).sub(count), count)))
  })
}

function scale(c: Context): void {
  notePointers(c)
  c.f.call(
    onTopTwo(c, 'scale', (f, state) => f.call(scaleFunction(c), state)),
    c.state,
  )
}

/** FXTRACT: the exponent replaces ST(0), the significand is pushed. */
function extract(c: Context): void {
  notePointers(c)
  const split = c.shared('x87.extract', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const { a, r } = slots(f, state)
    const exponent = f.local('i64')
    const exponentWord = f.local('i32')
    const pack = (): I64 => f.call(finish80(c), state, I32.of(64))
    const word = (): I32 => f.load('i32.load', state, F_WORD)
    f.call(begin(c), state)
    const underflow = f.let(isEmpty(f, state, 0))
    const overflow = f.let(isEmpty(f, state, 7).eqz())
    f.if(
      underflow.or(overflow),
      () => {
        raiseFlags(
          f,
          state,
          select(underflow, I32.of(FE_INVALID | FE_STACK), I32.of(FE_INVALID | FE_STACK | FE_ROUNDED_UP)),
        )
        r.setDefaultNan(1)
        f.set(exponent, pack())
        f.set(exponentWord, word())
      },
      () => {
        f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
        const nan = propagateNanUnary(c, f, state)
        const kind = a.class
        f.if(nan.eqz(), () => {
          f.if(
            kind.eq(CLASS_FINITE),
            () => f.call(unpackInteger(c), state, state.add(SLOT_R), a.exponent.toI64S()),
            () => {
              r.setInfinity(kind.eq(CLASS_ZERO))
              f.if(kind.eq(CLASS_ZERO), () => raiseFlags(f, state, FE_ZERO_DIVIDE))
            },
          )
        })
        f.set(exponent, pack())
        f.set(exponentWord, word())
        f.if(nan.eqz(), () => {
          r.copy(a)
          r.exponent = I32.of(0)
        })
      },
    )
    const significand = pack()
    const significandWord = word()
    f.if(f.call(commit(c), state), () => {
      f.call(storeStack(c), state, I32.of(0), exponent.get, exponentWord.get)
      f.call(push(c), state, significand, significandWord)
    })
  })
  c.f.call(split, c.state)
}

/** In F_EXTRA: no quotient. */
const NO_QUOTIENT = -1

/** (state, 1 to round the quotient to nearest): R = remainder of A by B; quotient bits, C2 for "not finished", or NO_QUOTIENT in F_EXTRA. */
function remainder(c: Context): SharedFunction {
  return c.shared('float.remainder', ['i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const nearest = f.param(1, 'i32').get
    const { a, b, r } = slots(f, state)
    f.store('i32.store', state, I32.of(NO_QUOTIENT), F_EXTRA)
    const [classA, classB, sign] = [a.class, b.class, a.sign]
    const numbers = classA.ltU(CLASS_QNAN).and(classB.ltU(CLASS_QNAN))
    f.if(numbers.and(classA.eq(CLASS_INFINITY).or(classB.eq(CLASS_ZERO))), () => invalid(f, state, r))
    f.if(f.call(propagateNan(c), state), () => f.return())
    f.store('i32.store', state, I32.of(0), F_EXTRA)
    r.copy(a)
    f.if(classA.eq(CLASS_ZERO).or(classB.eq(CLASS_INFINITY)), () => f.return())
    const [significandA, divisor, exponentB] = [a.significand, b.significand, b.exponent]
    const difference = f.let(a.exponent.sub(exponentB))
    f.if(difference.ltS(0), () => {
      // Less than half the divisor, or less than the divisor and truncating: the dividend itself.
      f.if(nearest.eqz().or(difference.ltS(-1)).or(significandA.leU(divisor)), () => f.return())
      f.store('i32.store', state, quotientBits(I32.of(1)), F_EXTRA)
      const low = f.let(significandA.shl(63))
      const high = divisor.sub(significandA.shrU(1)).sub(low.ne(0).toI64U())
      f.call(setNormalised(c), state, sign.xor(1), exponentB, f.let(high), I64.of(0).sub(low))
      f.return()
    })
    const unfinished = f.let(difference.geS(64))
    const rest = f.local('i64')
    const over = f.local('i64')
    const quotient = f.local('i32')
    const count = f.local('i32')
    f.set(rest, significandA)
    f.set(over, I64.of(0))
    f.set(quotient, I32.of(0))
    f.set(count, select(unfinished, partialSteps(difference), difference))
    const left = f.let(difference.sub(count.get))
    f.block((done) => {
      f.loop((again) => {
        const fits = f.let(over.get.ne(0).or(rest.get.geU(divisor)))
        f.set(rest, select(fits, rest.get.sub(divisor), rest.get))
        f.set(quotient, quotient.get.shl(1).or(fits))
        f.brIf(count.get.eqz(), done)
        f.set(over, rest.get.shrU(63))
        f.set(rest, rest.get.shl(1))
        f.set(count, count.get.sub(1))
        f.br(again)
      })
    })
    const finalSign = f.local('i32')
    f.set(finalSign, sign)
    f.if(
      unfinished,
      () => f.store('i32.store', state, I32.of(FSW_C2), F_EXTRA),
      () => {
        const back = f.let(divisor.sub(rest.get))
        const up = rest.get.gtU(back).or(rest.get.eq(back).and(quotient.get.and(1)))
        f.if(nearest.and(up), () => {
          f.set(rest, back)
          f.set(finalSign, sign.xor(1))
          f.set(quotient, quotient.get.add(1))
        })
        f.store('i32.store', state, quotientBits(quotient.get), F_EXTRA)
      },
    )
    f.if(
      rest.get.eqz(),
      () => r.setZero(sign),
      () => f.call(setNormalised(c), state, finalSign.get, exponentB.add(left), rest.get, I64.of(0)),
    )
  })
}

/** Steps of a partial remainder that is not finished: between 32 and 63, so that what is left is a multiple of 32. */
function partialSteps(difference: I32): I32 {
  return difference.and(31).or(32)
}

/** The low three bits of a quotient: 2, 1 and 0 in C0, C3 and C1. */
function quotientBits(quotient: I32): I32 {
  return quotient.and(4).shl(6).or(quotient.and(2).shl(13)).or(quotient.and(1).shl(9))
}

function partialRemainder(nearest: boolean): (c: Context) => void {
  return (c) => {
    notePointers(c)
    const f = c.f
    const name = nearest ? 'remainderNearest' : 'remainder'
    const operation = onTopTwo(c, name, (g, state) => g.call(remainder(c), state, I32.of(nearest ? 1 : 0)))
    const delivered = f.call(operation, c.state)
    const bits = f.load('i32.load', c.state, F_EXTRA)
    const status = f.load('i32.load', c.state, S_FSW)
    f.if(
      delivered.and(bits.ne(NO_QUOTIENT)),
      () => f.store('i32.store', c.state, status.and(~(FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)).or(bits), S_FSW),
      () => f.store('i32.store', c.state, status.and(~FSW_C2), S_FSW),
    )
  }
}

export const x87Scale: SemanticsTable = {
  FSCALE: { emit: scale },
  FXTRACT: { emit: extract },
  FPREM: { emit: partialRemainder(false) },
  FPREM1: { emit: partialRemainder(true) },
}
