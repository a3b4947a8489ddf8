/** Looks for failures of the cluster of a file, and prints what it finds. */
import { writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { describeFault, explore, type Finding, type Plan, stateOf, timeText } from '@retrap/cluster'
import { troubleWith } from '../../errors.ts'
import { plainListed } from '../../print-lines.ts'
import { madeWith } from './made-with.ts'
import { recordOnce } from './once.ts'
import { type ClusterFlags, type ClusterOutputs, lanesWithin, tellMemory, withCluster } from './run-cluster.ts'
import { hostOf, usualWorkers, withLanes } from './workers.ts'

/** Branches by their numbers. */
export interface Branches {
  readonly first: number
  readonly count: number
}

/** The values of the options of `explore`. */
export interface ExploreFlags extends Pick<ClusterFlags, 'seed' | 'workers' | 'record' | 'jsonl'> {
  /** Host time in milliseconds; default ten minutes, or with `branches` any. */
  readonly for?: number
  readonly branches?: Branches
  readonly keepGoing?: boolean
  readonly blind?: boolean
  readonly out?: string
}

const USUAL_MS = 600_000

/** Looks for failures of a cluster. @returns whether nothing has failed @throws CliError `ERR_INPUT` for a file that is no cluster's */
export function exploreClusterFile(file: string, flags: ExploreFlags, outputs: ClusterOutputs): Promise<boolean> {
  const { seed, keepGoing = false, blind = false, out, record, workers, jsonl = false } = flags
  const { stdout, stderr } = outputs
  const { first, count } = flags.branches ?? { first: 1, count: Infinity }
  const lastsMs = flags.for ?? (flags.branches === undefined ? USUAL_MS : Infinity)
  const tell = (event: { readonly kind: string } & Record<string, unknown>, ...lines: readonly string[]): void =>
    void stdout.write(jsonl ? `${JSON.stringify(event)}\n` : lines.map(plainListed).join(''))
  return withCluster(file, true, stderr, async (cluster) => {
    const { description, parts, signal } = cluster
    const lanes = workers ?? lanesWithin(description)
    tellMemory(description, lanes, cluster.tell)
    const made = await madeWith(file, description)
    // The time begins when all is ready: on a busy host it was over before the first branch.
    let begin: number | undefined
    let gone = 0
    const { findings, branches, properties } = await withLanes({ ...cluster, seed }, lanes, (open) =>
      explore(description, seed, open, {
        ...{ signal, first, keepsGoing: keepGoing, isBlind: blind },
        goesOn: () => gone++ < count && performance.now() - (begin ??= performance.now()) < lastsMs,
        onBranch: (branch, { failure, faults }, news, depth) =>
          tell(
            { kind: 'branch', branch, faults: faults.length, news, depth, failure },
            `branch ${branch}: ${faults.length} faults, ${news} new, depth ${depth}: ${failure ?? 'ok'}`,
          ),
        onTry(faults, { failure }, isSame) {
          const how = failure === undefined ? 'ends well' : `fails otherwise (${failure})`
          const what = isSame ? 'fails as well: the others are not needed' : `${how}: more are needed`
          tell({ kind: 'try', faults: faults.length, failure }, `  again with ${faults.length} of its faults: ${what}`)
        },
      }),
    )
    const planOf = ({ root, failure, faults }: Finding): Plan => ({
      seed,
      branch: root,
      failure,
      madeWith: made,
      faults,
    })
    for (const finding of findings) {
      const { branch, root, failure, faults } = finding
      const what = signal.aborted ? 'Some of these may not be needed, as the search was stopped:' : 'It needs:'
      const list = faults.map((fault) => `- ${timeText(fault.at)}: ${describeFault(fault)}`)
      const plan = planOf(finding)
      tell({ kind: 'finding', branch, plan }, `branch ${branch} fails: ${failure}`, what, ...list)
      const one = (path: string): string => (findings.length === 1 ? path : `${path}.${branch}`)
      if (out !== undefined) {
        let isWritten = false
        try {
          writeFileSync(one(out), `${JSON.stringify(plan, undefined, 2)}\n`)
          isWritten = true
        } catch (error) {
          stderr.write(`retrap: --out ${one(out)}: ${troubleWith(error, 'write')}\n`)
        }
        if (!jsonl && isWritten) stdout.write(`The same again: retrap cluster run ${file} --plan ${one(out)}\n`)
      }
      const path = record ?? out?.replace(/(\.json)?$/, '.run')
      if (path === undefined || signal.aborted) continue
      const host = hostOf(parts, workers ?? usualWorkers(parts.machines), cluster.tell)
      const run = { description, seed, host, branch: { number: root, faults } }
      const to = { path: one(path), given: ['explore', file, '--seed', `${seed}`], madeWith: made, stderr }
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after another: each is a run
        const recorded = await recordOnce(run, { signal }, to)
        if (recorded.failure !== failure)
          stderr.write(`retrap: the recorded run ended otherwise: ${recorded.failure ?? 'ok'}\n`)
      } finally {
        await host.close()
      }
    }
    const all = findings.map((finding) => ({ branch: finding.branch, plan: planOf(finding) }))
    const seen = properties.map((property) => ({ state: stateOf(property), ...property }))
    const rows = seen.map(
      ({ state, kind, name, passed, failed }) =>
        `  ${state.padEnd(10)}  ${kind} ${name}: ${passed} times ok, ${failed} times not`,
    )
    tell(
      { kind: 'explored', seed, branches, findings: all, properties: seen, stopped: signal.aborted },
      ...(rows.length === 0 ? [] : [`properties in ${branches} branches:`, ...rows]),
    )
    stderr.write(`retrap: seed ${seed}: ${branches} branches, ${findings.length} of them failed\n`)
    const missing = seen.filter(({ state }) => state === 'never seen').length
    if (missing > 0) cluster.tell(`never seen: ${missing} of ${seen.length} properties, which no branch has tested`)
    if (rows.length === 0 && branches > 0)
      cluster.tell(
        'no program has told a property, as one that does nothing; retrap cluster run prints reports that are not understood',
      )
    return findings.length === 0
  })
}
