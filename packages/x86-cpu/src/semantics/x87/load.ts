import { I32, I64 } from '@retrap/wasm-emitter'
import { S_FPR } from '../../state/state-layout.ts'
import type { Context, SemanticsTable } from '../context.ts'
import {
  convert,
  finish80,
  ROUND_NEAREST,
  ROUND_UP,
  Slot,
  unpack,
  unpackInteger,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_WORD, INDEFINITE, roundingMode, SLOT_A, SLOT_R } from '../float-scratch.ts'
import {
  INDEFINITE_WORD,
  begin,
  isEmpty,
  notePointers,
  pushResult,
  raiseStackUnderflow,
  stackAddress,
  stackIndex,
} from './stack.ts'
import { quickPush, readStack } from './quick.ts'
import { fromInteger, widened } from './extended.ts'

/** x87 loads and constants. Source: Intel SDM vol. 2, FLD, FILD, FBLD, FLD1 and its neighbours. */

/** FLD from memory. */
function load(c: Context): void {
  const f = c.f
  if (c.kindOf(0) === 'st') {
    loadRegister(c)
    return
  }
  if (c.sizeOf(0) === 10) {
    const ea = c.address(0)
    const significand = c.loadMemory('i64.load', ea, 8)
    const word = c.loadMemory('i32.load16_u', c.let(ea.add(8)), 2)
    notePointers(c)
    f.call(begin(c), c.state)
    f.call(pushResult(c), c.state, significand, word)
    return
  }
  const bits = c.sizeOf(0) === 4 ? 32 : 64
  const value = c.readU(0)
  notePointers(c)
  const loadFloat = c.shared(`x87.load${bits}`, ['i32', 'i64'], undefined, (g) => {
    const state = g.param(0, 'i32').get
    g.call(begin(c), state)
    g.call(unpack(c, bits), state, state.add(SLOT_A), g.param(1, 'i64').get)
    g.call(convert(c), state)
    const significand = g.call(finish80(c), state, I32.of(64))
    g.call(pushResult(c), state, significand, g.load('i32.load', state, F_WORD))
  })
  const wide = widened(f, bits, value)
  quickPush(c, wide.isQuick, wide, () => f.call(loadFloat, c.state, value))
}

/** FLD ST(i). */
function loadRegister(c: Context): void {
  notePointers(c)
  const i = stackIndex(c)
  const copy = c.shared('x87.loadRegister', ['i32', 'i32'], undefined, (f) => {
    const [state, index] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    const at = f.let(stackAddress(f, state, index))
    const significand = f.local('i64')
    const word = f.local('i32')
    f.set(significand, f.loadExpression('i64.load', at, S_FPR))
    f.set(word, f.loadExpression('i32.load16_u', at, S_FPR + 8))
    f.call(begin(c), state)
    f.if(isEmpty(f, state, index), () => {
      raiseStackUnderflow(f, state)
      f.set(significand, I64.of(INDEFINITE))
      f.set(word, I32.of(INDEFINITE_WORD))
    })
    f.call(pushResult(c), state, significand.get, word.get)
  })
  const number = readStack(c.f, c.state, i)
  quickPush(c, isEmpty(c.f, c.state, i).eqz(), number, () => c.f.call(copy, c.state, i))
}

/** (state, integer): pushes it. */
function pushInteger(c: Context): SharedFunction {
  return c.shared('x87.pushInteger', ['i32', 'i64'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    f.call(unpackInteger(c), state, state.add(SLOT_R), f.param(1, 'i64').get)
    const significand = f.call(finish80(c), state, I32.of(64))
    f.call(pushResult(c), state, significand, f.load('i32.load', state, F_WORD))
  })
}

function loadInteger(c: Context): void {
  const value = c.readS(0)
  notePointers(c)
  quickPush(c, I32.of(1), fromInteger(c.f, value), () => c.f.call(pushInteger(c), c.state, value))
}

/** FBLD: 18 decimal digits, and a sign in the topmost bit. Minus zero is a number here. */
function loadDecimal(c: Context): void {
  const ea = c.address(0)
  const low = c.loadMemory('i64.load', ea, 8)
  const high = c.loadMemory('i64.load16_u', c.let(ea.add(8)), 2)
  notePointers(c)
  const decimal = c.shared('x87.loadDecimal', ['i32', 'i64', 'i64'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const [digits, top] = [f.param(1, 'i64'), f.param(2, 'i64').get]
    const value = f.local('i64')
    const count = f.local('i32')
    f.set(value, top.shrU(4).and(15).mul(10).add(top.and(15)))
    f.set(count, I32.of(16))
    f.loop((again) => {
      f.set(value, value.get.mul(10).add(digits.get.shrU(60)))
      f.set(digits, digits.get.shl(4))
      f.set(count, count.get.sub(1))
      f.brIf(count.get, again)
    })
    f.call(begin(c), state)
    f.call(unpackInteger(c), state, state.add(SLOT_R), value.get)
    new Slot(f, state, SLOT_R).sign = top.shrU(15).toI32()
    const significand = f.call(finish80(c), state, I32.of(64))
    f.call(pushResult(c), state, significand, f.load('i32.load', state, F_WORD))
  })
  c.f.call(decimal, c.state, low, high)
}

/** A constant: its significand cut off, and whether rounding to nearest goes up. */
function constant(significand: bigint, exponent: number, up: boolean): (c: Context) => void {
  return (c) => {
    notePointers(c)
    const f = c.f
    const exact = (significand & (significand - 1n)) === 0n
    const number = { significand: I64.of(BigInt.asIntN(64, significand)), word: I32.of(exponent) }
    quickPush(c, I32.of(exact ? 1 : 0), number, () => {
      f.call(begin(c), c.state)
      const value = f.local('i64')
      f.set(value, I64.of(significand))
      if (!exact) {
        const mode = roundingMode(f, c.state)
        f.if(up ? mode.eq(ROUND_UP).or(mode.eq(ROUND_NEAREST)) : mode.eq(ROUND_UP), () =>
          f.set(value, I64.of(significand + 1n)),
        )
      }
      f.call(pushResult(c), c.state, value.get, I32.of(exponent))
    })
  }
}

const ONE_EXPONENT = 0x3fff

export const x87Loads: SemanticsTable = {
  FLD: { emit: load },
  FILD: { emit: loadInteger },
  FBLD: { emit: loadDecimal },
  // Significands cut off after 64 bits, and whether the next bit is set.
  FLD1: { emit: constant(0x8000_0000_0000_0000n, ONE_EXPONENT, false) },
  FLDL2T: { emit: constant(0xd49a_784b_cd1b_8afen, ONE_EXPONENT + 1, false) },
  FLDL2E: { emit: constant(0xb8aa_3b29_5c17_f0bbn, ONE_EXPONENT, true) },
  FLDPI: { emit: constant(0xc90f_daa2_2168_c234n, ONE_EXPONENT + 1, true) },
  FLDLG2: { emit: constant(0x9a20_9a84_fbcf_f798n, ONE_EXPONENT - 2, true) },
  FLDLN2: { emit: constant(0xb172_17f7_d1cf_79abn, ONE_EXPONENT - 1, true) },
  FLDZ: { emit: constant(0n, 0, false) },
}
