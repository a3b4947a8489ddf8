/** Consecutive guest frames of one kind. */
export interface GuestFrames {
  /** The first. */
  readonly gfn: number
  /** How many. */
  readonly count: number
  /** The frames' kind for the guest. */
  readonly kind: 'ram' | 'rom'
}

/** The part of a guest's state that a hypervisor keeps beside its domain. It is saved, put back and forked with the domain. */
export interface KeptByHypervisor {
  /** Whether a machine frame is a page of the hypervisor's own, which the guest may see: no RAM of the guest's. */
  owns(mfn: number): boolean
  /** Calls back with guest frames of RAM that are written at any time without a word. */
  heldForWriting(each: (gfn: number, count: number) => void): void
  /** All of it, as plain data. @throws an error with a code, naming what cannot be saved */
  save(): unknown
  /** Checks a state, which may come from anywhere. @param frames - the guest's, from low to high @throws an error with a code */
  check(state: unknown, frames: readonly GuestFrames[]): void
  /** Ends pending work, and uses of the guest's RAM, before the next two calls. */
  abandon(): void
  /**
   * Gives the guest the RAM that it had, with zeros where it comes, and puts the hypervisor's pages in their places.
   *
   * @param here - the frames of the guest's map as they are
   * @param frames - as they are to be
   */
  restoreMap(state: unknown, here: readonly GuestFrames[], frames: readonly GuestFrames[]): void
  /** Takes the rest of the state, once RAM, interrupt controllers and vCPUs have been restored. */
  restoreRest(state: unknown): void
  /** The domain's end: gives machine memory back. @param isAtRest - no device model can reach the pages any more */
  free(isAtRest: boolean): void
}
