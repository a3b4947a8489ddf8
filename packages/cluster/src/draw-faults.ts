import type { ClusterDescription, PlacedMachine } from './description.ts'
import { derivedSeed, type Seed } from './draws.ts'
import { drawFaults, type Fault } from './faults.ts'

/** A stretch of a run between two instants at which it may be forked: all of it follows from these and from the state at its begin. */
export interface Stretch {
  /** Seeds the draws of links and disks. */
  readonly number: number
  /** Nanoseconds. */
  readonly for: number
  /** The faults that begin, by their instants, which count from the begin of the stretch. They may last longer. */
  readonly faults: readonly Fault[]
}

/** The seed of a branch: 0 is the seed's own. */
export const seedOfBranch = (seed: Seed, branch: number): Seed =>
  branch === 0 ? seed : derivedSeed(seed, `branch ${branch}`)

/** The seed of a stretch. */
export const seedOfStretch = (seed: Seed, { number }: Pick<Stretch, 'number'>): Seed =>
  derivedSeed(seed, `stretch ${number}`)

/** The names of the machines that may have drawn faults: all but the one that drives the others, which is part of the test. */
function placesOf({ machines, workload }: ClusterDescription): readonly [all: string[], withDisks: string[]] {
  const tested = machines.filter(({ name }) => name !== workload?.on)
  const names = (some: readonly PlacedMachine[]): string[] => some.map(({ name }) => name)
  return [names(tested), names(tested.filter(({ disk }) => disk !== undefined))]
}

/** Draws the faults of a branch, by their instants. */
export function drawBranch(description: ClusterDescription, seed: Seed, branch: number): readonly Fault[] {
  const [names, withDisks] = placesOf(description)
  return drawFaults(description.faults, names, seedOfBranch(seed, branch), withDisks)
}

/** Draws a stretch, and adds the faults of the list that come in it. @param at - its begin, from the instant at which faults begin */
export function drawStretch(
  description: ClusterDescription,
  seed: Seed,
  { number, for: lasts }: Omit<Stretch, 'faults'>,
  at: number,
): Stretch {
  const { faults } = description
  const [names, withDisks] = placesOf(description)
  const list = faults.list.filter((fault) => fault.at >= at && fault.at < at + lasts)
  const wishes = { ...faults, for: lasts, list: list.map((fault) => ({ ...fault, at: fault.at - at })) }
  const drawn = drawFaults(wishes, names, seedOfStretch(seed, { number }), withDisks, faults.for - at)
  return { number, for: lasts, faults: drawn }
}

/** The faults of successive stretches, by their instants from the begin of the first stretch. */
export function faultsOf(path: readonly Stretch[]): readonly Fault[] {
  let begin = 0
  return path.flatMap(({ faults, for: lasts }) => {
    const from = begin
    begin += lasts
    return faults.map((fault) => ({ ...fault, at: from + fault.at }))
  })
}
