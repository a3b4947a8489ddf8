/** A system to boot: a row of the soak `boots`. */
export interface BootRow {
  readonly name: string
  /**
   * Boots it.
   *
   * @param scratch - a folder of its own
   * @param shared - one for what rows have in common
   * @returns what was wrong
   */
  run(scratch: string, shared: string): Promise<string | void>
}

export const DEADLINE_MS = 900_000
