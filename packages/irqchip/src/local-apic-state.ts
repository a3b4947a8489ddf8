import type { ApicTimerState } from './apic-timer.ts'

type Register =
  | 'baseLo'
  | 'baseHi'
  | 'taskPriority'
  | 'logicalDestination'
  | 'destinationFormat'
  | 'spuriousVector'
  | 'errorStatus'
  | 'errors'
  | 'commandLo'
  | 'commandHi'

/** Holds the saved state of a local APIC. Registers are unsigned words; `errors` are those since the last write of ESR. */
export interface LocalApicState extends Readonly<Record<Register, number>> {
  /** Version of this shape. */
  readonly version: 3
  /** Requests, services and trigger modes: eight words each, the lowest vectors first. */
  readonly vectors: Readonly<Record<'requests' | 'inService' | 'triggerMode', readonly number[]>>
  /** Local vector table, and the levels of LINT0 and LINT1. */
  readonly lvt: Readonly<
    Record<'cmci' | 'timer' | 'thermal' | 'performance' | 'lint0' | 'lint1' | 'error', number> & {
      pins: [boolean, boolean]
    }
  >
  /** Timer. */
  readonly timer: ApicTimerState
  /** Latched events; `startup` is the vector of a pending start-up message, −1 for none. */
  readonly events: Readonly<Record<'nmi' | 'smi' | 'init' | 'extInt', boolean> & { startup: number }>
}
