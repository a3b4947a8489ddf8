import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { inputNames, outputNames } from './plan/job-files.ts'
import { type Attempt, failedAttempt, type Job, type JobInput } from './plan/job.ts'
import type { KnownOptions } from './plan/plan-schema.ts'
import { readPlan } from './plan/read-plan.ts'
import { Progress, type ProgressStream } from './progress.ts'
import type { JobListener, JobQueue, MakeAttempt } from './queue/queue.ts'
import { Results } from './results/results.ts'
import { type Artefact, type ArtefactStore, StoreError } from './store/store.ts'
import { runStoredJob, type StoredJobs } from './worker/job-folder.ts'
import { logPath, type MachineRunner, runMachine, untilItCounts } from './worker/machine-process.ts'

/** Options for running a plan. */
export interface PlanRun extends Pick<MachineRunner, 'retrap'> {
  /** Store for the files of the plan and outputs of machines; absent if all hosts share their files by name. */
  readonly stored?: StoredJobs
  /** Makes the queue; one within this process makes attempts by the function. */
  readonly queueOf: (make: MakeAttempt) => JobQueue
  /** Folder for results, and for the log of each attempt; made where it is absent. */
  readonly out: string
  readonly progress: ProgressStream
  /** Ends the machines; jobs that are left have not passed. */
  readonly signal: AbortSignal
}

/**
 * Runs all jobs of a plan, and writes their results.
 *
 * @param path - path of the plan, a YAML file
 * @returns whether every job has met its expectation
 * @throws PlanError, StoreError; an error of the file system that names a file
 */
export async function runPlan(path: string, run: PlanRun): Promise<boolean> {
  const runner = new JobRunner(run)
  const results = await runner.run(await jobsOfPlan(path, run))
  runner.write(results)
  return results.passed
}

/** Returns the jobs of a plan, after putting its files into the store, if any. @throws as {@link runPlan} */
export async function jobsOfPlan(path: string, { retrap, stored }: PlanRun): Promise<Job[]> {
  const named = readPlan(path, readFileSync(path, 'utf8'), knownOptions(retrap))
  return stored === undefined ? named : withInputs(named, stored.store)
}

/** Runs jobs, whose logs come into the folder of results. */
export class JobRunner {
  readonly #run: PlanRun
  readonly #logs: string
  readonly #queue: JobQueue
  readonly #started = performance.now()

  constructor(run: PlanRun) {
    const { retrap, stored, queueOf, out } = run
    this.#run = run
    this.#logs = join(resolve(out), 'logs')
    mkdirSync(this.#logs, { recursive: true })
    this.#queue = queueOf(makerOf({ retrap, logs: this.#logs }, stored))
  }

  /** Runs jobs to their ends. */
  async run(jobs: readonly Job[]): Promise<Results> {
    const { retrap, stored, progress: stream, signal } = this.#run
    const results = new Results(jobs)
    const progress = new Progress(stream, jobs.length)
    const fetching: Promise<unknown>[] = []
    const fetchLog = async (job: Job, { attempt, artefacts = [] }: Attempt): Promise<void> => {
      const log = artefacts.find(({ name }) => name === 'log')
      const file = logPath({ retrap, logs: this.#logs }, job, attempt)
      if (log !== undefined && stored !== undefined && !existsSync(file)) await stored.store.get(log.sha256, file)
    }
    const listener: JobListener = {
      started: (job) => progress.started(job),
      ended(job, attempt) {
        results.add(attempt)
        progress.ended(job, attempt)
        const missed = (error: Error): void => progress.note(`${job.name} has no log here: ${error.message}`)
        fetching.push(fetchLog(job, attempt).catch(missed))
      },
      trouble: (message) => progress.trouble(message),
    }
    await this.#queue.run(jobs, listener, signal)
    await Promise.all(fetching)
    progress.finish()
    return results
  }

  /** Writes `results.xml`, `results.json` and `results.html`. */
  write(results: Results): void {
    results.write(resolve(this.#run.out), (performance.now() - this.#started) / 1000)
  }
}

/** Returns a function that makes attempts in this process: in separate folders if there is a store. */
export function makerOf(runner: MachineRunner, stored: StoredJobs | undefined): MakeAttempt {
  if (stored !== undefined)
    return (...attempt) => untilItCounts((...one) => runStoredJob(runner, stored, ...one), ...attempt)
  return (job, attempt, signal) => {
    if (job.inputs === undefined) return untilItCounts((...one) => runMachine(runner, ...one), job, attempt, signal)
    const detail = 'its files are in a store: start this worker with --store'
    return Promise.resolve(failedAttempt(job, attempt, detail))
  }
}

/**
 * Puts the files of jobs into a store, each once.
 *
 * @throws StoreError for a file that a store does not take; an error of the file system that names a file
 */
async function withInputs(jobs: readonly Job[], store: ArtefactStore): Promise<Job[]> {
  const put = new Map<string, Artefact>()
  const inputs = async (job: Job): Promise<JobInput[]> => {
    const { mistake } = outputNames(job)
    if (mistake !== undefined) throw new StoreError(`${job.name}: ${mistake}`)
    const found: JobInput[] = []
    for (const one of inputNames(job)) {
      if (one.name.endsWith('.json'))
        throw new StoreError(
          `${job.name}: ${one.name} names further files: with --store write its options into the plan`,
        )
      // A comma in a value of --drive is written twice.
      const isDrive = job.args[one.arg]?.startsWith('--drive=') === true
      const path = resolve(job.folder, isDrive ? one.name.replaceAll(',,', ',') : one.name)
      const artefact = put.get(path) ?? (await store.put(path))
      put.set(path, artefact)
      found.push({ ...one, ...artefact })
    }
    return found
  }
  const stored: Job[] = []
  for (const job of jobs) stored.push({ ...job, inputs: await inputs(job) })
  return stored
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
