// What the reader of the exercise has done, which this browser keeps.
const KEY = 'retrap-exercise'

/** The progress of a reader. */
export interface Progress {
  readonly version: 1
  /** The source as it was last; null: as it came. */
  readonly source: string | null
  /** The line that writes over the byte has been named. */
  readonly isFound: boolean
  /** Checks that have passed once. */
  readonly passed: readonly string[]
}

/** Of somebody who begins. */
export const NO_PROGRESS: Progress = { version: 1, source: null, isFound: false, passed: [] }

/** Reads what this browser has kept. */
export function readProgress(): Progress {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? 'null') as Partial<Progress> | null
    return kept?.version === 1 && Array.isArray(kept.passed) ? { ...NO_PROGRESS, ...kept } : NO_PROGRESS
  } catch {
    return NO_PROGRESS
  }
}

/** Has this browser keep it, if it keeps anything. */
export function keepProgress(progress: Progress): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(progress))
  } catch {
    // The exercise goes on without.
  }
}
