import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import * as S from '../../state/state-layout.ts'
import { VECTOR_MF, VECTOR_NM } from '../../state/vectors.ts'
import { CR0_MP, CR0_TS } from '../../state/architecture.ts'
import { type Context, direct, type SemanticsTable } from '../context.ts'
import { FSW_C1, FSW_SUMMARY, enterX87, notePointers, pop, stackIndex } from './stack.ts'

/** x87 control. Source: Intel SDM vol. 2, FINIT, FCLEX, FLDCW, FSTCW, FSTSW, FINCSTP, FFREE, WAIT. */

const FCW_INITIAL = 0x37f
/** Bits of the control word that exist; bit 6 reads as one. */
const FCW_BITS = 0x1f3f
const FCW_ALWAYS = 0x40
const EXCEPTIONS = 0x3f
/** Cleared by FNCLEX: exceptions, stack fault, summary and busy. */
const FSW_CLEARED = 0x80ff
/** WAIT raises #NM where both are set. */
const CR0_MP_TS = CR0_MP | CR0_TS
const FSW_ES = 0x80

/** (state): ES and B as masks and flags have it. */
function summarise(f: FunctionBuilder, state: I32): void {
  const status = f.let(f.loadExpression('i32.load', state, S.S_FSW).and(~FSW_SUMMARY))
  const pending = status.and(f.loadExpression('i32.load', state, S.S_FCW).xor(-1)).and(EXCEPTIONS)
  f.store('i32.store', state, status.or(select(pending, I32.of(FSW_SUMMARY), I32.of(0))), S.S_FSW)
}

function initialise(c: Context): void {
  c.requireX87()
  const { f, state } = c
  f.store('i32.store', state, I32.of(FCW_INITIAL), S.S_FCW)
  f.store('i32.store', state, I32.of(0xff), S.S_FTAG_EMPTY)
  for (const field of [S.S_FSW, S.S_FTOP, S.S_FOP, S.S_FCS, S.S_FDS]) f.store('i32.store', state, I32.of(0), field)
  for (const field of [S.S_FIP, S.S_FDP]) f.store('i64.store', state, I64.of(0), field)
}

function loadControl(c: Context): void {
  enterX87(c)
  const { f, state } = c
  const value = c.readU(0).toI32()
  f.store('i32.store', state, value.and(FCW_BITS).or(FCW_ALWAYS), S.S_FCW)
  // An exception that is unmasked now is raised by the next waiting instruction.
  summarise(f, state)
}

function storeStatus(c: Context): void {
  c.requireX87()
  const { f, state } = c
  const top = f.loadExpression('i32.load', state, S.S_FTOP).shl(11)
  c.write(0, c.let(f.loadExpression('i32.load', state, S.S_FSW).or(top).toI64U()))
}

/** FINCSTP, FDECSTP: tags stay. */
function turn(step: 1 | -1): (c: Context) => void {
  return (c) => {
    enterX87(c)
    notePointers(c)
    const { f, state } = c
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FTOP).add(step).and(7), S.S_FTOP)
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FSW).and(~FSW_C1), S.S_FSW)
  }
}

function free(pops: boolean): (c: Context) => void {
  return (c) => {
    enterX87(c)
    notePointers(c)
    const { f, state } = c
    const register = f.loadExpression('i32.load', state, S.S_FTOP).add(stackIndex(c)).and(7)
    f.store(
      'i32.store',
      state,
      f.loadExpression('i32.load', state, S.S_FTAG_EMPTY).or(I32.of(1).shl(register)),
      S.S_FTAG_EMPTY,
    )
    f.store('i32.store', state, f.loadExpression('i32.load', state, S.S_FSW).and(~FSW_C1), S.S_FSW)
    if (pops) f.call(pop(c), state)
  }
}

/** The interrupts and modes of the 8087 and 80287 do nothing since. */
function nothing(c: Context): void {
  c.requireX87()
}

export const x87Control: SemanticsTable = {
  FNINIT: { emit: initialise },
  FNCLEX: {
    emit: (c) => {
      c.requireX87()
      c.f.store('i32.store', c.state, c.f.loadExpression('i32.load', c.state, S.S_FSW).and(~FSW_CLEARED), S.S_FSW)
    },
  },
  FLDCW: { emit: loadControl },
  FNSTCW: direct((c) => {
    c.requireX87()
    c.write(0, c.f.load('i64.load32_u', c.state, S.S_FCW))
  }),
  FNSTSW: { emit: storeStatus, direct: true },
  FINCSTP: { emit: turn(1) },
  FDECSTP: { emit: turn(-1) },
  FFREE: { emit: free(false) },
  FFREEP: { emit: free(true) },
  FNOP: {
    emit: (c) => {
      enterX87(c)
      notePointers(c)
    },
  },
  FNENI: { emit: nothing },
  FNDISI: { emit: nothing },
  FNSETPM: { emit: nothing },
  FWAIT: {
    emit: (c) => {
      const { f, state } = c
      f.if(f.loadExpression('i32.load', state, S.S_CR0).and(CR0_MP_TS).eq(CR0_MP_TS), () => c.raise(VECTOR_NM))
      f.if(f.loadExpression('i32.load', state, S.S_FSW).and(FSW_ES), () => c.raise(VECTOR_MF))
    },
  },
}
