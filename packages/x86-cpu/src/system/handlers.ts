import { S_CR0, S_DR } from '../state/state-layout.ts'
import { controlHandlers, controlMoves } from './control-registers.ts'
import { cpuidHandlers } from './cpuid.ts'
import { debugMoves } from './debug.ts'
import { farHandlers } from './segments/far-transfer.ts'
import { gatherHandlers } from './gather.ts'
import { returnHandlers } from './segments/far-return.ts'
import { flagHandlers } from './flags.ts'
import { fpuEnvironmentHandlers } from './fpu/fpu-environment.ts'
import { fpuStateHandlers } from './fpu/fpu-state.ts'
import { interruptReturnHandlers } from './segments/interrupt-return.ts'
import { ioHandlers } from './io.ts'
import { monitorHandlers } from './monitor.ts'
import { msrHandlers } from './msr.ts'
import { maskedMoveHandlers } from './masked-move.ts'
import { registerOffset, type Handler } from './operands.ts'
import { processorHandlers } from './processor.ts'
import { protectionKeyHandlers } from './protection-keys.ts'
import { popSegment, pushSegment, segmentHandlers, segmentMoves } from './segments/segment-instructions.ts'
import { softwareInterruptHandlers } from './segments/software-interrupts.ts'
import { stackHandlers } from './segments/stack-instructions.ts'
import { syscallHandlers } from './segments/syscall.ts'
import { stringHandlers } from './strings.ts'
import { systemManagementHandlers } from './system-management.ts'
import { timeHandlers } from './time-stamp.ts'

/** MOV, PUSH and POP with a system register: which kind it is shows in the register's state offset. */
const moveSystem: Handler = (s, record, form) => {
  const to = form.operands[0]?.kind === 'system'
  const offset = registerOffset(s, record, to ? 0 : 1)
  const kind = offset >= S_DR ? debugMoves : offset >= S_CR0 ? controlMoves : segmentMoves
  return (to ? kind.to : kind.from)(s, record, form)
}

/**
 * Handlers by mnemonic, as x86-decoder spells it. MOV, PUSH and POP are those with segment, control and debug registers.
 *
 * The record's operands for them: segment, control and debug register operands as state offsets (S_SEGMENTS + 32 n; S_CR0, S_CR2,
 * S_CR3, S_CR4, S_CR8; S_DR + 8 n) in the field of their operand number. Far pointers in the instruction: offset in R_IMM,
 * selector in R_IMM + 4; ENTER: size in R_IMM, level in R_IMM + 4. The first memory operand's effective linear address is in
 * S_EA; string operands and MASKMOV make their own from R_SEGMENT and `form.addressSize`. `form.size` is the operand size in
 * bytes.
 */
export const handlers: Readonly<Record<string, Handler>> = {
  ...segmentHandlers,
  ...farHandlers,
  ...returnHandlers,
  ...interruptReturnHandlers,
  ...softwareInterruptHandlers,
  ...controlHandlers,
  ...msrHandlers,
  ...timeHandlers,
  ...cpuidHandlers,
  ...syscallHandlers,
  ...flagHandlers,
  ...stackHandlers,
  ...processorHandlers,
  ...protectionKeyHandlers,
  ...monitorHandlers,
  ...systemManagementHandlers,
  ...ioHandlers,
  ...stringHandlers,
  ...fpuStateHandlers,
  ...fpuEnvironmentHandlers,
  ...maskedMoveHandlers,
  ...gatherHandlers,
  MOV: moveSystem,
  PUSH: pushSegment,
  POP: popSegment,
}
