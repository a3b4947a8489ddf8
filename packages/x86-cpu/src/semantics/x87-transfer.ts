import { I32, I64, select } from '@retrap/wasm-emitter'
import type { FunctionBuilder } from '@retrap/wasm-emitter'
import { S_FPR, S_FSW } from '../state-layout.ts'
import { CC_B, CC_BE, CC_E, CC_P } from './context.ts'
import type { Context } from './context.ts'
import { convert, toInteger } from './softfloat-convert.ts'
import {
  FE_DENORMAL,
  FE_INVALID,
  FE_OVERFLOW,
  FE_PRECISION,
  FE_ROUNDED_UP,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  F_FLAGS,
  F_WORD,
  INDEFINITE,
  N_DENORMAL,
  ROUND_NEAREST,
  ROUND_UP,
  ROUND_ZERO,
  SLOT_A,
  SLOT_R,
  Slot,
  roundingMode,
} from './softfloat-layout.ts'
import type { SharedFunction } from './softfloat-layout.ts'
import { finish, finish80 } from './softfloat-round.ts'
import { unpack, unpackInteger } from './softfloat-unpack.ts'
import {
  FSW_C0,
  FSW_C1,
  FSW_C2,
  FSW_C3,
  INDEFINITE_WORD,
  begin,
  commit,
  enterX87,
  isEmpty,
  keepC1,
  loadStack,
  notePointers,
  pop,
  pushResult,
  raiseStackUnderflow,
  stackAddress,
  stackIndex,
  storeStack,
  unmaskedFlags,
} from './x87-stack.ts'
import type { Semantics, SemanticsTable } from './table.ts'

/**
 * x87 loads, stores, constants and moves within the stack.
 *
 * Source: Intel SDM vol. 2, FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP, FLD1 …, FXCH, FCMOVcc, FCHS, FABS, FXAM.
 */

// ---------------------------------------------------------------- loads

/** FLD from memory. */
function load(c: Context): void {
  enterX87(c)
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
  f.call(loadFloat, c.state, value)
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
  c.f.call(copy, c.state, i)
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
  enterX87(c)
  const value = c.readS(0)
  notePointers(c)
  c.f.call(pushInteger(c), c.state, value)
}

/** FBLD: 18 decimal digits, and a sign in the topmost bit. Minus zero is a number here. */
function loadDecimal(c: Context): void {
  enterX87(c)
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
    enterX87(c)
    notePointers(c)
    const f = c.f
    f.call(begin(c), c.state)
    const value = f.local('i64')
    f.set(value, I64.of(significand))
    const exact = (significand & (significand - 1n)) === 0n
    if (!exact) {
      const mode = roundingMode(f, c.state)
      f.if(up ? mode.eq(ROUND_UP).or(mode.eq(ROUND_NEAREST)) : mode.eq(ROUND_UP), () =>
        f.set(value, I64.of(significand + 1n)),
      )
    }
    f.call(pushResult(c), c.state, value.get, I32.of(exponent))
  }
}

// ---------------------------------------------------------------- stores

/** Unmasked exceptions that keep a result from memory, and the stack from being popped. */
const PREVENTS_STORE = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE | FE_OVERFLOW | FE_UNDERFLOW

/**
 * The common end of stores: `write` runs unless an exception prevents it; only when memory has taken the result do status
 * and stack change.
 */
function finishStore(c: Context, pops: boolean, write: () => void): void {
  const f = c.f
  const prevented = f.let(unmaskedFlags(f, c.state).and(PREVENTS_STORE))
  f.if(prevented.eqz(), write)
  // What was not stored was not rounded either.
  f.if(prevented, () => {
    f.store(
      'i32.store',
      c.state,
      f.loadExpression('i32.load', c.state, F_FLAGS).and(~(FE_PRECISION | FE_ROUNDED_UP)),
      F_FLAGS,
    )
  })
  notePointers(c)
  f.call(commit(c), c.state)
  if (pops) f.if(prevented.eqz(), () => f.call(pop(c), c.state))
}

/** (state, …) → value of ST(0) for memory; the exceptions are in F_FLAGS. `empty` stands for an empty register. */
function storing(
  c: Context,
  name: string,
  empty: bigint,
  compute: (f: FunctionBuilder, state: I32) => I64,
): SharedFunction<'i64'> {
  return c.shared(`x87.${name}`, ['i32'], 'i64', (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    f.if(isEmpty(f, state, 0), () => {
      raiseStackUnderflow(f, state)
      f.return(I64.of(empty))
    })
    f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
    f.return(compute(f, state))
  })
}

function storeFloat(c: Context, pops: boolean): void {
  const bits = c.sizeOf(0) === 4 ? 32 : 64
  const indefinite = bits === 32 ? 0xffc0_0000n : 0xfff8_0000_0000_0000n
  const value = c.f.call(
    storing(c, `store${bits}`, indefinite, (f, state) => {
      // No denormal-operand exception here.
      f.store('i32.store', state, I32.of(0), SLOT_A + N_DENORMAL)
      f.call(convert(c), state)
      return f.call(finish(c, bits), state)
    }),
    c.state,
  )
  finishStore(c, pops, () => c.write(0, value))
}

function storeExtended(c: Context): void {
  const { significand, word } = topOrIndefinite(c)
  finishStore(c, true, () => writeTen(c, significand, word))
}

/** ST(0) as it is, or the default NaN and a stack fault in F_FLAGS where it is empty. */
function topOrIndefinite(c: Context): { readonly significand: I64; readonly word: I32 } {
  const f = c.f
  f.call(begin(c), c.state)
  const at = f.let(stackAddress(f, c.state, 0))
  const empty = f.let(isEmpty(f, c.state, 0))
  f.if(empty, () => raiseStackUnderflow(f, c.state))
  return {
    significand: f.let(select(empty, I64.of(INDEFINITE), f.loadExpression('i64.load', at, S_FPR))),
    word: f.let(select(empty, I32.of(INDEFINITE_WORD), f.loadExpression('i32.load16_u', at, S_FPR + 8))),
  }
}

/** Ten bytes, all of which are checked before the first is written. */
function writeTen(c: Context, low: I64, high: I32): void {
  const ea = c.address(0)
  c.probeWrite(ea, 10)
  c.storeMemory('i64.store', ea, 8, low)
  c.storeMemory('i32.store16', c.let(ea.add(8)), 2, high)
}

/** FST, FSTP. */
function store(pops: boolean): (c: Context) => void {
  return (c) => {
    enterX87(c)
    if (c.kindOf(0) === 'mem') {
      if (c.sizeOf(0) === 10) storeExtended(c)
      else storeFloat(c, pops)
      return
    }
    const f = c.f
    const i = stackIndex(c)
    notePointers(c)
    const { significand, word } = topOrIndefinite(c)
    f.if(f.call(commit(c), c.state), () => {
      f.call(storeStack(c), c.state, i, significand, word)
      if (pops) f.call(pop(c), c.state)
    })
  }
}

/** D9 /3: FSTP that pops an empty register without a stack fault, and then stores nothing. */
function storeQuietly(c: Context): void {
  enterX87(c)
  const f = c.f
  const i = stackIndex(c)
  notePointers(c)
  f.call(begin(c), c.state)
  f.call(commit(c), c.state)
  f.if(isEmpty(f, c.state, 0).eqz(), () => {
    const at = f.let(stackAddress(f, c.state, 0))
    f.call(
      storeStack(c),
      c.state,
      i,
      f.loadExpression('i64.load', at, S_FPR),
      f.loadExpression('i32.load16_u', at, S_FPR + 8),
    )
  })
  f.call(pop(c), c.state)
}

function storeInteger(pops: boolean, truncate: boolean): (c: Context) => void {
  return (c) => {
    enterX87(c)
    const bits = 8 * c.sizeOf(0)
    const value = c.f.call(
      storing(c, `storeInteger${bits}${truncate ? 'truncated' : ''}`, -(1n << BigInt(bits - 1)), (f, state) => {
        const mode = truncate ? I32.of(ROUND_ZERO) : roundingMode(f, state)
        return f.call(toInteger(c), state, I32.of(bits), mode)
      }),
      c.state,
    )
    finishStore(c, pops, () => c.write(0, value))
  }
}

/** Packed decimal "indefinite": its low eight bytes, and its high two. */
const DECIMAL_INDEFINITE_LOW = 0xc000_0000_0000_0000n
const DECIMAL_INDEFINITE_HIGH = 0xffff
const DECIMAL_LIMIT = 10n ** 18n

function storeDecimal(c: Context): void {
  enterX87(c)
  const f = c.f
  // The low digits; the high two and the sign are in F_WORD.
  const low = f.call(
    c.shared('x87.storeDecimal', ['i32'], 'i64', (g) => {
      const state = g.param(0, 'i32').get
      g.call(begin(c), state)
      const indefinite = (): void => {
        g.store('i32.store', state, I32.of(DECIMAL_INDEFINITE_HIGH), F_WORD)
        g.return(I64.of(DECIMAL_INDEFINITE_LOW))
      }
      g.if(isEmpty(g, state, 0), () => {
        raiseStackUnderflow(g, state)
        indefinite()
      })
      g.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
      const sign = new Slot(g, state, SLOT_A).sign
      const integer = g.call(toInteger(c), state, I32.of(64), roundingMode(g, state))
      const magnitude = g.local('i64')
      g.set(magnitude, select(integer.ltS(0), I64.of(0).sub(integer), integer))
      g.if(g.loadExpression('i32.load', state, F_FLAGS).and(FE_INVALID).or(magnitude.get.geU(DECIMAL_LIMIT)), () => {
        g.store('i32.store', state, I32.of(FE_INVALID), F_FLAGS)
        indefinite()
      })
      const digits = g.local('i64')
      const count = g.local('i32')
      g.set(digits, I64.of(0))
      g.set(count, I32.of(16))
      g.loop((again) => {
        g.set(digits, digits.get.shrU(4).or(magnitude.get.remU(10).shl(60)))
        g.set(magnitude, magnitude.get.divU(10))
        g.set(count, count.get.sub(1))
        g.brIf(count.get, again)
      })
      const top = magnitude.get.divU(10).shl(4).or(magnitude.get.remU(10)).toI32()
      g.store('i32.store', state, top.or(sign.shl(15)), F_WORD)
      g.return(digits.get)
    }),
    c.state,
  )
  const high = f.load('i32.load', c.state, F_WORD)
  finishStore(c, true, () => writeTen(c, low, high))
}

// ---------------------------------------------------------------- within the stack

function exchange(c: Context): void {
  enterX87(c)
  notePointers(c)
  const swap = c.shared('x87.exchange', ['i32', 'i32'], undefined, (f) => {
    const [state, i] = [f.param(0, 'i32').get, f.param(1, 'i32').get]
    f.call(begin(c), state)
    const missing = [f.let(isEmpty(f, state, 0)), f.let(isEmpty(f, state, i))] as const
    f.if(missing[0].or(missing[1]), () => raiseStackUnderflow(f, state))
    f.if(f.call(commit(c), state).eqz(), () => f.return())
    const read = (index: I32 | number, empty: I32): readonly [I64, I32] => {
      const at = f.let(stackAddress(f, state, index))
      return [
        f.let(select(empty, I64.of(INDEFINITE), f.loadExpression('i64.load', at, S_FPR))),
        f.let(select(empty, I32.of(INDEFINITE_WORD), f.loadExpression('i32.load16_u', at, S_FPR + 8))),
      ]
    }
    const [top, other] = [read(0, missing[0]), read(i, missing[1])]
    f.call(storeStack(c), state, I32.of(0), ...other)
    f.call(storeStack(c), state, i, ...top)
  })
  c.f.call(swap, c.state, stackIndex(c))
}

function conditionalMove(condition: number): (c: Context) => void {
  return (c) => {
    enterX87(c)
    notePointers(c)
    const before = c.f.load('i32.load', c.state, S_FSW)
    const move = c.shared('x87.conditionalMove', ['i32', 'i32', 'i32'], undefined, (f) => {
      const [state, i, holds] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
      f.call(begin(c), state)
      f.if(isEmpty(f, state, 0).or(isEmpty(f, state, i)), () => {
        raiseStackUnderflow(f, state)
        f.if(f.call(commit(c), state), () =>
          f.call(storeStack(c), state, I32.of(0), I64.of(INDEFINITE), I32.of(INDEFINITE_WORD)),
        )
        f.return()
      })
      f.call(commit(c), state)
      f.if(holds, () => {
        const at = f.let(stackAddress(f, state, i))
        f.call(
          storeStack(c),
          state,
          I32.of(0),
          f.loadExpression('i64.load', at, S_FPR),
          f.loadExpression('i32.load16_u', at, S_FPR + 8),
        )
      })
    })
    c.f.call(move, c.state, stackIndex(c), c.condition(condition))
    keepC1(c.f, c.state, before)
  }
}

/** FCHS, FABS: whatever the register holds. */
function changeSign(compute: (word: I32) => I32): (c: Context) => void {
  return (c) => {
    enterX87(c)
    notePointers(c)
    const f = c.f
    const { significand, word } = topOrIndefinite(c)
    const empty = f.load('i32.load', c.state, F_FLAGS)
    f.if(f.call(commit(c), c.state), () => {
      f.call(storeStack(c), c.state, I32.of(0), significand, select(empty, word, compute(word)))
    })
  }
}

/** FXAM: the class of ST(0) in C3, C2 and C0, its sign in C1. */
function examine(c: Context): void {
  enterX87(c)
  notePointers(c)
  const classify = c.shared('x87.examine', ['i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    f.if(isEmpty(f, state, 0), () => f.return(FSW_C3 | FSW_C0))
    f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
    const slot = new Slot(f, state, SLOT_A)
    f.if(slot.denormal, () => f.return(FSW_C3 | FSW_C2))
    // Zero, finite, infinity, quiet and signalling NaN, unsupported: see CLASS_*.
    const codes = [FSW_C3, FSW_C2, FSW_C2 | FSW_C0, FSW_C0, FSW_C0, 0]
    const kind = slot.class
    for (const [i, code] of codes.entries()) f.if(kind.eq(i), () => f.return(code))
    f.unreachable()
  })
  const f = c.f
  const code = f.call(classify, c.state)
  const sign = f
    .loadExpression('i32.load16_u', stackAddress(f, c.state, 0), S_FPR + 8)
    .shrU(15)
    .shl(9)
  const status = f.loadExpression('i32.load', c.state, S_FSW).and(~(FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3))
  f.store('i32.store', c.state, status.or(code).or(sign), S_FSW)
}

function conditionalMoves(): SemanticsTable {
  const table: Record<string, Semantics> = {}
  for (const [name, code] of [
    ['B', CC_B],
    ['E', CC_E],
    ['BE', CC_BE],
    ['U', CC_P],
  ] as const) {
    table[`FCMOV${name}`] = { emit: conditionalMove(code) }
    table[`FCMOVN${name}`] = { emit: conditionalMove(code | 1) }
  }
  return table
}

const ONE_EXPONENT = 0x3fff

export const x87Transfers: SemanticsTable = {
  ...conditionalMoves(),
  FLD: { emit: load },
  FILD: { emit: loadInteger },
  FBLD: { emit: loadDecimal },
  FST: { emit: store(false) },
  FSTP: { emit: store(true) },
  FSTPNCE: { emit: storeQuietly },
  FIST: { emit: storeInteger(false, false) },
  FISTP: { emit: storeInteger(true, false) },
  FISTTP: { emit: storeInteger(true, true) },
  FBSTP: { emit: storeDecimal },
  // Significands cut off after 64 bits, and whether the next bit is set.
  FLD1: { emit: constant(0x8000_0000_0000_0000n, ONE_EXPONENT, false) },
  FLDL2T: { emit: constant(0xd49a_784b_cd1b_8afen, ONE_EXPONENT + 1, false) },
  FLDL2E: { emit: constant(0xb8aa_3b29_5c17_f0bbn, ONE_EXPONENT, true) },
  FLDPI: { emit: constant(0xc90f_daa2_2168_c234n, ONE_EXPONENT + 1, true) },
  FLDLG2: { emit: constant(0x9a20_9a84_fbcf_f798n, ONE_EXPONENT - 2, true) },
  FLDLN2: { emit: constant(0xb172_17f7_d1cf_79abn, ONE_EXPONENT - 1, true) },
  FLDZ: { emit: constant(0n, 0, false) },
  FXCH: { emit: exchange },
  FCHS: { emit: changeSign((word) => word.xor(0x8000)) },
  FABS: { emit: changeSign((word) => word.and(0x7fff)) },
  FXAM: { emit: examine },
}
