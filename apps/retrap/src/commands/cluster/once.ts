/** One run of a cluster, which may leave its file. */
import {
  type Branch,
  Cluster,
  type ClusterDescription,
  type ClusterEvent,
  type ClusterOptions,
  type ClusterResult,
  RunLog,
} from '@retrap/cluster'
import { plainListed } from '../../print-lines.ts'
import type { GuestsHost } from './host.ts'
import { RunRecordings } from './recordings.ts'

/** An event as a line for people. */
export const eventText = ({ ns, machine, text }: ClusterEvent): string =>
  plainListed(`${(ns / 1e9).toFixed(6).padStart(12)} ${machine ?? '-'}: ${text}`)

/** A cluster, and the way in which it runs. */
export interface OneRun {
  readonly description: ClusterDescription
  readonly seed: number
  readonly host: GuestsHost
  readonly branch: Branch
}

export async function runOnce(
  { description, seed, host, branch }: OneRun,
  options: ClusterOptions,
): Promise<ClusterResult> {
  const cluster = await Cluster.start(description, seed, host, options)
  try {
    return await cluster.finish(branch)
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
  const { host, seed, branch, description } = run
  const recordings = await RunRecordings.open(path, ['cluster', ...given], host)
  const log = new RunLog()
  try {
    const result = await runOnce(run, { ...options, log })
    const trouble = await recordings.write({ ...log.run(seed, branch.number, description, result), madeWith })
    stderr.write(`retrap: ${trouble ?? `the run is recorded in ${path}: retrap cluster replay ${path}`}\n`)
    return result
  } finally {
    await recordings.close()
  }
}
