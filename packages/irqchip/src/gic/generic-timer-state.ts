/** Holds the saved state of one timer: its control register (ENABLE and IMASK), and the count that it waits for. */
export interface GenericTimerState extends Readonly<Record<'control' | 'compareLo' | 'compareHi', number>> {
  /** Whether the timer's interrupt is asserted. */
  readonly asserted: boolean
}

/** Holds the saved state of `GenericTimers`. */
export interface GenericTimersState {
  /** Version of this shape. */
  readonly version: 1
  /** State of each vCPU. */
  readonly cpus: readonly {
    /** Virtual timer. */
    readonly virtual: GenericTimerState
    /** Physical timer. */
    readonly physical: GenericTimerState
    /** CNTKCTL_EL1. */
    readonly kernelControl: number
    /** CNTVOFF_EL2, low word. */
    readonly offsetLo: number
    /** CNTVOFF_EL2, high word. */
    readonly offsetHi: number
    /** Whether the vCPU waits for an event. */
    readonly waits: boolean
    /** When the machine looks at this vCPU's timers next, which may be due: low word. */
    readonly deadlineLo: number
    /** High word of the deadline; all ones in both: never. */
    readonly deadlineHi: number
  }[]
}
