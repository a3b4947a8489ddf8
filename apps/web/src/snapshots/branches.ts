import type { SavedMachine } from '../saved-machines.ts'

/** Position of a saved machine on the time line. */
export interface Place {
  readonly saved: SavedMachine
  /** Counts from the left, by time. */
  readonly column: number
  /** Counts from the top: a machine that goes on goes on in its line, and a fork has a line of its own. */
  readonly line: number
  /** Number of the place that the snapshot continued; null: none. */
  readonly parent: number | null
}

/** Lays saved machines out. @param all - the oldest first */
export function branchesOf(all: readonly SavedMachine[]): readonly Place[] {
  const places: Place[] = []
  let lines = 0
  for (const [column, saved] of all.entries()) {
    const at = places.findIndex((place) => place.saved.id === saved.parent)
    const parent = at < 0 ? null : at
    const goesOn = parent !== null && !places.some((place) => place.parent === parent)
    places.push({ saved, column, line: goesOn ? places[parent]!.line : lines++, parent })
  }
  return places
}
