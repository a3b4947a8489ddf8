// What `retrap run --stats json` counts, as far as the bench real prints it.

/** Counts of one run, or their difference. */
export interface Counts {
  /** Guest instructions retired. */
  readonly instructions: number
  /** Those of them that compiled code has executed. */
  readonly executed: number
  /** Guest instructions in the code that was compiled, and the same without those that were compiled before. */
  readonly compiled: number
  readonly distinct: number
  /** Milliseconds that compiling took. */
  readonly milliseconds: number
}

/**
 * Reads the statistics that a run has printed on stderr.
 *
 * @throws Error if there are none
 */
export function countsOf(stderr: string): Counts {
  const line = stderr.split('\n').find((text) => text.startsWith('{'))
  if (line === undefined) throw new Error(`no statistics in:\n${stderr}`)
  const { instructions, counts } = JSON.parse(line) as {
    instructions: number
    // Absent with --jit off.
    counts: { jit?: { executed: number; instructions: number; distinct: number; milliseconds: number } }
  }
  const { executed = 0, instructions: compiled = 0, distinct = 0, milliseconds = 0 } = counts.jit ?? {}
  return { instructions, executed, compiled, distinct, milliseconds }
}

/** What a run has counted beyond another one. */
export const minus = (counts: Counts, less: Counts): Counts => ({
  instructions: counts.instructions - less.instructions,
  executed: counts.executed - less.executed,
  compiled: counts.compiled - less.compiled,
  distinct: counts.distinct - less.distinct,
  milliseconds: counts.milliseconds - less.milliseconds,
})
