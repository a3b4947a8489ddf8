/** Looks for failures of the cluster of a file, and prints what it finds. */
import { writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { performance } from 'node:perf_hooks'
import {
  describeFault,
  explore,
  exploreBranches,
  faultsOf,
  GENERATOR,
  type Lane,
  type Plan,
  type Property,
  stateOf,
  timeText,
} from '@retrap/cluster'
import { troubleWith } from '@retrap/linux-guest/errors'
import { plainListed } from '../../print-lines.ts'
import { madeWith } from './made-with.ts'
import { howOf, recordOnce, reportRuns } from './once.ts'
import { type ComposeFlags, composeWords } from './compose/read-file.ts'
import { type ClusterFlags, type ClusterOutputs, lanesWithin, tellMemory, withCluster } from './run-cluster.ts'
import { hostOf, type LanesOf, usualWorkers, withLanes } from './workers.ts'

/** Branches by their numbers. */
export interface Branches {
  readonly first: number
  readonly count: number
}

/** The values of the options of `explore`. */
export interface ExploreFlags
  extends ComposeFlags, Pick<ClusterFlags, 'seed' | 'workers' | 'record' | 'jsonl' | 'junit'> {
  /** Host time in milliseconds; default ten minutes, or with `branches` any. */
  readonly for?: number
  readonly branches?: Branches
  /** Each branch begins where all is ready, and no state is gone on from. */
  readonly fromStart?: boolean
  /** Bytes of memory for states; default half of the host's. */
  readonly stateMemory?: number
  readonly keepGoing?: boolean
  readonly blind?: boolean
  readonly out?: string
}

/** A failure: the number of the state, or of the branch, and its plan. */
interface Found {
  readonly number: number
  readonly plan: Plan
}

/** All that an exploration has found. */
interface Explored {
  readonly found: readonly Found[]
  readonly count: number
  readonly properties: readonly Property[]
}

/** Prints an event: as a line of JSON, or as lines for people. */
type Tell = (event: { readonly kind: string } & Record<string, unknown>, ...lines: readonly string[]) => void

/** An exploration that is begun. */
interface Exploration extends LanesOf {
  readonly flags: ExploreFlags
  readonly lanes: number
  readonly tellEvent: Tell
  readonly planOf: (found: Pick<Plan, 'branch' | 'failure' | 'faults' | 'path' | 'mended'>) => Plan
}

const USUAL_MS = 600_000

/** Looks for failures of a cluster. @returns whether nothing has failed @throws CliError `ERR_INPUT` for a file that is no cluster's */
export function exploreClusterFile(file: string, flags: ExploreFlags, outputs: ClusterOutputs): Promise<boolean> {
  const { seed, out, record, workers, jsonl = false, fromStart = false } = flags
  const { stdout, stderr } = outputs
  const more = composeWords(flags)
  const [begin, failures]: [number, string[]] = [performance.now(), []]
  const tell: Tell = (event, ...lines) =>
    void stdout.write(jsonl ? `${JSON.stringify(event)}\n` : lines.map(plainListed).join(''))
  return withCluster(file, flags, true, stderr, async (cluster) => {
    const { description, parts, signal } = cluster
    const lanes = workers ?? lanesWithin(description)
    tellMemory(description, lanes, cluster.tell)
    const made = await madeWith(file, description)
    const explored = await (fromStart ? branchesOf : statesOf)({
      ...cluster,
      ...{ seed, flags, lanes, tellEvent: tell },
      planOf: (found) => ({ seed, draws: GENERATOR, madeWith: made, ...found }),
    })
    const { found, count, properties } = explored
    for (const { number, plan } of found) {
      const what = signal.aborted ? 'Some of these may not be needed, as the search was stopped:' : 'It needs:'
      const { path, mended, faults } = plan
      const stretches = path && `${stretchesOf(path)}${mended === true ? ', and all is mended' : ''}`
      const list = (path === undefined ? faults : faultsOf(path)).map(
        (fault) => `- ${timeText(fault.at)}: ${describeFault(fault)}`,
      )
      const name = fromStart ? 'branch' : 'state'
      const title = `${name} ${number} fails: ${plan.failure}`
      const lines = [title, what, ...(stretches === undefined ? [] : [`- ${stretches}`]), ...list]
      tell({ kind: 'finding', [name]: number, plan }, ...lines)
      const one = (path: string): string => (found.length === 1 ? path : `${path}.${number}`)
      if (out !== undefined) {
        let isWritten = false
        try {
          writeFileSync(one(out), `${JSON.stringify(plan, undefined, 2)}\n`)
          isWritten = true
        } catch (error) {
          stderr.write(`retrap: --out ${one(out)}: ${troubleWith(error, 'write')}\n`)
        }
        if (!jsonl && isWritten)
          stdout.write(`The same again: retrap cluster run ${[file, ...more].join(' ')} --plan ${one(out)}\n`)
      }
      const to = record ?? out?.replace(/(\.json)?$/, '.run')
      const files = [out && `plan: ${one(out)}`, to && `recording: ${one(to)}`]
      failures.push([...lines, ...files.filter((line) => line !== undefined)].join('\n'))
      if (to === undefined || signal.aborted) continue
      const host = hostOf(parts, workers ?? usualWorkers(parts.machines), cluster.tell)
      const run = { file, description, seed, host, how: howOf(plan) }
      const where = { path: one(to), given: ['explore', file, ...more, '--seed', `${seed}`], madeWith: made, stderr }
      try {
        const recorded = await recordOnce(run, { signal }, where)
        if (recorded.failure !== plan.failure)
          stderr.write(`retrap: the recorded run ended otherwise: ${recorded.failure ?? 'ok'}\n`)
      } finally {
        await host.close()
      }
    }
    const seen = properties.map((property) => ({ state: stateOf(property), ...property }))
    const rows = seen.map(
      ({ state, kind, name, passed, failed }) =>
        `  ${state.padEnd(10)}  ${kind} ${name}: ${passed} times ok, ${failed} times not`,
    )
    const what = fromStart ? 'branches' : 'states'
    const findings = found.map(({ number, plan }) => ({ [fromStart ? 'branch' : 'state']: number, plan }))
    tell(
      { kind: 'explored', seed, [what]: count, findings, properties: seen, stopped: signal.aborted },
      ...(rows.length === 0 ? [] : [`properties in ${count} ${what}:`, ...rows]),
    )
    stderr.write(`retrap: seed ${seed}: ${count} ${what}, ${found.length} of them failed\n`)
    const whole = { name: `explore, seed ${seed}: ${count} ${what}`, ms: performance.now() - begin }
    await reportRuns(flags.junit, file, whole, properties, failures)
    const missing = seen.filter(({ state }) => state === 'never seen').length
    if (missing > 0) cluster.tell(`never seen: ${missing} of ${seen.length} properties, which nothing has tested`)
    if (rows.length === 0 && count > 0)
      cluster.tell(
        'no program has told a property, as one that does nothing; retrap cluster run prints reports that are not understood',
      )
    return found.length === 0
  })
}

/** Asks whether time is left. It begins when all is ready: on a busy host it was over before the first branch. */
function timeOf({ for: given, branches }: ExploreFlags): () => boolean {
  const lastsMs = given ?? (branches === undefined ? USUAL_MS : Infinity)
  let begin: number | undefined
  return () => performance.now() - (begin ??= performance.now()) < lastsMs
}

const stretchesOf = ({ length }: readonly unknown[]): string => (length === 1 ? '1 stretch' : `${length} stretches`)

const tried = (count: number, failure: string | undefined, isSame: boolean, what: string): string => {
  const how = failure === undefined ? 'ends well' : `fails otherwise (${failure})`
  return `  again with ${count} of its ${what}: ${isSame ? 'fails as well: the others are not needed' : `${how}: more are needed`}`
}

/** Grows trees of states. */
async function statesOf(exploration: Exploration): Promise<Explored> {
  const { description, seed, signal, flags, lanes, tellEvent, planOf } = exploration
  const { stateMemory = totalmem() / 2, keepGoing = false, branches } = flags
  const act = (open: readonly Lane[]): ReturnType<typeof explore> =>
    explore(description, seed, open, {
      ...{ signal, keepsGoing: keepGoing, goesOn: timeOf(flags), states: branches?.count ?? Infinity },
      onState({ state, from, path, result: { failure }, news, rarest }) {
        const faults = faultsOf(path).length
        const depth = path.length
        tellEvent(
          { kind: 'state', state, from, depth, faults, news, rarest, failure },
          `state ${state}, from ${from}: depth ${depth}, ${faults} faults, ${news} new, rarest ${rarest}: ${failure ?? 'ok'}`,
        )
      },
      onMended: (state, { failure }) =>
        tellEvent(
          { kind: 'mended', state, failure },
          ...(failure === undefined ? [] : [`state ${state}, mended: ${failure}`]),
        ),
      onTry(path, { failure }, isSame) {
        const faults = faultsOf(path).length
        tellEvent(
          { kind: 'try', stretches: path.length, faults, failure },
          tried(faults, failure, isSame, `faults, in ${stretchesOf(path)}`),
        )
      },
    })
  const { findings, states, properties } = await withLanes(exploration, lanes, act, stateMemory)
  return {
    found: findings.map(({ state, path, mended, failure }) => ({
      number: state,
      plan: planOf({ branch: 0, failure, faults: [], path, mended }),
    })),
    count: states,
    properties,
  }
}

/** Goes branches, each from the instant at which all is ready. */
async function branchesOf(exploration: Exploration): Promise<Explored> {
  const { description, seed, signal, flags, lanes, tellEvent, planOf } = exploration
  const { keepGoing = false, blind = false } = flags
  const { first, count } = flags.branches ?? { first: 1, count: Infinity }
  const hasTime = timeOf(flags)
  let gone = 0
  const { findings, branches, properties } = await withLanes(exploration, lanes, (open) =>
    exploreBranches(description, seed, open, {
      ...{ signal, first, keepsGoing: keepGoing, isBlind: blind, goesOn: () => gone++ < count && hasTime() },
      onBranch: (branch, { failure, faults }, news, depth) =>
        tellEvent(
          { kind: 'branch', branch, faults: faults.length, news, depth, failure },
          `branch ${branch}: ${faults.length} faults, ${news} new, depth ${depth}: ${failure ?? 'ok'}`,
        ),
      onTry: (faults, { failure }, isSame) =>
        tellEvent({ kind: 'try', faults: faults.length, failure }, tried(faults.length, failure, isSame, 'faults')),
    }),
  )
  return {
    found: findings.map(({ branch, root, failure, faults }) => ({
      number: branch,
      plan: planOf({ branch: root, failure, faults }),
    })),
    count: branches,
    properties,
  }
}
