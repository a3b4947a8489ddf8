import { STATUS_DONE, STATUS_EXIT, S_MONITOR_LINE } from '../state/state-layout.ts'
import { VECTOR_GP } from '../state/vectors.ts'
import { RAX, RCX } from '../state/architecture.ts'
import { segmentOf, type Handler } from './operands.ts'
import { lowPart } from './strings.ts'
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

export const monitorHandlers: Readonly<Record<string, Handler>> = { MONITOR: monitor, MWAIT: mwait }
