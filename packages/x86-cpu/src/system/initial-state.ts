import { setSegment, setTableRegister } from './segments/segment-cache.ts'
import type { System } from './system.ts'
import * as systemState from '../state/system-state.ts'
import { GDTR, IDTR, S_CR0, S_CR3, S_CR4, S_EFER, S_GPR, S_RIP, S_SHADOW } from '../state/state-layout.ts'

/** Names of the general registers, in the order of their numbers. */
// prettier-ignore
export const REGISTER_NAMES = [
  'rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15',
] as const
/** Names of the segment registers, in the order of their numbers. */
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const

/** The registers that a boot protocol wants; those not named are zero. */
export interface InitialCpuState {
  /** General registers, RIP and RFLAGS; absent ones are 0. */
  readonly registers: Readonly<Partial<Record<(typeof REGISTER_NAMES)[number] | 'rip' | 'rflags', number>>>
  /** Limits in bytes; attributes as descriptor bits 55:40. */
  readonly segments: Readonly<
    Record<
      (typeof SEGMENT_NAMES)[number],
      { readonly selector: number; readonly base: number; readonly limit: number; readonly attributes: number }
    >
  >
  /** Global descriptor table register. */
  readonly gdtr: { readonly base: number; readonly limit: number }
  /** Interrupt descriptor table register. */
  readonly idtr: { readonly base: number; readonly limit: number }
  /** CR0. */
  readonly cr0: number
  /** CR3. */
  readonly cr3: number
  /** CR4. */
  readonly cr4: number
  /** EFER. */
  readonly efer: number
}

/** Writes the state as given, and lets nothing wait or be held off any more; without the checks that instructions make. */
export function loadInitialState(s: System, state: InitialCpuState): void {
  const { registers, segments } = state
  const set = (offset: number, value: number): void => s.set64(offset, value >>> 0, Math.floor(value / 0x1_0000_0000))
  for (const [i, name] of REGISTER_NAMES.entries()) set(S_GPR + 8 * i, registers[name] ?? 0)
  set(S_RIP, registers.rip ?? 0)
  s.cpu.setRflags(registers.rflags ?? 2)
  s.set(systemState.S_ACTIVITY, systemState.ACTIVITY_RUNNING)
  for (const [i, name] of SEGMENT_NAMES.entries()) {
    const { selector, base, limit, attributes } = segments[name]
    setSegment(s, i, selector, base, 0, limit, attributes)
  }
  setTableRegister(s, GDTR, state.gdtr.base, 0, state.gdtr.limit)
  setTableRegister(s, IDTR, state.idtr.base, 0, state.idtr.limit)
  set(S_CR0, state.cr0 >>> 0)
  set(S_CR3, state.cr3)
  set(S_CR4, state.cr4)
  set(S_EFER, state.efer)
  for (const offset of [
    S_SHADOW,
    systemState.S_PENDING_DEBUG,
    systemState.S_PENDING_FAULT,
    systemState.S_SMM,
    systemState.S_IO_STATE,
  ])
    s.set(offset, 0)
}
