/** Runs the cluster of a file, and prints what happens. */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import {
  type ClusterDescription,
  ClusterError,
  type ClusterEvent,
  type ClusterResult,
  readPlan,
  seedOfPlan,
} from '@retrap/cluster'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import { ENDING_SIGNALS } from '../../machine/session/session-host.ts'
import { type ComposeFlags, composeWords, readClusterFile } from './compose/read-file.ts'
import { madeWith } from './made-with.ts'
import { eventText, howOf, recordOnce, reportRuns, runOnce } from './once.ts'
import { hostOf, type LanesOf, usualLanes, usualWorkers } from './workers.ts'

export interface ClusterFlags extends ComposeFlags {
  readonly seed: number
  /** A file of `explore`, which has its own seed. */
  readonly plan?: string
  /** The file that the run is recorded in. */
  readonly record?: string
  readonly jsonl?: boolean
  /** The file of a report. */
  readonly junit?: string
  readonly workers?: number
}

/** Where lines go. */
export interface ClusterOutputs {
  readonly stdout: { write(text: string | Uint8Array): unknown }
  readonly stderr: { write(text: string | Uint8Array): unknown }
}

/** Runs a cluster once. @returns whether nothing has failed @throws CliError `ERR_INPUT` */
export function runClusterFile(
  file: string,
  flags: ClusterFlags,
  { stdout, stderr }: ClusterOutputs,
): Promise<boolean> {
  return withCluster(file, flags, false, stderr, async ({ description, parts, signal, tell }) => {
    tellMemory(description, 0, tell)
    const { record } = flags
    const path = flags.plan
    const plan = path === undefined ? undefined : read(path, (value) => readPlan(value, description))
    const made = await madeWith(file, description)
    if (plan?.madeWith !== undefined && plan.madeWith !== made)
      tell(`${path} was found with ${plan.madeWith}; this is ${made}: the run may be another one`)
    const seed = plan?.seed ?? flags.seed
    const begin = performance.now()
    const onEvent = (event: ClusterEvent): void =>
      void stdout.write(flags.jsonl === true ? `${JSON.stringify(event)}\n` : eventText(event))
    const host = hostOf(parts, flags.workers ?? usualWorkers(parts.machines), tell)
    const run = { file, description, seed: plan === undefined ? seed : seedOfPlan(plan), host, how: howOf(plan) }
    const given = [
      'run',
      file,
      ...composeWords(flags),
      ...(path === undefined ? ['--seed', `${seed}`] : ['--plan', path]),
    ]
    try {
      const result = await (record === undefined
        ? runOnce(run, { onEvent, signal })
        : recordOnce(run, { onEvent, signal }, { path: record, given, madeWith: made, stderr }))
      if (flags.jsonl === true) stdout.write(`${JSON.stringify({ kind: 'result', seed, madeWith: made, ...result })}\n`)
      const ms = performance.now() - begin
      for (const line of summary(result, seed, ms)) tell(line)
      const failures = result.failure === undefined ? [] : [`${result.failure}\nretrap cluster ${given.join(' ')}`]
      await reportRuns(flags.junit, file, { name: `seed ${seed}`, ms }, result.properties, failures)
      return result.failure === undefined
    } finally {
      await host.close()
    }
  })
}

/** A cluster that was read, and what it runs with until SIGINT or SIGTERM. */
type ReadCluster = Omit<LanesOf, 'seed'>

/** Reads a description, and does something with it, until SIGINT or SIGTERM comes. @param given - options, or a description that was read */
export async function withCluster<T>(
  file: string,
  given: ComposeFlags | ClusterDescription,
  isForked: boolean,
  stderr: ClusterOutputs['stderr'],
  act: (cluster: ReadCluster) => Promise<T>,
): Promise<T> {
  const stop = new AbortController()
  const end = (): void => stop.abort()
  for (const signal of ENDING_SIGNALS) process.once(signal, end)
  try {
    const tell = (text: string): void => void stderr.write(`retrap: ${text}\n`)
    const description = 'machines' in given ? given : await readClusterFile(file, given, tell, stop.signal)
    const parts = { file, machines: description.machines, settings: { isForked, isCompiled: true } }
    return await act({ description, parts, signal: stop.signal, tell })
  } catch (error) {
    throw error instanceof ClusterError ? new CliError('ERR_INPUT', `${file}: ${error.message}`) : error
  } finally {
    for (const signal of ENDING_SIGNALS) process.off(signal, end)
  }
}

/** A machine's memory beside its RAM, and what its clone writes. */
const OWN_BYTES = 256 << 20
const CLONE_BYTES = 512 << 20

const bytesOf = ({ machines }: ClusterDescription, more: number): number =>
  machines.reduce((sum, { memory }) => sum + memory + OWN_BYTES + more, 0)

/** The lanes that are used where nobody says how many: one for each processor of the host, as far as its memory goes. */
export const lanesWithin = (description: ClusterDescription): number =>
  Math.max(1, Math.min(usualLanes(), Math.floor(process.availableMemory() / bytesOf(description, CLONE_BYTES))))

/** Says what memory the machines take where the host may lack it. @param lanes - in which machines are forked; 0: they are not */
export function tellMemory(description: ClusterDescription, lanes: number, tell: (text: string) => void): void {
  const bytes = lanes === 0 ? bytesOf(description, 0) : lanes * bytesOf(description, CLONE_BYTES)
  const free = process.availableMemory()
  if (bytes <= free) return
  const [most, left] = [bytes, free].map((one) => `${(one / 2 ** 30).toFixed(1)} GiB`)
  const count = Math.max(1, lanes) * description.machines.length
  tell(`${count} machines take up to ${most} of memory, and this host has ${left} left`)
}

/** Reads a file of JSON. @param as - reads its contents @throws CliError `ERR_INPUT` */
const read = <T>(file: string, as: (value: unknown) => T): T =>
  attempt(file, () => as(JSON.parse(readFileSync(file, 'utf8'))))

function summary({ failure, ns, properties }: ClusterResult, seed: number, ms: number): string[] {
  const lines = properties.map(
    ({ kind, name, passed, failed }) => `${kind} ${name}: ${passed} times ok, ${failed} times not`,
  )
  const time = `${(ns / 1e9).toFixed(3)} s of the cluster's time in ${(ms / 1000).toFixed(1)} s`
  return [...lines, `seed ${seed}: ${failure ?? 'ok'} (${time})`]
}
