import { Cluster, type ClusterHost, type ClusterOptions, type ClusterResult } from './cluster.ts'
import type { ClusterDescription } from './description.ts'
import type { Fault } from './faults.ts'

/** A branch that has failed. */
export interface Finding {
  /** The branch's number. */
  readonly branch: number
  /** How it has ended, with all of its faults. */
  readonly result: ClusterResult
  /** The faults without which it does not fail so. */
  readonly faults: readonly Fault[]
}

/** Options of {@link explore}. */
export interface ExploreOptions extends Pick<ClusterOptions, 'signal'> {
  /** Asked before each branch whether there is to be another one; a failure is reduced in any case. */
  readonly goesOn: () => boolean
  /** Whether to go on after a failure. */
  readonly keepsGoing?: boolean
  /** Called with each branch that has ended. */
  readonly onBranch?: (branch: number, result: ClusterResult) => void
  /** Called with each try to fail with fewer faults. */
  readonly onTry?: (faults: readonly Fault[], result: ClusterResult) => void
}

/**
 * Starts a cluster once, and goes on from the instant at which all is ready in one way after another, each with faults of its own. The
 * faults of a way that fails are reduced to those that are needed.
 *
 * @returns the failures, and how many ways were gone
 * @throws ClusterError for a cluster that cannot be made; errors of `host`
 */
export async function explore(
  description: ClusterDescription,
  seed: number,
  host: ClusterHost,
  { goesOn, keepsGoing = false, onBranch, onTry, signal }: ExploreOptions,
): Promise<{ readonly findings: readonly Finding[]; readonly branches: number }> {
  const findings: Finding[] = []
  const options = signal === undefined ? {} : { signal }
  const isStopped = (): boolean => signal?.aborted === true
  const cluster = await Cluster.start(description, seed, host, options)
  const go = async (number: number, faults?: readonly Fault[]): Promise<ClusterResult> => {
    const branch = await cluster.fork(options)
    try {
      return await branch.finish({ number, faults })
    } finally {
      branch.close()
    }
  }
  let branches = 0
  try {
    while (goesOn() && !isStopped() && (keepsGoing || findings.length === 0)) {
      const number = ++branches
      // oxlint-disable-next-line no-await-in-loop -- one after another: each is a machine's run
      const result = await go(number)
      if (isStopped()) break
      onBranch?.(number, result)
      if (result.failure === undefined) continue
      const fails = async (faults: readonly Fault[]): Promise<boolean> => {
        if (isStopped()) return false
        const tried = await go(number, faults)
        if (isStopped()) return false
        onTry?.(faults, tried)
        return kindOf(tried.failure) === kindOf(result.failure)
      }
      // oxlint-disable-next-line no-await-in-loop -- as above
      findings.push({ branch: number, result, faults: await needed(result.faults, fails) })
    }
  } finally {
    cluster.close()
  }
  return { findings, branches }
}

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
