import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import type { Context, SemanticsTable } from '../context.ts'
import {
  convert,
  FE_DENORMAL,
  FE_INVALID,
  FE_OVERFLOW,
  FE_PRECISION,
  FE_ROUNDED_UP,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  finish,
  N_DENORMAL,
  ROUND_ZERO,
  Slot,
  toInteger,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_FLAGS, F_WORD, roundingMode, SLOT_A } from '../float-scratch.ts'
import {
  begin,
  commit,
  isEmpty,
  loadStack,
  notePointers,
  pop,
  quickPop,
  raiseStackUnderflow,
  registerAt,
  stackAddress,
  stackIndex,
  storeStack,
  unmaskedFlags,
  topOrIndefinite,
} from './stack.ts'
import { narrowed, noteRounding, quickCopy } from './quick.ts'

/** x87 stores. Source: Intel SDM vol. 2, FST, FIST, FISTTP, FBSTP. */

/** Unmasked exceptions that keep a result from memory, and the stack from being popped. */
const PREVENTS_STORE = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE | FE_OVERFLOW | FE_UNDERFLOW

/**
 * The common end of stores: `write` runs unless an exception prevents it; only when memory has taken the result do status
 * and stack change. Memory that would not have taken it faults even where nothing is stored: faults of the operand come
 * before numeric exceptions (SDM vol. 3A, "Priority Among Concurrent Events").
 */
function finishStore(c: Context, pops: boolean, write: () => void): void {
  const f = c.f
  const prevented = f.let(unmaskedFlags(f, c.state).and(PREVENTS_STORE))
  const ea = c.address(0)
  f.if(prevented.eqz(), write)
  f.if(prevented, () => {
    c.probeWrite(ea, c.sizeOf(0))
    // A value that was not stored was not rounded either.
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
  const { f, state } = c
  const bits = c.sizeOf(0) === 4 ? 32 : 64
  const indefinite = bits === 32 ? 0xffc0_0000n : 0xfff8_0000_0000_0000n
  const quick = narrowed(f, state, bits)
  c.address(0)
  f.if(
    quick.isQuick,
    () => {
      c.write(0, quick.value)
      notePointers(c)
      noteRounding(f, state, quick.flags)
      if (pops) quickPop(f, state)
    },
    () => {
      const value = f.call(
        storing(c, `store${bits}`, indefinite, (g, s) => {
          // No denormal-operand exception here.
          g.store('i32.store', s, I32.of(0), SLOT_A + N_DENORMAL)
          g.call(convert(c), s)
          return g.call(finish(c, bits), s)
        }),
        state,
      )
      finishStore(c, pops, () => c.write(0, value))
    },
  )
}

function storeExtended(c: Context): void {
  const { significand, word } = topOrIndefinite(c)
  finishStore(c, true, () => writeTen(c, significand, word))
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
    if (c.kindOf(0) === 'mem') {
      if (c.sizeOf(0) === 10) storeExtended(c)
      else storeFloat(c, pops)
      return
    }
    const f = c.f
    const i = stackIndex(c)
    notePointers(c)
    quickCopy(c, i, pops, () => {
      const { significand, word } = topOrIndefinite(c)
      f.if(f.call(commit(c), c.state), () => {
        f.call(storeStack(c), c.state, i, significand, word)
        if (pops) f.call(pop(c), c.state)
      })
    })
  }
}

/** D9 /3: FSTP that pops an empty register without a stack fault, and then stores nothing. */
function storeQuietly(c: Context): void {
  const f = c.f
  const i = stackIndex(c)
  notePointers(c)
  f.call(begin(c), c.state)
  f.call(commit(c), c.state)
  f.if(isEmpty(f, c.state, 0).eqz(), () => {
    const at = f.let(stackAddress(f, c.state, 0))
    f.call(storeStack(c), c.state, i, ...registerAt(f, at))
  })
  f.call(pop(c), c.state)
}

/** FIST and its like: which of them pop, and which truncate whatever the rounding control says. */
function storeInteger({
  pops,
  truncate,
}: {
  readonly pops: boolean
  readonly truncate: boolean
}): (c: Context) => void {
  return (c) => {
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

export const x87Stores: SemanticsTable = {
  FST: { emit: store(false) },
  FSTP: { emit: store(true) },
  FSTPNCE: { emit: storeQuietly },
  FIST: { emit: storeInteger({ pops: false, truncate: false }) },
  FISTP: { emit: storeInteger({ pops: true, truncate: false }) },
  FISTTP: { emit: storeInteger({ pops: true, truncate: true }) },
  FBSTP: { emit: storeDecimal },
}
