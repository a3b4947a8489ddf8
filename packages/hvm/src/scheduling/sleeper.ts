/** How a domain waits; supplied by the program that knows the host. */
export interface Sleeper {
  /**
   * Waits until `ms` milliseconds have passed or `wake` is called, and lets the event loop run.
   *
   * @param ms - `Infinity`: until woken. 0: until the event loop has had one turn, which `wake` does not cut short, and
   *   another wait may be under way
   */
  sleep(ms: number): Promise<void>
  /** Ends a wait. */
  wake(): void
}
