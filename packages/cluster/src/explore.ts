import { Cluster, type ClusterOptions } from './cluster.ts'
import type { ClusterDescription } from './description.ts'
import { Draws } from './draws.ts'
import { ClusterError } from './errors.ts'
import type { Fault } from './faults.ts'
import type { ClusterHost } from './host.ts'
import { Novelty } from './novelty.ts'
import type { ClusterResult } from './result.ts'

/** A branch that has failed. */
export interface Finding {
  /** The number of the branch. */
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

/** Options of {@link explore}. */
export interface ExploreOptions extends Pick<ClusterOptions, 'signal'> {
  /** Asked before each branch whether there is to be another one; a failure is reduced in any case. */
  readonly goesOn: () => boolean
  /** The number of the first branch (1). Branches with lower numbers are gone elsewhere, and nothing is known of them here. */
  readonly first?: number
  /** Whether to go on after a failure. */
  readonly keepsGoing?: boolean
  /** Whether each branch has faults that are drawn afresh, whatever the others have reached. */
  readonly isBlind?: boolean
  /** Called with each branch that has ended. @param news - how much it has reached that no branch before it has */
  readonly onBranch?: (branch: number, result: ClusterResult, news: number) => void
  /** Called with each try to fail with fewer faults. */
  readonly onTry?: (faults: readonly Fault[], result: ClusterResult) => void
}

/** A branch that has reached something new. */
interface Start {
  readonly root: number
  readonly faults: readonly Fault[]
  /** The instants of what was new, from the one at which faults begin. */
  readonly instants: readonly number[]
}

/**
 * Starts a cluster once, and goes on from the instant at which all is ready in one way after another. Branches that reach something new
 * (an assertion, a shape of a line, an edge between two shapes) are gone on from: with the same faults until an instant at which
 * something was new, or with some of them moved. A branch follows from the seed and from those before it, and not from the host's
 * time. The faults of a way that fails are reduced to those that are needed.
 *
 * @returns the failures, and how many ways were gone
 * @throws ClusterError for a cluster that cannot be made, or that fails before there are faults; errors of `host`
 */
export async function explore(
  description: ClusterDescription,
  seed: number,
  host: ClusterHost,
  { goesOn, first = 1, keepsGoing = false, isBlind = false, onBranch, onTry, signal }: ExploreOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly branches: number }> {
  const findings: Finding[] = []
  const options = signal === undefined ? {} : { signal }
  const isStopped = (): boolean => signal?.aborted === true
  const cluster = await Cluster.start(description, seed, host, options)
  if (cluster.failure !== undefined) {
    cluster.close()
    throw new ClusterError('ERR_MACHINE', `it fails before there are faults: ${cluster.failure}`)
  }
  const begin = cluster.now
  const go = async (root: number, faults: readonly Fault[], onEvent?: ClusterOptions['onEvent']) => {
    const branch = await cluster.fork({ ...options, ...(onEvent && { onEvent }) })
    try {
      return await branch.finish({ number: root, faults })
    } finally {
      branch.close()
    }
  }
  const novelty = new Novelty()
  const starts: Start[] = []
  let branches = 0
  try {
    while (goesOn() && !isStopped() && (keepsGoing || findings.length === 0)) {
      const branch = first + branches++
      const drawn = { root: branch, faults: cluster.draw(branch) }
      const { root, faults } = isBlind
        ? drawn
        : changed(starts, drawn, description.faults, new Draws(seed, `explore ${branch}`))
      const { hear, news } = novelty.listen()
      // oxlint-disable-next-line no-await-in-loop -- one after another: each is a machine's run
      const result = await go(root, faults, hear)
      if (isStopped()) {
        branches--
        break
      }
      const instants = news().map((ns) => ns - begin)
      if (instants.length > 0) starts.push({ root, faults, instants })
      onBranch?.(branch, result, instants.length)
      if (result.failure === undefined) continue
      let failure: string = result.failure
      const tried = new Map<string, boolean>()
      const fails = async (some: readonly Fault[]): Promise<boolean> => {
        const key = JSON.stringify(some)
        const known = tried.get(key)
        if (known !== undefined || isStopped()) return known ?? false
        const again = await go(root, some)
        if (isStopped()) return false
        onTry?.(some, again)
        const isSame = kindOf(again.failure) === kindOf(result.failure)
        tried.set(key, isSame)
        // Reduction goes on from here.
        if (isSame) failure = again.failure!
        return isSame
      }
      // Faults that would have come later were none.
      const came = faults.filter(({ at }) => begin + at <= result.ns)
      // oxlint-disable-next-line no-await-in-loop -- as above
      const least = await needed(came, fails)
      findings.push({ branch, root, result, faults: least, failure })
    }
  } finally {
    cluster.close()
  }
  return { findings, branches }
}

/** One branch in this many has nothing to do with those before it. */
const FRESH = 4
/** Of the branches that have reached something new, this many last ones are preferred. */
const RECENT = 4

/** Decides on the faults of a branch: they go on from those of one that has reached something new, or are those that were drawn. */
function changed(
  starts: readonly Start[],
  drawn: Omit<Start, 'instants'>,
  { list, for: within }: ClusterDescription['faults'],
  draws: Draws,
): Omit<Start, 'instants'> {
  if (starts.length === 0 || draws.happens(1 / FRESH)) return drawn
  const { root, faults, instants } = draws.pick(draws.happens(0.5) ? starts.slice(-RECENT) : starts)
  if (draws.happens(0.5)) {
    // All is the same until something was new.
    const instant = draws.pick(instants)
    const before = faults.filter(({ at }) => at < instant)
    return { root, faults: sorted([...before, ...drawn.faults.filter(({ at }) => at >= instant)]) }
  }
  const isDrawn = (fault: Fault): boolean => !list.includes(fault)
  const kept = faults
    .filter((fault) => isDrawn(fault) && !draws.happens(0.2))
    .map((fault) =>
      draws.happens(0.3) ? { ...fault, at: Math.round(draws.fraction() * (within - fault.for)) } : fault,
    )
  const others = drawn.faults.filter(isDrawn)
  const more = others.length === 0 ? [] : [draws.pick(others)]
  return { root, faults: sorted([...kept, ...more, ...list]) }
}

const sorted = (faults: readonly Fault[]): Fault[] => faults.toSorted((one, other) => one.at - other.at)

/** The failed property or program, without the details. */
const kindOf = (failure: string | undefined): string | undefined => failure?.split(':')[0]

/**
 * Reduces faults to some without which a run does not fail: by leaving out halves, then smaller parts, down to single ones.
 *
 * Source: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002).
 */
async function needed(
  all: readonly Fault[],
  fails: (some: readonly Fault[]) => Promise<boolean>,
): Promise<readonly Fault[]> {
  let faults = all
  for (let size = Math.ceil(faults.length / 2); size > 0; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < faults.length;) {
      const fewer = [...faults.slice(0, at), ...faults.slice(at + size)]
      // oxlint-disable-next-line no-await-in-loop -- each try depends on those before
      if (await fails(fewer)) faults = fewer
      else at += size
    }
  }
  return faults
}
