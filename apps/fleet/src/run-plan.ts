import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type KnownOptions, readPlan } from './plan/read-plan.ts'
import { Progress, type ProgressStream } from './progress.ts'
import type { JobQueue, MakeAttempt } from './queue/queue.ts'
import { Results } from './results/results.ts'
import { type MachineRunner, runMachine } from './worker/machine-process.ts'

/** How a plan is run. */
export interface PlanRun extends Pick<MachineRunner, 'retrap'> {
  /** Makes the queue; one within this process makes attempts by the function. */
  readonly queueOf: (make: MakeAttempt) => JobQueue
  /** Folder for results, and for the log of each attempt; made where it is absent. */
  readonly out: string
  readonly progress: ProgressStream
  /** Ends the machines; jobs that are left have not passed. */
  readonly signal: AbortSignal
}

/**
 * Runs all jobs of a plan, and writes `results.xml` and `results.json`.
 *
 * @param path - of the plan, a YAML file
 * @returns whether every job has met its expectation
 * @throws PlanError; an error of the file system that names a file
 */
export async function runPlan(
  path: string,
  { retrap, queueOf, out, progress: stream, signal }: PlanRun,
): Promise<boolean> {
  const jobs = readPlan(path, readFileSync(path, 'utf8'), knownOptions(retrap))
  const logs = join(resolve(out), 'logs')
  mkdirSync(logs, { recursive: true })
  const started = performance.now()
  const results = new Results(jobs)
  const progress = new Progress(stream, jobs.length)
  const queue = queueOf((job, attempt, ended) => runMachine({ retrap, logs }, job, attempt, ended))
  await queue.run(
    jobs,
    {
      started: (job) => progress.started(job),
      ended(job, attempt) {
        results.add(attempt)
        progress.ended(job, attempt)
      },
      trouble: (message) => progress.trouble(message),
    },
    signal,
  )
  progress.finish()
  results.write(resolve(out), (performance.now() - started) / 1000)
  return results.passed
}

/** The options of `retrap run`, from the schema of machine files that it prints. */
function knownOptions([program, ...before]: readonly [string, ...string[]]): KnownOptions {
  const { status, stdout, stderr } = spawnSync(program, [...before, 'run', '--schema'], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  if (status !== 0) throw new Error(`"retrap run --schema" has failed: ${stderr}`)
  const { properties } = JSON.parse(stdout) as { properties: Record<string, SchemaOption> }
  const all = Object.entries(properties)
  const mayRepeat = ({ type, anyOf = [], oneOf = [] }: SchemaOption): boolean =>
    type === 'array' || [...anyOf, ...oneOf].some(mayRepeat)
  return {
    names: new Set(all.map(([name]) => name)),
    repeatable: new Set(all.filter(([, option]) => mayRepeat(option)).map(([name]) => name)),
  }
}

interface SchemaOption {
  readonly type?: unknown
  readonly anyOf?: readonly SchemaOption[]
  readonly oneOf?: readonly SchemaOption[]
}
