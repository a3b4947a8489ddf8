import { basename, dirname, join } from 'node:path'
import { test } from 'vitest'
import type { ClusterInput } from '../index.ts'
import { type ClusterTestOptions, testCluster } from '../node/test-cluster.ts'
import { type CrashTestOptions, testCrashes } from '../node/test-crashes.ts'

/** Options of tests of a cluster. */
export interface ClusterTestsOptions extends Omit<ClusterTestOptions, 'seed' | 'plan' | 'signal'> {
  /** The seeds, each of which is a test (1, unless there are plans). */
  readonly seeds?: readonly number[]
  /** Paths of plans that `retrap cluster explore` has left, each of which is a test. */
  readonly plans?: readonly string[]
  /** Host time of a test in milliseconds (600,000). */
  readonly timeoutMs?: number
}

const LIMIT_MS = 600_000

/**
 * Makes tests of vitest of a cluster, one for each seed and each plan. The message of a failure has the seed, the faults, the last lines
 * of the run, and the commands that show the same run again.
 *
 * @param name - of the tests: seeds and plans come behind it
 * @param cluster - as in a `cluster.json`, or the path of a `cluster.json` or a Compose file; paths begin at the folder of the test's file
 */
export function clusterTest(name: string, cluster: ClusterInput | string, options: ClusterTestsOptions = {}): void {
  const { plans = [], seeds = plans.length === 0 ? [1] : [], timeoutMs = LIMIT_MS, ...more } = options
  const add = (what: string, run: Pick<ClusterTestOptions, 'seed' | 'plan'>): void => {
    const title = `${name}, ${what}`
    test(title, { timeout: timeoutMs }, ({ task, signal }) =>
      testCluster(cluster, { ...placesOf(task.file.filepath, title, more), ...run, signal }),
    )
  }
  for (const seed of seeds) add(`seed ${seed}`, { seed })
  for (const plan of plans) add(plan, { plan })
}

/**
 * Makes a test of vitest: the power of a machine goes at every flush of its disk, and a check follows.
 *
 * @param options - paths begin at the folder of the test's file; `timeoutMs` is the host time of the test in milliseconds (1,200,000)
 */
export function crashTest(name: string, options: CrashTestOptions & { readonly timeoutMs?: number }): void {
  const { timeoutMs = 2 * LIMIT_MS, ...more } = options
  test(name, { timeout: timeoutMs }, ({ task, signal }) =>
    testCrashes({ ...placesOf(task.file.filepath, name, more), signal }),
  )
}

/** Options of a test, with the folder of its file, and a folder for its plans and recordings. */
function placesOf<T extends { readonly folder?: string | undefined; readonly outputFolder?: string | undefined }>(
  path: string,
  title: string,
  options: T,
): T & { readonly folder: string; readonly outputFolder: string } {
  const { folder = dirname(path), outputFolder = join('temp', 'retrap') } = options
  const places = [basename(path), title].map((one) => one.replaceAll(/[^\p{L}\p{N}]+/gu, '-'))
  return { ...options, folder, outputFolder: join(outputFolder, ...places) }
}
