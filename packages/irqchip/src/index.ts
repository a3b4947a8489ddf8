export {
  InterruptFabric,
  interruptFabricBytes,
  type InterruptFabricOptions,
  type InterruptFabricState,
} from './fabric.ts'
export type { IrqLine } from './shared-lines.ts'
export { LOCAL_APIC_STATE_BYTES } from './apic-layout.ts'
export { LocalApic } from './local-apic.ts'
export type { StoredRegisters } from './local-apic.ts'
export type { LocalApicBus, LocalApicOptions } from './local-apic-options.ts'
export type { LocalApicState } from './local-apic-state.ts'
export type { TaskPriorityRecord } from './task-priority.ts'
export type { ApicEventsState } from './apic-events.ts'
export type { ApicTimerState } from './apic-timer.ts'
export type { LocalVectorTableState } from './local-vector-table.ts'
export type { VectorRegistersState } from './vector-registers.ts'
export { ApicBus, wideDestination, type IoApicPort } from './apic-bus.ts'
export {
  IOAPIC_ADDRESS,
  IOAPIC_PINS,
  MOST_IOAPIC_PINS,
  IOAPIC_STATE_BYTES,
  IoApic,
  type IoApicState,
  type SendMessage,
} from './ioapic.ts'
export { I8259_STATE_BYTES, I8259Pair, type I8259State, type PortHandler } from './i8259.ts'
export type { I8259ChipState } from './i8259-chip.ts'
export type { LvtEvents } from './local-vector-table.ts'
export type { ApicClock, ApicTimer, StateRegion } from './time.ts'
export { IrqchipError, type IrqchipErrorCode } from './errors.ts'
export {
  APIC_APR,
  APIC_BASE_ADDRESS,
  APIC_BASE_BSP,
  APIC_BASE_EN,
  APIC_BASE_EXTD,
  APIC_DFR,
  APIC_EOI,
  APIC_ESR,
  APIC_ICR,
  APIC_ICR2,
  APIC_ID,
  APIC_IRR,
  APIC_ISR,
  APIC_LDR,
  APIC_LVT_CMCI,
  APIC_LVT_ERROR,
  APIC_LVT_LINT0,
  APIC_LVT_LINT1,
  APIC_LVT_PMC,
  APIC_LVT_THERMAL,
  APIC_LVT_TIMER,
  APIC_PPR,
  APIC_RRD,
  APIC_SELF_IPI,
  APIC_SVR,
  APIC_TDCR,
  APIC_TMCCT,
  APIC_TMICT,
  APIC_TMR,
  APIC_TPR,
  APIC_VERSION,
  DESTINATION_ALL,
  DM_EXTINT,
  DM_FIXED,
  DM_INIT,
  DM_LOWEST,
  DM_NMI,
  DM_SMI,
  DM_STARTUP,
  ESR_ILLEGAL_REGISTER,
  ESR_RECEIVED_ILLEGAL_VECTOR,
  ESR_SEND_ILLEGAL_VECTOR,
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_SMI,
  ICR_LEVEL_ASSERT,
  ICR_LOGICAL,
  ICR_TRIGGER_LEVEL,
  LVT_LEVEL,
  LVT_MASKED,
  LVT_REMOTE_IRR,
  LVT_TIMER_MODE,
  LVT_TIMER_ONESHOT,
  LVT_TIMER_PERIODIC,
  LVT_TIMER_TSC_DEADLINE,
  MSR_APIC_BASE,
  MSR_TSC_DEADLINE,
  MSR_X2APIC_FIRST,
  MSR_X2APIC_LAST,
  SVR_ENABLE,
  SVR_SUPPRESS_EOI,
} from './apic-registers.ts'
