import { I32, I64, select, type FunctionBuilder, type I32Like } from '@retrap/wasm-emitter'
import { S_FCW, S_FPR, S_FSW, S_FTAG_EMPTY, S_FTOP } from '../../state/state-layout.ts'
import type { Context } from '../context.ts'
import { FE_PRECISION, type SharedFunction } from '@retrap/soft-float'
import { BIAS, LARGEST_EXPONENT, SIGN, exponentOf, isNormal, isZero, product, roundNearest, sum } from './extended.ts'
import type { Extended } from './extended.ts'
import { FSW_C1, isEmpty, quickPop, stackAddress } from './stack.ts'

/**
 * The common cases of x87 instructions: registers that are there, numbers that are normal or zero, rounding to nearest with
 * 64 bits, and the precision exception masked. All else goes the long way.
 *
 * Source: Intel SDM vol. 1, "x87 FPU Control Word", "Rounding Control Field", "Precision Control Field".
 */

/** PM, PC and RC of the control word, and what they are: masked, 64 bits, to nearest. */
const CONTROL_MASK = 0x0f20
const CONTROL = 0x0320
/** The same without PC, which stores take no notice of. */
const STORE_MASK = 0x0c20
const STORE_CONTROL = 0x0020

/** ST(i) as it is. */
export function readStack(f: FunctionBuilder, state: I32, i: I32Like): Extended {
  const at = f.let(stackAddress(f, state, I32.of(i)))
  return {
    significand: f.load('i64.load', at, S_FPR),
    word: f.load('i32.load16_u', at, S_FPR + 8),
  }
}

// ---------------------------------------------------------------- the stack

/** C1 becomes 0, as it does where nothing is rounded, and the stack neither overflows nor underflows. */
export function clearC1(f: FunctionBuilder, state: I32): void {
  f.store('i32.store', state, f.loadExpression('i32.load', state, S_FSW).and(~FSW_C1), S_FSW)
}

function writeStack(f: FunctionBuilder, state: I32, i: I32Like, { significand, word }: Extended): void {
  const at = f.let(stackAddress(f, state, I32.of(i)))
  f.store('i64.store', at, significand, S_FPR)
  f.store('i32.store16', at, word, S_FPR + 8)
}

/** Pushes a number that needs no rounding, if `condition` holds and there is room; else runs `slow`. */
export function quickPush(c: Context, condition: I32, value: Extended, slow: () => void): void {
  const { f, state } = c
  f.if(
    condition.and(isEmpty(f, state, 7)),
    () => {
      const top = f.let(f.loadExpression('i32.load', state, S_FTOP).sub(1).and(7))
      f.store('i32.store', state, top, S_FTOP)
      const tags = f.loadExpression('i32.load', state, S_FTAG_EMPTY).and(I32.of(1).shl(top).xor(-1))
      f.store('i32.store', state, tags, S_FTAG_EMPTY)
      const at = f.let(state.add(top.shl(4)))
      f.store('i64.store', at, value.significand, S_FPR)
      f.store('i32.store16', at, value.word, S_FPR + 8)
      clearC1(f, state)
    },
    slow,
  )
}

/** 1 if neither ST(i) nor ST(j) is empty. */
export function areThere(f: FunctionBuilder, state: I32, i: I32Like, j: I32Like): I32 {
  return isEmpty(f, state, I32.of(i))
    .or(isEmpty(f, state, I32.of(j)))
    .eqz()
}

/** FXCH ST(i), of registers that are there. */
export function quickExchange(c: Context, i: I32, slow: () => void): void {
  const { f, state } = c
  f.if(
    areThere(f, state, 0, i),
    () => {
      const [top, other] = [readStack(f, state, 0), readStack(f, state, i)]
      writeStack(f, state, 0, other)
      writeStack(f, state, i, top)
      clearC1(f, state)
    },
    slow,
  )
}

/** Another word in ST(0), if that is there. */
export function quickChange(c: Context, compute: (word: I32) => I32, slow: () => void): void {
  const { f, state } = c
  f.if(
    isEmpty(f, state, 0).eqz(),
    () => {
      const at = f.let(stackAddress(f, state, 0))
      f.store('i32.store16', at, compute(f.loadExpression('i32.load16_u', at, S_FPR + 8)), S_FPR + 8)
      clearC1(f, state)
    },
    slow,
  )
}

/** ST(i) = ST(0), of a register that is there. */
export function quickCopy(c: Context, i: I32, pops: boolean, slow: () => void): void {
  const { f, state } = c
  f.if(
    isEmpty(f, state, 0).eqz(),
    () => {
      const value = readStack(f, state, 0)
      writeStack(f, state, i, value)
      const number = f.loadExpression('i32.load', state, S_FTOP).add(i).and(7)
      const tags = f.loadExpression('i32.load', state, S_FTAG_EMPTY).and(I32.of(1).shl(number).xor(-1))
      f.store('i32.store', state, tags, S_FTAG_EMPTY)
      clearC1(f, state)
      if (pops) quickPop(f, state)
    },
    slow,
  )
}

// ---------------------------------------------------------------- conversions

/** ST(0) as a single or double number, what FSW gets of it, and whether it was normal in both formats, or zero. */
export function narrowed(
  f: FunctionBuilder,
  state: I32,
  bits: 32 | 64,
): { readonly value: I64; readonly flags: I32; readonly isQuick: I32 } {
  const number = readStack(f, state, 0)
  const { significand, word } = number
  const fractionBits = bits === 32 ? 23 : 52
  const bias = bits === 32 ? 0x7f : 0x3ff
  const cut = 63 - fractionBits
  const exponent = f.let(exponentOf(word).sub(BIAS - bias))
  const rest = f.let(significand.and((1n << BigInt(cut)) - 1n))
  const kept = f.let(significand.shrU(cut))
  const half = 1n << BigInt(cut - 1)
  const up = f.let(rest.gtU(half).or(rest.eq(half).and(kept.toI32().and(1))))
  const zero = f.let(isZero(number))
  // The topmost bit of what is kept adds 1 to the exponent, and so does a carry.
  const packed = exponent.sub(1).toI64U().shl(fractionBits).add(kept).add(up.toI64U())
  const sign = word
    .shrU(15)
    .toI64U()
    .shl(bits - 1)
  const control = f.loadExpression('i32.load', state, S_FCW).and(STORE_MASK).eq(STORE_CONTROL)
  // The largest and the smallest exponents are left out: rounding might leave the range.
  const inRange = exponent.sub(2).ltU(2 * bias - 3)
  const isQuick = significand
    .ltS(0)
    .and(inRange)
    .and(control)
    .or(zero)
    .and(isEmpty(f, state, 0).eqz())
  return {
    value: f.let(sign.or(select(zero, I64.of(0), packed))),
    flags: f.let(select(rest.ne(0), I32.of(FE_PRECISION).or(up.shl(9)), I32.of(0))),
    isQuick: f.let(isQuick),
  }
}

/** Takes over what rounding has raised. */
export function noteRounding(f: FunctionBuilder, state: I32, flags: I32): void {
  f.store('i32.store', state, f.loadExpression('i32.load', state, S_FSW).and(~FSW_C1).or(flags), S_FSW)
}

// ---------------------------------------------------------------- arithmetic

/**
 * (state, a, b, destination, 1 to pop) → 1 if ST(destination) is the sum or product of two numbers, 0 if nothing has
 * changed; numbers are pairs.
 */
export function quickArithmetic(c: Context, operation: 'add' | 'mul'): SharedFunction<'i32'> {
  const params = ['i32', 'i64', 'i32', 'i64', 'i32', 'i32', 'i32'] as const
  return c.shared(`x87.quick.${operation}`, params, 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const a = { significand: f.param(1, 'i64').get, word: f.param(2, 'i32').get }
    const b = { significand: f.param(3, 'i64').get, word: f.param(4, 'i32').get }
    const [destination, pops] = [f.param(5, 'i32').get, f.param(6, 'i32').get]
    const [significand, word, flags] = [f.local('i64'), f.local('i32'), f.local('i32')]
    const result: Extended = { significand: significand.get, word: word.get }
    const set = (value: Extended): void => {
      f.set(significand, value.significand)
      f.set(word, value.word)
    }
    f.if(f.loadExpression('i32.load', state, S_FCW).and(CONTROL_MASK).ne(CONTROL), () => f.return(0))
    f.set(flags, I32.of(0))
    f.if(
      isNormal(a).and(isNormal(b)),
      () => {
        const wide = operation === 'mul' ? product(f, a, b) : sum(f, a, b, () => f.return(0))
        const rounded = roundNearest(f, wide)
        f.if(rounded.exponent.sub(1).geU(LARGEST_EXPONENT), () => f.return(0))
        set({ significand: rounded.significand, word: wide.sign.or(rounded.exponent) })
        f.set(flags, rounded.flags)
      },
      () => {
        // The operations that are exact with a zero.
        const [zeroA, zeroB] = [f.let(isZero(a)), f.let(isZero(b))]
        if (operation === 'mul') {
          f.if(
            zeroA
              .and(zeroB.or(isNormal(b)))
              .or(zeroB.and(isNormal(a)))
              .eqz(),
            () => f.return(0),
          )
          set({ significand: I64.of(0), word: a.word.xor(b.word).and(SIGN) })
        } else {
          f.if(
            zeroA
              .and(isNormal(b))
              .or(zeroB.and(isNormal(a)))
              .eqz(),
            () => f.return(0),
          )
          set({ significand: select(zeroA, b.significand, a.significand), word: select(zeroA, b.word, a.word) })
        }
      },
    )
    noteRounding(f, state, flags.get)
    writeStack(f, state, destination, result)
    f.if(pops, () => quickPop(f, state))
    f.return(1)
  })
}
