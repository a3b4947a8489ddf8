/**
 * Decides when what comes from outside enters a domain on deterministic time: keys, packets, a press of the power button.
 * Rounds of the vCPUs ask it between two of them, so that a recorded run can be given the same inputs at the same instants.
 */
export interface OutsideInputs {
  /**
   * Gives inputs to their models, before a round begins.
   *
   * @param moved - since the last call something has happened by itself: a vCPU has executed, a timer has fired, or time has
   *   gone on. This follows from what the guest executes, so that such calls can be counted
   * @returns what is to be awaited first: it is asked again then, with false. Null: the round begins
   */
  begin(moved: boolean): Promise<unknown> | null
  /**
   * All vCPUs wait, and no timer is armed: nothing happens without an input.
   *
   * @returns what is to be awaited; null: until something wakes the domain
   */
  idle(): Promise<unknown> | null
  /** The machine is about to wait for the host, which is busy with something that the guest asked for. */
  waits(): void
  /**
   * Limits what a vCPU executes before the others have their turns; it goes on with its turn afterwards.
   *
   * @param most - what is left of its turn, which may be zero or less
   * @returns at most `most`; null where the domain has been stopped
   */
  budget(most: number): number | null
  /** The next instruction is executed alone: the domain is to stop soon, and exactly somewhere. Asked after `budget`. */
  readonly alone: boolean
}
