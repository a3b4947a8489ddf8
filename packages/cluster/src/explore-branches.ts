import type { ClusterOptions } from './cluster.ts'
import type { ClusterDescription } from './description.ts'
import { drawBranch } from './draw-faults.ts'
import { Draws } from './draws.ts'
import type { Fault } from './faults.ts'
import { type BranchRun, type Lane, LanePool } from './lanes/lane.ts'
import { Novelty } from './novelty.ts'
import { kindOf, needed } from './reduce.ts'
import { Properties, type Property } from './reports.ts'
import type { ClusterResult } from './result.ts'

/** A branch that has failed. */
export interface FailedBranch {
  /** How many branches were gone until then, this one included. */
  readonly branch: number
  /** The branch that it goes on from: `number` of a `Branch`, without which the same faults do something else. */
  readonly root: number
  /** How it has ended, with all of its faults. */
  readonly result: ClusterResult
  /** The faults without which it does not fail so. */
  readonly faults: readonly Fault[]
  /** The failure that comes by these faults: the same property or program, maybe with other details. */
  readonly failure: string
}

/** Options of {@link exploreBranches}. */
export interface BranchesOptions extends Pick<ClusterOptions, 'signal'> {
  /** Asked before each branch whether there is to be another one; a failure is reduced in any case. */
  readonly goesOn: () => boolean
  /** The number of the first branch (1). Branches with lower numbers are gone elsewhere, and nothing is known of them here. */
  readonly first?: number
  /** Whether to go on after a failure. */
  readonly keepsGoing?: boolean
  /** Whether each branch has faults that are drawn afresh, whatever the others have reached. */
  readonly isBlind?: boolean
  /** Called with each branch that has ended. @param news - how much only it has reached @param depth - how many branches it goes on from */
  readonly onBranch?: (branch: number, result: ClusterResult, news: number, depth: number) => void
  /** Called with each try to fail with fewer faults. @param isSame - it fails as the branch did */
  readonly onTry?: (faults: readonly Fault[], result: ClusterResult, isSame: boolean) => void
}

/** The most lanes that are of use: a branch is decided on while as many before it run, or wait for a lane. */
export const MOST_LANES = 4

/** A branch whose faults are decided. */
interface Planned {
  readonly branch: number
  readonly root: number
  /** Branches that it goes on from, one after the other. */
  readonly depth: number
  readonly faults: readonly Fault[]
}

/** A branch that has reached something new. */
interface Start extends Omit<Planned, 'branch'> {
  /** The instants of what was new, from the one at which faults begin. */
  readonly instants: readonly number[]
}

/**
 * Goes on from the instant at which all is ready in one branch after another. Branches that reach something new (an assertion, a
 * shape of a line, an edge between two shapes) are gone on from: with the same faults until an instant at which something was
 * new, or with some of them moved. A branch follows from the seed and from those that are {@link MOST_LANES} or more before it, and not from
 * the host's time, nor from the number of lanes. The faults of a branch that fails are reduced to those that are needed.
 *
 * @param lanes - of this description and seed, at least one; they are closed at the end
 * @returns the failures, how many branches were run, and what programs have reported in all of them
 * @throws errors of a lane
 */
export async function exploreBranches(
  description: ClusterDescription,
  seed: number,
  lanes: readonly Lane[],
  { goesOn, first = 1, keepsGoing = false, isBlind = false, onBranch, onTry, signal }: BranchesOptions,
): Promise<{
  readonly findings: readonly FailedBranch[]
  readonly branches: number
  readonly properties: readonly Property[]
}> {
  const { begin } = lanes[0]!
  const pool = new LanePool(lanes)
  const isStopped = (): boolean => signal?.aborted === true
  const novelty = new Novelty()
  const starts: Start[] = []
  const planned: Planned[] = []
  const findings: FailedBranch[] = []
  const properties = new Properties()
  let branches = 0

  const plan = (branch: number): void => {
    const drawn = { root: branch, depth: 0, faults: drawBranch(description, seed, branch) }
    const draws = new Draws(seed, `explore ${branch}`)
    planned.push({ branch, ...(isBlind ? drawn : changed(starts, drawn, description.faults, draws)) })
  }

  /** Takes note of a branch, and reduces its faults if it has failed. */
  const note = async ({ branch, root, depth, faults }: Planned, { result, reached }: BranchRun): Promise<void> => {
    const instants = novelty.news(reached).map((ns) => ns - begin)
    if (instants.length > 0) starts.push({ root, depth, faults, instants })
    properties.add(result.properties)
    onBranch?.(branch, result, instants.length, depth)
    if (result.failure === undefined) return
    let failure: string = result.failure
    const runs = new Map<string, Promise<BranchRun>>()
    const told = new Set<Promise<BranchRun>>()
    const attempt = (some: readonly Fault[]): Promise<BranchRun> => {
      const key = JSON.stringify(some)
      const run = runs.get(key) ?? pool.use((lane) => lane.run({ number: root, faults: some }))
      runs.set(key, run)
      return run
    }
    const fails = async (some: readonly Fault[], next: readonly Fault[] | undefined): Promise<boolean> => {
      if (isStopped()) return false
      const run = attempt(some)
      // An idle lane tries the list that follows if this one does not fail so.
      if (next !== undefined && pool.idle > 0) void attempt(next)
      const { result: again } = await run
      if (isStopped()) return false
      const isSame = kindOf(again.failure) === kindOf(result.failure)
      if (!told.has(run)) onTry?.(some, again, isSame)
      told.add(run)
      // Reduction goes on from here.
      if (isSame) failure = again.failure!
      return isSame
    }
    // Faults that would have come later were none.
    const came = faults.filter(({ at }) => begin + at <= result.ns)
    findings.push({ branch, root, result, faults: await needed(came, fails), failure })
  }

  try {
    for (let i = 0; i < MOST_LANES; i++) plan(first + i)
    const running = new Map<Planned, Promise<BranchRun>>()
    const ended = new Map<number, readonly [Planned, BranchRun]>()
    while (keepsGoing || findings.length === 0) {
      while (pool.idle > 0 && planned.length > 0 && goesOn() && !isStopped()) {
        const next = planned.shift()!
        running.set(
          next,
          pool.use((lane) => lane.run({ number: next.root, faults: next.faults })),
        )
      }
      if (running.size === 0 || isStopped()) break
      const all = [...running].map(async ([one, run]) => [one, await run] as const)
      const one = await Promise.race(all)
      running.delete(one[0])
      ended.set(one[0].branch, one)
      for (let head = ended.get(first + branches); head !== undefined; head = ended.get(first + branches)) {
        if (isStopped() || (findings.length > 0 && !keepsGoing)) break
        branches++
        await note(...head)
        plan(first + branches - 1 + MOST_LANES)
      }
    }
  } finally {
    for (const lane of lanes) lane.close()
  }
  return { findings, branches, properties: properties.all }
}

/** One branch in this many has nothing to do with those before it. */
const FRESH = 4
/** Of the branches that have reached something new, this many last ones are preferred. */
const RECENT = 4

/** Decides on the faults of a branch: they go on from those of one that has reached something new, or are those that were drawn. */
function changed(
  starts: readonly Start[],
  drawn: Omit<Planned, 'branch'>,
  { list, for: within }: ClusterDescription['faults'],
  draws: Draws,
): Omit<Planned, 'branch'> {
  if (starts.length === 0 || draws.happens(1 / FRESH)) return drawn
  const { root, depth: before, faults, instants } = draws.pick(draws.happens(0.5) ? starts.slice(-RECENT) : starts)
  const depth = before + 1
  if (draws.happens(0.5)) {
    // All is the same until something was new.
    const instant = draws.pick(instants)
    const same = faults.filter(({ at }) => at < instant)
    return { root, depth, faults: sorted([...same, ...drawn.faults.filter(({ at }) => at >= instant)]) }
  }
  const isDrawn = (fault: Fault): boolean => !list.includes(fault)
  const kept = faults
    .filter((fault) => isDrawn(fault) && !draws.happens(0.2))
    .map((fault) =>
      draws.happens(0.3) ? { ...fault, at: Math.round(draws.fraction() * (within - fault.for)) } : fault,
    )
  const others = drawn.faults.filter(isDrawn)
  const more = others.length === 0 ? [] : [draws.pick(others)]
  return { root, depth, faults: sorted([...kept, ...more, ...list]) }
}

const sorted = (faults: readonly Fault[]): Fault[] => faults.toSorted((one, other) => one.at - other.at)
