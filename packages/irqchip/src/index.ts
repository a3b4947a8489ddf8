export {
  InterruptFabric,
  interruptFabricBytes,
  type InterruptFabricOptions,
  type InterruptFabricState,
} from './fabric.ts'
export { attachLocalApic, type AttachedApicOptions } from './attached-apic.ts'
export type { IoApicPort } from './apic-bus.ts'
export { LocalApic } from './local-apic.ts'
export type { TaskPriorityRecord } from './local-apic-options.ts'
export { IOAPIC_ADDRESS, IoApic, type SendMessage } from './ioapic.ts'
export { I8259Pair } from './i8259.ts'
export type { ApicClock, ApicTimer } from './time.ts'
export { IrqchipError } from './arguments.ts'
export {
  APIC_APR,
  APIC_BASE_ADDRESS,
  APIC_BASE_EN,
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
  APIC_SVR,
  APIC_TDCR,
  APIC_TMCCT,
  APIC_TMICT,
  APIC_TMR,
  APIC_TPR,
  APIC_VERSION,
  EVENT_EXTINT,
  EVENT_INIT,
  EVENT_INTERRUPT,
  EVENT_NMI,
  EVENT_SIPI,
  EVENT_SMI,
  MSR_APIC_BASE,
  MSR_TSC_DEADLINE,
  MSR_X2APIC_FIRST,
  MSR_X2APIC_LAST,
  SVR_SUPPRESS_EOI,
} from './apic-registers.ts'
