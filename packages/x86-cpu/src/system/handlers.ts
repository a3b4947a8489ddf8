import { S_CR0, S_DR, STATUS_DONE, STATUS_EXIT, S_MONITOR_LINE } from '../state/state-layout.ts'
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
import { msrHandlers } from './msr.ts'
import { maskedMoveHandlers } from './masked-move.ts'
import { registerOffset, type Handler, segmentOf } from './operands.ts'
import { processorHandlers } from './processor.ts'
import { protectionKeyHandlers } from './protection-keys.ts'
import { popSegment, pushSegment, segmentHandlers, segmentMoves } from './segments/segment-instructions.ts'
import { softwareInterruptHandlers } from './segments/software-interrupts.ts'
import { stackHandlers } from './segments/stack-instructions.ts'
import { syscallHandlers } from './segments/syscall.ts'
import { stringHandlers, lowPart } from './strings.ts'
import { systemManagementHandlers } from './system-management.ts'
import { timeHandlers } from './time-stamp.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import { RAX, RCX } from '../state/architecture.ts'
import type { System } from './system.ts'
import * as systemState from '../state/system-state.ts'

/*
 * MONITOR and MWAIT. Source: SDM vol. 2B, "MONITOR", "MWAIT"; vol. 3A, "MONITOR/MWAIT Instruction".
 *
 * A false wake-up is allowed by the architecture, a missed one is not: whatever the manual names as an end of the
 * monitoring ends it here (`LineMonitor.trigger`), whether it comes before MWAIT or during it.
 */

/** IA32_MISC_ENABLE can take both instructions away, and only level 0 has them. */
function requireMonitor(s: System): void {
  if (s.cpl !== 0 || (s.get(systemState.S_MISC_ENABLE) & systemState.MISC_ENABLE_MONITOR) === 0) s.undefinedOpcode()
}

/** @param known - extensions that exist, as bits of ECX */
function checkExtensions(s: System, known: number): void {
  if ((s.gpr(RCX) & ~known) !== 0 || (s.mode64 && s.gprHi(RCX) !== 0)) s.raise(VECTOR_GP, 0)
}

// @isa: complete   0F 01 C8   MONITOR   "SDM vol. 2B, MONITOR"
const monitor: Handler = (s, record, form) => {
  requireMonitor(s)
  checkExtensions(s, 0)
  const { addressSize } = form
  s.linear(segmentOf(s, record), lowPart(s.gpr(RAX), addressSize), addressSize === 8 ? s.gprHi(RAX) : 0, 1, false)
  s.check(s.cpu.monitor(s.linLo, s.linHi))
  return STATUS_DONE
}

// @isa: complete   0F 01 C9   MWAIT   "SDM vol. 2B, MWAIT": the hints in EAX select nothing, for there is one way to wait
const mwait: Handler = (s, record) => {
  requireMonitor(s)
  checkExtensions(s, systemState.MWAIT_BREAKS)
  // Without an armed range it does nothing.
  if (s.get(S_MONITOR_LINE) === 0) return STATUS_DONE
  s.set(systemState.S_MWAIT_EXTENSIONS, s.gpr(RCX))
  s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_MWAIT)
  s.advance(record)
  return STATUS_EXIT
}

const monitorHandlers: Readonly<Record<string, Handler>> = { MONITOR: monitor, MWAIT: mwait }

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
