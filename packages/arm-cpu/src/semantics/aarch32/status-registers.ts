import { expandImmediateA32, type Form as Row } from '@retrap/arm-decoder'
import type { I32 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { bitsOfFlags, flagsOfBits } from '../flags.ts'
import { fieldOf } from '../../state/form.ts'
import { S_PSTATE } from '../../state/state-layout.ts'
import { S_HSTR_EL2, S_TPIDRRO_EL0, S_TPIDR_EL0 } from '../../state/places.ts'
import type { A32Semantics } from './semantics.ts'

/** MRS and MSR of CPSR's fields for EL0, and the thread registers. */

/** CPSR's Q and GE, and user mode. */
const Q_GE = 0x080f_0000
const Q = 0x0800_0000
const USER = 0x10
/** Fields of a mask: flags, and the status bits below them. */
const MASK_FLAGS = 8
const MASK_STATUS = 4

/** SPSR is not EL0's. */
const isCpsr = (row: Row, word: number): boolean => fieldOf(row, 'r', word) === 0

const read: A32Semantics = {
  selectors: '',
  suits: isCpsr,
  emit(c) {
    const others = c.f.loadExpression('i32.load', c.state, S_PSTATE).and(Q_GE)
    c.setD(bitsOfFlags(c.flags).or(others).or(USER).toI64U(), false)
  },
}

function writeStatus(c: ArmContext, mask: number, value: I32): void {
  if ((mask & MASK_FLAGS) !== 0) {
    const { f, state } = c
    const before = f.loadExpression('i32.load', state, S_PSTATE)
    f.store('i32.store', state, before.and(~Q).or(value.and(Q)), S_PSTATE)
    c.setFlags(flagsOfBits(value.shrU(28)))
  }
  if ((mask & MASK_STATUS) !== 0) setGe(c, value.shrU(16).and(15))
}

/** EL0 cannot write other fields of CPSR: writes are ignored. */
const write: A32Semantics = {
  selectors: 'o',
  suits: isCpsr,
  keepsTarget: true,
  immediate: (row, word) => (row.fields.has('i') ? BigInt(expandImmediateA32(fieldOf(row, 'i', word))) : 0n),
  emit(c, { row, values }) {
    writeStatus(c, values.get('o')!, c.let(row.fields.has('n') ? c.n(false).toI32() : c.immediate.toI32()))
  },
}

/** CPS and SETPAN do nothing at EL0. */
const nothing: A32Semantics = { selectors: '', keepsTarget: true, emit() {} }

/** TPIDRURW and TPIDRURO, c13 c0 2 and 3, unless accesses to c13 may be trapped. */
const threadRegister: A32Semantics = {
  selectors: '',
  kinds: 2,
  kindOf: (row, word) => fieldOf(row, 'q', word) & 1,
  suits(row, word) {
    const isOfThreads = fieldOf(row, 'o', word) === 0 && fieldOf(row, 'n', word) === 13 && fieldOf(row, 'm', word) === 0
    const q = fieldOf(row, 'q', word)
    return isOfThreads && (q === 2 || (q === 3 && row.name === 'MRC'))
  },
  emit(c, { row, kind }) {
    const { f, state } = c
    f.if(f.loadExpression('i32.load', state, S_HSTR_EL2), () => c.useHandler())
    if (row.name === 'MCR') f.store('i32.store', state, c.d(false).toI32(), S_TPIDR_EL0)
    else c.setD(f.loadExpression('i64.load32_u', state, kind === 1 ? S_TPIDRRO_EL0 : S_TPIDR_EL0), false)
  },
}

const SYSTEM: Readonly<Partial<Record<string, A32Semantics>>> = {
  MRS: read,
  MSR: write,
  CPS: nothing,
  CPSIE: nothing,
  CPSID: nothing,
  SETPAN: nothing,
}

/** The family's semantics of a row. */
export function statusRegisters(row: Row): A32Semantics | undefined {
  if (row.operation === 'coprocessor') {
    return row.operands.startsWith('p15') && row.fields.has('t') && row.fields.has('q') ? threadRegister : undefined
  }
  return row.operation !== 'system' || row.attributes.has('banked') ? undefined : SYSTEM[row.name]
}

/** PSTATE.Q and PSTATE.GE, which only AArch32 has. */

/** PSTATE.Q: something has been saturated, or has overflowed. */
const Q_SHIFT = 27
/** PSTATE.GE, four bits. */
const GE_SHIFT = 16
const GE: number = 15 << GE_SHIFT

/** Sets PSTATE.Q if a condition (0 or 1) holds. */
export function setQ({ f, state }: ArmContext, condition: I32): void {
  const before = f.loadExpression('i32.load', state, S_PSTATE)
  f.store('i32.store', state, before.or(condition.shl(Q_SHIFT)), S_PSTATE)
}

/** Sets PSTATE.GE to four bits. */
export function setGe({ f, state }: ArmContext, bits: I32): void {
  const before = f.loadExpression('i32.load', state, S_PSTATE)
  f.store('i32.store', state, before.and(~GE).or(bits.shl(GE_SHIFT)), S_PSTATE)
}

/** PSTATE.GE, in bits 3 to 0. */
export const ge = ({ f, state }: ArmContext): I32 => f.load('i32.load', state, S_PSTATE).shrU(GE_SHIFT).and(15)
