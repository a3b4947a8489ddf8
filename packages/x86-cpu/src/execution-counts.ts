/** How much an executor has done, by kind. */
export interface ExecutionCounts {
  /** Instructions executed by TypeScript handlers. */
  systemCalls: number
  /** Exceptions that instructions raised. */
  faults: number
  /** External interrupts delivered. */
  interrupts: number
  /** Instructions that waited or needed a logged pass. */
  loggedPasses: number
  /** Instructions executed one by one. */
  steps: number
}
