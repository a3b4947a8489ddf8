import { VECTOR_DB, VECTOR_GP } from '../state/vectors.ts'
import * as S from '../state/state-layout.ts'
import { CR4_DE, DR6_ONES, DR6_WRITABLE, DR7_ONES, DR7_WRITABLE } from '../state/architecture.ts'
import { matchInstructionBreakpoints } from './breakpoints.ts'
import type { PendingEvent } from './events.ts'
import { registerOffset, type Handler } from './operands.ts'
import type { System } from './system.ts'
import { S_PENDING_DEBUG, S_PENDING_FAULT, S_REPEATING, S_STEP_SUPPRESSED } from '../state/system-state.ts'

/** DR6.BD: an access of a debug register while DR7.GD is set. */
const DR6_BD = 1 << 13
/** DR6.BS: single step. */
const DR6_BS = 1 << 14
const DR7_GD = 1 << 13

/** The debug register that an operand names, 4 and 5 as their aliases or #UD. */
function debugRegister(s: System, offset: number): number {
  const number = (offset - S.S_DR) / 8
  if (number !== 4 && number !== 5) return number
  if ((s.get(S.S_CR4) & CR4_DE) !== 0) s.undefinedOpcode()
  return number + 2
}

/** General detect: any access of the debug registers while GD is set. The conditions go in the error code's place. */
function checkGeneralDetect(s: System): void {
  if ((s.get(S.S_DR + 7 * 8) & DR7_GD) === 0) return
  s.set(S.S_FAULT_VECTOR, VECTOR_DB)
  s.set(S.S_FAULT_ERROR, DR6_BD)
  s.set(S.S_FAULT_HAS_ERROR, 0)
  s.abandon(S.STATUS_FAULT)
}

// @isa: complete   0F 23 /r   MOV DRn, r   "SDM vol. 2B, MOV—Move to/from Debug Registers"
const movToDebug: Handler = (s, record) => {
  const offset = registerOffset(s, record, 0)
  const number = debugRegister(s, offset)
  s.requireCpl0()
  checkGeneralDetect(s)
  const source = registerOffset(s, record, 1)
  const lo = s.get(source)
  const hi = s.mode64 ? s.get(source + 4) : 0
  if (number >= 6) {
    if (hi !== 0) s.raise(VECTOR_GP, 0)
    if (number === 6) s.set64(S.S_DR + 48, (lo & DR6_WRITABLE) | DR6_ONES, 0)
    else s.set64(S.S_DR + 56, (lo & DR7_WRITABLE) | DR7_ONES, 0)
  } else s.set64(S.S_DR + 8 * number, lo, hi)
  // Which pages may be in the TLB, and whether instructions run one at a time, depends on the breakpoints.
  s.cpu.flushTlb(true)
  s.advance(record)
  return S.STATUS_EXIT
}

// @isa: complete   0F 21 /r   MOV r, DRn   "SDM vol. 2B, MOV—Move to/from Debug Registers"
const movFromDebug: Handler = (s, record) => {
  const offset = registerOffset(s, record, 1)
  const number = debugRegister(s, offset)
  s.requireCpl0()
  checkGeneralDetect(s)
  const from = S.S_DR + 8 * number
  s.set64(registerOffset(s, record, 0), s.get(from), s.mode64 ? s.get(from + 4) : 0)
  return S.STATUS_DONE
}

/**
 * Before an instruction, once, not again for further passes: its breakpoints. RF lets one instruction go without, and is
 * cleared here.
 *
 * @returns whether `event` is a #DB that is to be delivered in the instruction's stead
 */
export function checkInstructionBreakpoint(s: System, event: PendingEvent): boolean {
  if ((s.get(S.S_SHADOW) & S.SHADOW_MOV_SS) !== 0) return false
  // On hardware RF stays until the last iteration: between two of them no breakpoint is met again.
  const conditions = s.get(S_REPEATING) === 0 ? matchInstructionBreakpoints(s) : 0
  s.set(S.S_EFLAGS, s.get(S.S_EFLAGS) & ~S.FLAG_RF)
  if (conditions === 0) return false
  event.setDebug(conditions)
  return true
}

/**
 * After an instruction or an iteration that retired, and after the delivery of an event: gathers what has become due.
 *
 * @param stepping - whether TF was set when the instruction began
 * @returns whether `event` is to be delivered before anything else: the fault that a task switch ended with in its new
 *   task, or a #DB trap of data or I/O breakpoints, task switch and single step
 */
export function afterInstruction(s: System, stepping: boolean, event: PendingEvent): boolean {
  const suppressed = s.get(S_STEP_SUPPRESSED) !== 0
  s.set(S_STEP_SUPPRESSED, 0)
  if (s.get(S_PENDING_FAULT) !== 0) {
    // The trap of the T flag stays pending until this exception's handler has been entered.
    event.latchPendingFault(s)
    s.set(S_PENDING_FAULT, 0)
    return true
  }
  // After MOV SS and POP SS traps wait for the next instruction.
  if ((s.get(S.S_SHADOW) & S.SHADOW_MOV_SS) !== 0) return false
  let conditions = s.get(S_PENDING_DEBUG)
  if (stepping && !suppressed) conditions |= DR6_BS
  if (conditions === 0) return false
  s.set(S_PENDING_DEBUG, 0)
  event.setDebug(conditions)
  return true
}

/** MOV to and from. */
export const debugMoves: { readonly to: Handler; readonly from: Handler } = { to: movToDebug, from: movFromDebug }
