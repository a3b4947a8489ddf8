import { resolve } from 'node:path'
import { plainLine } from '@retrap/basics'
import type { Job, JobResult } from './plan/job.ts'
import { PlanError } from './plan/read-plan.ts'
import { Results } from './results/results.ts'
import { JobRunner, jobsOfPlan, type PlanRun } from './run-plan.ts'

/** Jobs that differ in nothing but their number: `repeat` of a plan. All have to pass. */
type Candidate = readonly [Job, ...Job[]]

/**
 * Finds the first of a plan's machines that does not meet its expectation, such as the first kernel of a list. Machines are in
 * the order of the plan; those before the first bad one are taken to be good, and those after it to be bad.
 *
 * @param path - path of the plan, whose first machine must pass, and whose last one must fail
 * @returns whether the first bad machine was found; results of all runs are written as for a plan
 * @throws PlanError for fewer than two machines, or an invalid one
 */
export async function bisectPlan(path: string, run: PlanRun): Promise<boolean> {
  const jobs = await jobsOfPlan(path, run)
  const candidates = candidatesOf(jobs)
  if (candidates.length < 2)
    throw new PlanError(path, 'a bisection needs two machines or more, such as kernel: [good, …, bad]')
  const runner = new JobRunner(run)
  const ran: JobResult[] = []
  const areGood = async (indices: readonly number[]): Promise<boolean[]> => {
    const { all } = await runner.run(indices.flatMap((i) => candidates[i] ?? []))
    ran.push(...all)
    for (const { job, attempts } of all) {
      const last = attempts.at(-1)
      // Such a machine is neither good nor bad.
      if (last?.outcome === 'error' && !run.signal.aborted)
        throw new PlanError(path, `${job.name} cannot be tested: ${last.detail}`)
    }
    const failed = new Set(all.filter(({ passed }) => !passed).map(({ job }) => job))
    return indices.map((i) => !(candidates[i] ?? []).some((job) => failed.has(job)))
  }
  const say = (...lines: readonly string[]): void =>
    void run.progress.write(lines.map((line) => `${plainLine(line)}\n`).join(''))
  const nameOf = (i: number): string => candidates[i]?.[0].name ?? ''
  const found = await firstBad(candidates.length, areGood, run.signal)
  const results = new Results(ran.map(({ job }) => job))
  for (const attempt of ran.flatMap(({ attempts }) => attempts)) results.add(attempt)
  runner.write(results)
  if (found === 'stopped') say('stopped')
  else if (found === 'no difference')
    say(`nothing to find: the first machine has to pass and the last one to fail; see ${resolve(run.out)}`)
  else say(`first bad: ${nameOf(found)}`, `last good: ${nameOf(found - 1)}`)
  return typeof found === 'number'
}

/**
 * Finds the first bad of some things, the first of which is good, and the last one bad.
 *
 * @param areGood - tests items by index
 * @returns its index, found by at most 2 + log2(count - 1) tests, rounded up
 */
export async function firstBad(
  count: number,
  areGood: (indices: readonly number[]) => Promise<readonly boolean[]>,
  signal: AbortSignal,
): Promise<number | 'stopped' | 'no difference'> {
  let [good, bad] = [0, count - 1]
  const [isFirstGood, isLastGood] = await areGood([good, bad])
  if (!signal.aborted && (isFirstGood !== true || isLastGood !== false)) return 'no difference'
  while (bad - good > 1 && !signal.aborted) {
    const middle = Math.floor((good + bad) / 2)
    const [isGood] = await areGood([middle])
    if (isGood === true) good = middle
    else bad = middle
  }
  return signal.aborted ? 'stopped' : bad
}

function candidatesOf(jobs: readonly Job[]): Candidate[] {
  const groups: [Job, ...Job[]][] = []
  let before = ''
  for (const job of jobs) {
    const { id: _id, name: _name, ...content } = job
    const key = JSON.stringify(content)
    if (key === before) groups.at(-1)?.push(job)
    else groups.push([job])
    before = key
  }
  return groups
}
