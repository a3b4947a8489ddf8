import { I32, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { FLAG_CF, FLAG_PF, FLAG_ZF, S_FCW, S_FSW } from '../../state/state-layout.ts'
import type { Context, Semantics, SemanticsTable } from '../context.ts'
import {
  add,
  CLASS_ZERO,
  compare,
  divide,
  finish80,
  multiply,
  Slot,
  squareRoot,
  toIntegral,
  UNORDERED,
  unpack,
  unpackInteger,
  type SharedFunction,
} from '@retrap/soft-float'
import { F_TEMPORARY, roundingMode, SLOT_A, SLOT_B } from '../float-scratch.ts'
import {
  FSW_C0,
  FSW_C2,
  FSW_C3,
  begin,
  commit,
  isEmpty,
  loadStack,
  notePointers,
  pop,
  quickPop,
  raiseStackUnderflow,
  stackIndex,
  storeResult,
  unlessMissing,
} from './stack.ts'
import { areThere, clearC1, quickArithmetic, readStack } from './quick.ts'
import { compared, fromInteger, widened, type Extended } from './extended.ts'

/**
 * x87 arithmetic and comparison.
 *
 * Source: Intel SDM vol. 2, FADD … FSUBR, FCOM, FCOMI, FUCOM, FTST, FSQRT, FRNDINT; vol. 1, "Precision Control Field".
 */

/** Stands for the memory operand where a stack index is expected; it lies unpacked in F_TEMPORARY. */
const MEMORY = 8

/** Significant bits that precision control asks for. The reserved encoding means what 3 means. */
export function precision(f: FunctionBuilder, state: I32): I32 {
  const control = f.let(f.loadExpression('i32.load', state, S_FCW).shrU(8).and(3))
  return select(control.eqz(), I32.of(24), select(control.eq(2), I32.of(53), I32.of(64)))
}

/** (state, i) → 1 if ST(i) is empty; never for {@link MEMORY}. */
function isMissing(f: FunctionBuilder, state: I32, i: I32): I32 {
  return isEmpty(f, state, i).and(i.ne(MEMORY))
}

/** (state, slot address, i): loads ST(i) or the memory operand. */
function loadOperand(c: Context): SharedFunction {
  return c.shared('x87.loadOperand', ['i32', 'i32', 'i32'], undefined, (f) => {
    const [state, slot, i] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    f.if(
      i.eq(MEMORY),
      () => new Slot(f, slot, 0).copy(new Slot(f, state, F_TEMPORARY)),
      () => f.call(loadStack(c), state, slot, i),
    )
  })
}

/** The memory operand: an integer of 16, 32 or 64 bits, or floating point. */
interface MemoryOperand extends Extended {
  readonly isQuick: I32
  /** Unpacks the operand into F_TEMPORARY. */
  readonly unpack: () => void
}

function readMemoryOperand(c: Context, integer: boolean): MemoryOperand {
  const slot = c.state.add(F_TEMPORARY)
  const bits = c.sizeOf(0) === 4 ? 32 : 64
  const value = integer ? c.readS(0) : c.readU(0)
  const number = integer ? { ...fromInteger(c.f, value), isQuick: I32.of(1) } : widened(c.f, bits, value)
  return { ...number, unpack: () => c.f.call(integer ? unpackInteger(c) : unpack(c, bits), c.state, slot, value) }
}

/** Begins an operation by software. How a memory operand is unpacked depends on the control that `begin` has set. */
function beginWith(c: Context, memory: MemoryOperand | undefined): void {
  c.f.call(begin(c), c.state)
  memory?.unpack()
}

type Operation = 'add' | 'sub' | 'mul' | 'div'

/** (state, i, j, destination, 1 to pop), after `begin`: ST(destination) = ST(i) · ST(j); {@link MEMORY} may stand for one of them. */
function operate(c: Context, operation: Operation): SharedFunction {
  return c.shared(`x87.${operation}`, ['i32', 'i32', 'i32', 'i32', 'i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const [i, j, destination] = [f.param(1, 'i32').get, f.param(2, 'i32').get, f.param(3, 'i32').get]
    unlessMissing(f, state, isMissing(f, state, i).or(isMissing(f, state, j)), () => {
      f.call(loadOperand(c), state, state.add(SLOT_A), i)
      f.call(loadOperand(c), state, state.add(SLOT_B), j)
      if (operation === 'mul') f.call(multiply(c), state)
      else if (operation === 'div') f.call(divide(c), state)
      else f.call(add(c), state, I32.of(operation === 'sub' ? 1 : 0))
    })
    const significand = f.call(finish80(c), state, precision(f, state))
    const delivered = f.call(storeResult(c), state, destination, significand)
    f.if(delivered.and(f.param(4, 'i32').get), () => f.call(pop(c), state))
  })
}

interface Arithmetic {
  readonly operation: Operation
  /** Swaps the operands. */
  readonly reverse?: boolean
  readonly pop?: boolean
  readonly integer?: boolean
}

function arithmetic({
  operation,
  reverse = false,
  pop: pops = false,
  integer = false,
}: Arithmetic): (c: Context) => void {
  return (c) => {
    const { f, state } = c
    const memory = c.kindOf(0) === 'mem' ? readMemoryOperand(c, integer) : undefined
    const i = memory === undefined ? stackIndex(c) : I32.of(0)
    const toTop = memory !== undefined || c.kindOf(0) === 'st0'
    const source = memory === undefined ? (toTop ? i : I32.of(0)) : I32.of(MEMORY)
    const destination = toTop ? I32.of(0) : i
    const [left, right] = reverse ? [source, destination] : [destination, source]
    notePointers(c)
    const slow = (): void => {
      beginWith(c, memory)
      f.call(operate(c, operation), state, left, right, destination, I32.of(pops ? 1 : 0))
    }
    if (operation === 'div') {
      slow()
      return
    }
    const old = readStack(f, state, destination)
    const other = memory ?? readStack(f, state, source)
    const [a, b] = reverse ? [other, old] : [old, other]
    const word = operation === 'sub' ? b.word.xor(0x8000) : b.word
    const quick = quickArithmetic(c, operation === 'mul' ? 'mul' : 'add')
    f.block((done) => {
      f.if((memory?.isQuick ?? I32.of(1)).and(areThere(f, state, 0, i)), () => {
        const { significand } = b
        f.brIf(f.call(quick, state, a.significand, a.word, significand, word, destination, I32.of(pops ? 1 : 0)), done)
      })
      slow()
    })
  }
}

/** {@link compareStack}: an unmasked exception keeps the instruction from having a result. */
const NOT_COMPARED = -1

/**
 * (state, j, 1 for a quiet comparison, how many to pop), after `begin` → ZF, PF and CF of ST(0) against ST(j), or NOT_COMPARED. (AMD's
 * processors set the condition codes in that case too; the stack stays as it is on both.)
 */
function compareStack(c: Context): SharedFunction<'i32'> {
  return c.shared('x87.compare', ['i32', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const state = f.param(0, 'i32').get
    const [j, quiet, pops] = [f.param(1, 'i32').get, f.param(2, 'i32').get, f.param(3, 'i32').get]
    const relation = f.local('i32')
    f.if(
      isMissing(f, state, I32.of(0)).or(isMissing(f, state, j)),
      () => {
        raiseStackUnderflow(f, state)
        f.set(relation, I32.of(UNORDERED))
      },
      () => {
        f.call(loadOperand(c), state, state.add(SLOT_A), I32.of(0))
        f.call(loadOperand(c), state, state.add(SLOT_B), j)
        f.set(relation, f.call(compare(c), state, quiet))
      },
    )
    f.if(f.call(commit(c), state).eqz(), () => f.return(NOT_COMPARED))
    f.if(pops, () => f.call(pop(c), state))
    f.if(pops.eq(2), () => f.call(pop(c), state))
    f.return(relation.get)
  })
}

interface Comparison {
  readonly quiet?: boolean
  readonly pops?: 0 | 1 | 2
  readonly integer?: boolean
  /** The result goes to RFLAGS instead of the status word. */
  readonly flags?: boolean
}

function comparison({ quiet = false, pops = 0, integer = false, flags = false }: Comparison): (c: Context) => void {
  return (c) => {
    const { f, state } = c
    const memory = c.form.operands.length > 0 && c.kindOf(0) === 'mem' ? readMemoryOperand(c, integer) : undefined
    const i = memory !== undefined ? I32.of(0) : c.form.operands.length === 0 ? I32.of(1) : stackIndex(c)
    const other = memory ?? readStack(f, state, i)
    notePointers(c)
    const quickly = compared(f, readStack(f, state, 0), other)
    const isQuick = quickly.isQuick.and(areThere(f, state, 0, i)).and(memory?.isQuick ?? I32.of(1))
    const relation = f.ifElse(
      'i32',
      isQuick,
      () => {
        clearC1(f, state)
        for (let n = 0; n < pops; n++) quickPop(f, state)
        return quickly.relation
      },
      () => {
        beginWith(c, memory)
        const operand = memory === undefined ? i : I32.of(MEMORY)
        return f.call(compareStack(c), state, operand, I32.of(quiet ? 1 : 0), I32.of(pops))
      },
    )
    if (!flags) {
      f.if(relation.ne(NOT_COMPARED), () => setConditions(f, c.state, relation))
      return
    }
    // OF, SF and AF are cleared with or without an exception.
    const bits = f.ifElse(
      'i32',
      relation.eq(NOT_COMPARED),
      () => c.allFlags(),
      () => relation,
    )
    c.flagsExplicit(bits.and(FLAG_CF | FLAG_PF | FLAG_ZF).toI64U())
  }
}

/** C3, C2 and C0 lie in the status word as ZF, PF and CF in RFLAGS, eight bits higher. */
function setConditions(f: FunctionBuilder, state: I32, relation: I32): void {
  const status = f.loadExpression('i32.load', state, S_FSW).and(~(FSW_C0 | FSW_C2 | FSW_C3))
  f.store('i32.store', state, status.or(relation.shl(8)), S_FSW)
}

function test(c: Context): void {
  notePointers(c)
  beginWith(c, undefined)
  const zero = new Slot(c.f, c.state, F_TEMPORARY)
  zero.class = CLASS_ZERO
  zero.sign = I32.of(0)
  zero.denormal = I32.of(0)
  const relation = c.f.call(compareStack(c), c.state, I32.of(MEMORY), I32.of(0), I32.of(0))
  c.f.if(relation.ne(NOT_COMPARED), () => setConditions(c.f, c.state, relation))
}

/** An operation on ST(0) alone: `compute` leaves R. `bits`: significant bits of the result. */
export function unary(
  c: Context,
  name: string,
  compute: (f: FunctionBuilder, state: I32) => void,
  bits: (f: FunctionBuilder, state: I32) => I32,
): void {
  notePointers(c)
  const operation = c.shared(`x87.${name}`, ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    f.call(begin(c), state)
    unlessMissing(f, state, isEmpty(f, state, 0), () => {
      f.call(loadStack(c), state, state.add(SLOT_A), I32.of(0))
      compute(f, state)
    })
    f.call(storeResult(c), state, I32.of(0), f.call(finish80(c), state, bits(f, state)))
  })
  c.f.call(operation, c.state)
}

const ALL_BITS = (): I32 => I32.of(64)

function arithmeticTable(): SemanticsTable {
  const table: Record<string, Semantics> = {}
  for (const operation of ['add', 'mul', 'sub', 'div'] as const) {
    const name = operation.toUpperCase()
    const reversible = operation === 'sub' || operation === 'div'
    for (const reverse of reversible ? [false, true] : [false]) {
      const suffix = reverse ? 'R' : ''
      table[`F${name}${suffix}`] = { emit: arithmetic({ operation, reverse }) }
      table[`FI${name}${suffix}`] = { emit: arithmetic({ operation, reverse, integer: true }) }
      table[`F${name}${suffix}P`] = { emit: arithmetic({ operation, reverse, pop: true }) }
    }
  }
  return table
}

export const x87Arithmetic: SemanticsTable = {
  ...arithmeticTable(),
  FCOM: { emit: comparison({}) },
  FCOMP: { emit: comparison({ pops: 1 }) },
  FCOMPP: { emit: comparison({ pops: 2 }) },
  FICOM: { emit: comparison({ integer: true }) },
  FICOMP: { emit: comparison({ integer: true, pops: 1 }) },
  FUCOM: { emit: comparison({ quiet: true }) },
  FUCOMP: { emit: comparison({ quiet: true, pops: 1 }) },
  FUCOMPP: { emit: comparison({ quiet: true, pops: 2 }) },
  FCOMI: { emit: comparison({ flags: true }) },
  FCOMIP: { emit: comparison({ flags: true, pops: 1 }) },
  FUCOMI: { emit: comparison({ flags: true, quiet: true }) },
  FUCOMIP: { emit: comparison({ flags: true, quiet: true, pops: 1 }) },
  FTST: { emit: test },
  FSQRT: { emit: (c) => unary(c, 'sqrt', (f, state) => f.call(squareRoot(c), state), precision) },
  FRNDINT: {
    emit: (c) => unary(c, 'round', (f, state) => f.call(toIntegral(c), state, roundingMode(f, state)), ALL_BITS),
  },
}
