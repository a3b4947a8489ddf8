import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { ClusterError } from '../index.ts'
import { type ClusterTestOptions, retrapFrom, runRetrap } from './test-cluster.ts'

/** Options of a crash test. */
export interface CrashTestOptions extends Pick<ClusterTestOptions, 'seed' | 'folder' | 'retrap' | 'signal'> {
  /** A command of a shell that writes to `/data`. */
  readonly work: string
  /** A command of a shell that ends with 0 where `/data` is as it should be; or its reports say so. */
  readonly check: string
  /** Further options of `retrap crash-test`, such as `['--image', 'db.tar', '--for', '2m']`. */
  readonly options?: readonly string[]
  /** A folder for plans and recordings of losses, which is emptied; default `temp/retrap/crash-test`. */
  readonly outputFolder?: string
}

/**
 * Runs `retrap crash-test`: the power of a machine goes at every flush of its disk, and a check follows.
 *
 * @throws ClusterError `ERR_FAILED` where something was lost: the message has the table, the losses, and the commands that show them
 *   again; `ERR_MACHINE` for a machine that cannot run, or work that fails without a crash
 */
export async function testCrashes({ work, check, ...given }: CrashTestOptions): Promise<void> {
  const { seed = 1, folder = '.', options = [], signal } = given
  const outputFolder = resolve(given.outputFolder ?? join('temp', 'retrap', 'crash-test'))
  const retrap = given.retrap ?? retrapFrom(folder)
  await rm(outputFolder, { recursive: true, force: true })
  await mkdir(outputFolder, { recursive: true })
  const words = ['crash-test', '--work', work, '--check', check, '--seed', `${seed}`, '--out', outputFolder, ...options]
  const { how, stdout, stderr } = await runRetrap([...retrap, ...words], signal, folder)
  if (how === 'exit code 0') return rm(outputFolder, { recursive: true, force: true })
  if (how === 'exit code 1') throw new ClusterError('ERR_FAILED', `the power was lost:\n${stdout}`)
  throw new ClusterError('ERR_MACHINE', `the crash test was not run to its end (${how}): ${stderr.trim()}`)
}
