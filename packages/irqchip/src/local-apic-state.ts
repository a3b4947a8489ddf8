import type { ApicEventsState } from './apic-events.ts'
import type { ApicTimerState } from './apic-timer.ts'
import type { LocalVectorTableState } from './local-vector-table.ts'
import type { VectorRegistersState } from './vector-registers.ts'

/** Holds the saved state of a local APIC. Registers are unsigned words. */
export interface LocalApicState {
  /** Version of this shape. */
  readonly version: 3
  /** IA32_APIC_BASE, low word. */
  readonly baseLo: number
  /** IA32_APIC_BASE, high word. */
  readonly baseHi: number
  /** Task-priority register. */
  readonly taskPriority: number
  /** Logical destination register. */
  readonly logicalDestination: number
  /** Destination format register. */
  readonly destinationFormat: number
  /** Spurious-interrupt vector register. */
  readonly spuriousVector: number
  /** Error status register, as it reads. */
  readonly errorStatus: number
  /** Errors since the last write of the error status register. */
  readonly errors: number
  /** Interrupt command register, low word. */
  readonly commandLo: number
  /** Interrupt command register, high word. */
  readonly commandHi: number
  /** Requests, services and trigger modes. */
  readonly vectors: VectorRegistersState
  /** Local vector table and pins. */
  readonly lvt: LocalVectorTableState
  /** Timer. */
  readonly timer: ApicTimerState
  /** Latched events. */
  readonly events: ApicEventsState
}
