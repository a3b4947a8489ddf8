import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { plainLine } from '@retrap/basics'
import type { Job, JobResult } from '../plan/job.ts'
import { MOST_JOBS } from '../plan/plan-schema.ts'
import { numbered, PlanError } from '../plan/read-plan.ts'
import { JobRunner, type PlanRun } from '../run-plan.ts'

/** The seeds and branches of an exploration. */
export interface ExploreFlags {
  /** The first seed. */
  readonly seed: number
  /** The number of seeds. */
  readonly seeds: number
  /** The first and the last branch of each seed; of trees the last one is the number of states. */
  readonly branches: readonly [first: number, last: number]
  /** The most branches of a job. A seed's trees are one job. */
  readonly slice: number
  readonly fromStart?: boolean
  readonly keepGoing?: boolean
  readonly blind?: boolean
  /** Host time limit of a job, in seconds. */
  readonly timeout: number
}

/** A job, and the seed that it explores. */
interface SeedJob {
  readonly seed: number
  readonly job: Job
}

/**
 * Looks for failures of a cluster by many seeds, and prints one table of them. The plans of failures, and the results of jobs, come into
 * the folder of results.
 *
 * @param file - the cluster's, at the same path on all hosts
 * @returns whether all branches were gone, and none has failed
 * @throws PlanError for too many jobs; an error of the file system that names a file
 */
export async function exploreCluster(
  file: string,
  flags: ExploreFlags,
  run: PlanRun,
  stdout: { write(text: string): unknown },
): Promise<boolean> {
  const jobs = jobsOf(file, flags)
  const runner = new JobRunner(run)
  const results = await runner.run(jobs.map(({ job }) => job))
  runner.write(results)
  const plans = join(run.out, 'plans')
  const bySeed = Map.groupBy(results.all, (_, i) => jobs[i]!.seed)
  const rows = [...bySeed].map(([seed, all]) => rowOf(seed, all, plans))
  stdout.write(tableOf([['seed', flags.fromStart === true ? 'branches' : 'states', 'result'], ...rows]))
  return results.passed
}

/** The jobs of an exploration: the trees of each seed, or its branches in slices. */
function jobsOf(file: string, { seed: from, seeds, branches, timeout, ...flags }: ExploreFlags): SeedJob[] {
  const [first, last] = branches
  const hasRanges = flags.fromStart === true
  if (!hasRanges && first > 1) throw new PlanError(file, '--branches: expected a number, or --from-start, too')
  const slice = hasRanges ? flags.slice : last
  const slices = Math.ceil((last - first + 1) / slice)
  if (seeds * slices > MOST_JOBS) throw new PlanError(file, `${seeds * slices} jobs are too many: ${MOST_JOBS} at most`)
  return Array.from({ length: seeds * slices }, (_, i) => {
    const seed = from + Math.floor(i / slices)
    const begin = first + (i % slices) * slice
    const range = hasRanges ? `${begin}-${Math.min(last, begin + slice - 1)}` : `${last}`
    const args = [
      // A thread is enough where many clusters run at once.
      ...[basename(file), `--seed=${seed}`, `--branches=${range}`, '--workers=1'],
      ...(flags.keepGoing === true ? ['--keep-going'] : []),
      ...(hasRanges ? ['--from-start'] : []),
      ...(flags.blind === true ? ['--blind'] : []),
    ]
    const name = `seed ${seed}, ${hasRanges ? 'branches' : 'states'} ${range}`
    const job = {
      ...({ name, system: 'cluster', folder: dirname(resolve(file)), args } as const),
      ...{ expect: [], timeoutSeconds: timeout, retries: 0 },
    }
    return { seed, job: numbered(job, i) }
  })
}

/** A line of the table, with the plans of failures written. */
function rowOf(seed: number, jobs: readonly JobResult[], plans: string): readonly string[] {
  const last = jobs.map(({ attempts }) => attempts.at(-1))
  const explored = last.flatMap((attempt) => attempt?.explored ?? [])
  const found = explored
    .flatMap(({ findings }) => findings)
    .map(({ name, plan }) => {
      const path = join(plans, `seed-${seed}-${name.replace(' ', '-')}.json`)
      mkdirSync(plans, { recursive: true })
      writeFileSync(path, `${JSON.stringify(plan, undefined, 2)}\n`)
      const faults = plan.path?.flatMap((stretch) => stretch.faults) ?? plan.faults
      return `${name}: ${plainLine(plan.failure)} (faults: ${faults.length}; ${path})`
    })
  const lost = jobs.filter(({ passed, attempts }) => {
    const attempt = attempts.at(-1)
    return !passed && !(attempt?.outcome === 'ended' && attempt.explored !== undefined)
  })
  const missing = lost.map(
    ({ job, attempts }) => `${job.name}: ${plainLine(attempts.at(-1)?.detail ?? 'it was not run')}`,
  )
  const told = [...found, ...missing]
  const count = explored.reduce((sum, one) => sum + one.count, 0)
  return [`${seed}`, `${count}`, told.length === 0 ? 'ok' : told.join('; ')]
}

/** Columns, of which the last one is text. */
function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]!.length)))
  return rows
    .map(([seed, branches, result]) => `${seed!.padStart(widths[0]!)}  ${branches!.padStart(widths[1]!)}  ${result}\n`)
    .join('')
}
