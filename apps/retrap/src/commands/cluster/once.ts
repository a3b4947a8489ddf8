/** One run of a cluster, which may leave its file. */
import { basename, resolve } from 'node:path'
import {
  type Branch,
  Cluster,
  type ClusterDescription,
  type ClusterEvent,
  type ClusterOptions,
  type ClusterPath,
  type ClusterResult,
  GENERATOR,
  type Plan,
  type Property,
  RunLog,
  type Seed,
  stateOf,
} from '@retrap/cluster'
import { plainListed } from '../../print-lines.ts'
import { type TestOutcome, writeReport } from '../test/reports.ts'
import type { GuestsHost } from './host.ts'
import { digestsOf } from './made-with.ts'
import { RunRecordings } from './recordings.ts'

/** An event as a line for people. */
export const eventText = ({ ns, machine, text }: ClusterEvent): string =>
  plainListed(`${(ns / 1e9).toFixed(6).padStart(12)} ${machine ?? '-'}: ${text}`)

/**
 * Writes a report with a case for each property, and one for all that has run.
 *
 * @param failures - texts, whose first lines are sentences
 */
export function reportRuns(
  path: string | undefined,
  file: string,
  whole: Omit<TestOutcome, 'failure'>,
  properties: readonly Property[],
  failures: readonly string[],
): Promise<void> {
  const cases = properties.map((property): TestOutcome => {
    const [name, state] = [`${property.kind} ${property.name}`, stateOf(property)]
    const why = failures.find((text) => text.includes(`${name} failed`)) ?? `it failed ${property.failed} times`
    return { name, ms: 0, failure: state === 'failed' ? why : undefined, isSkipped: state === 'never seen' }
  })
  const all = [...cases, { ...whole, failure: failures.join('\n\n') || undefined }]
  return writeReport(path, new Map([[basename(file), all]]))
}

/** A cluster, and the way in which it runs. */
export interface OneRun {
  /** The file of the description. */
  readonly file: string
  readonly description: ClusterDescription
  readonly seed: Exclude<Seed, string>
  readonly host: GuestsHost
  readonly how: Branch | ClusterPath
}

/** The branch, or the path, of a plan; without one: the seed's own branch. */
export const howOf = (plan: Pick<Plan, 'branch' | 'faults' | 'path' | 'mended'> | undefined): Branch | ClusterPath =>
  plan?.path === undefined
    ? { number: plan?.branch ?? 0, faults: plan?.faults }
    : { path: plan.path, mended: plan.mended === true }

export async function runOnce(
  { description, seed, host, how }: OneRun,
  options: ClusterOptions,
): Promise<ClusterResult> {
  const cluster = await Cluster.start(description, seed, host, options)
  try {
    return await cluster.finish(how)
  } finally {
    cluster.close()
  }
}

/**
 * Runs a cluster once, and leaves the file of the run. A file that cannot be written is told in a line: the run goes on.
 *
 * @throws CliError `ERR_INPUT` for a file that cannot be made
 */
export async function recordOnce(
  run: OneRun,
  options: ClusterOptions,
  to: {
    readonly path: string
    /** The command line, without `cluster`. */
    readonly given: readonly string[]
    readonly madeWith: string
    readonly stderr: { write(text: string): unknown }
  },
): Promise<ClusterResult> {
  const { path, given, madeWith, stderr } = to
  const { file, host, seed, how, description } = run
  const recordings = await RunRecordings.open(path, ['cluster', ...given], host)
  const log = new RunLog()
  const files = digestsOf(file, description, true)
  try {
    const result = await runOnce(run, { ...options, log })
    const trouble = await recordings.write({
      ...log.run(typeof seed === 'object' ? seed.mix32 : seed, 'path' in how ? 0 : how.number, description, result),
      ...{ madeWith, file: resolve(file), files },
      ...(typeof seed === 'number' && { draws: GENERATOR }),
      ...('path' in how && how),
    })
    stderr.write(`retrap: ${trouble ?? `the run is recorded in ${path}: retrap cluster replay ${path}`}\n`)
    return result
  } finally {
    await recordings.close()
  }
}
