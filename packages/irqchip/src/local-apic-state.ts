import type { ApicTimerState } from './apic-timer.ts'

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

/** Holds the saved state of the registers with a bit for each vector: eight words each, the lowest vectors first. */
export interface VectorRegistersState {
  /** Interrupt request register. */
  readonly requests: readonly number[]
  /** In-service register. */
  readonly inService: readonly number[]
  /** Trigger mode register. */
  readonly triggerMode: readonly number[]
}

/** Holds the saved state of the local vector table: each entry, and the levels of the pins. */
export interface LocalVectorTableState {
  /** LVT CMCI. */
  readonly cmci: number
  /** LVT timer. */
  readonly timer: number
  /** LVT thermal monitor. */
  readonly thermal: number
  /** LVT performance counter. */
  readonly performance: number
  /** LVT LINT0. */
  readonly lint0: number
  /** LVT LINT1. */
  readonly lint1: number
  /** LVT error. */
  readonly error: number
  /** Levels of LINT0 and LINT1. */
  readonly pins: readonly [boolean, boolean]
}

/** Holds the saved state of the latched events. */
export interface ApicEventsState {
  /** An NMI is pending. */
  readonly nmi: boolean
  /** An SMI is pending. */
  readonly smi: boolean
  /** An INIT is pending. */
  readonly init: boolean
  /** Vector of a pending start-up message; −1 for none. */
  readonly startup: number
  /** An ExtINT message is pending. */
  readonly extInt: boolean
}
