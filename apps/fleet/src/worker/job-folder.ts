import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { inputNames, isPlainName, outputNames } from '../plan/job-files.ts'
import { type Attempt, failedAttempt, type Job, type JobInput } from '../plan/job.ts'
import type { FileCache } from '../store/file-cache.ts'
import { type ArtefactStore, isSha256, StoreError } from '../store/store.ts'
import { logPath, MachineLostError, type MachineRunner, runMachine } from './machine-process.ts'

/** The log's folder within that of a job: no place of an input, and hardly the name of an output. */
const LOGS = '.logs'

/** The store of a worker, and the folders that its jobs use. */
export interface StoredJobs {
  readonly store: ArtefactStore
  readonly cache: FileCache
  /** Folder for the folders of running machines. */
  readonly scratch: string
  /** Hashes of permitted modules with device models. */
  readonly modules: ReadonlySet<string> | 'all'
}

/**
 * Runs a machine in a separate folder: its files come from the store, and its outputs and log go to the store.
 *
 * @returns the attempt; an `error` if a file is absent, damaged or not allowed, or cannot be stored
 * @throws MachineLostError as `runMachine` does
 */
export async function runStoredJob(
  runner: MachineRunner,
  { store, cache, scratch, modules }: StoredJobs,
  job: Job,
  number: number,
  signal: AbortSignal,
): Promise<Attempt> {
  const started = performance.now()
  const failed = (error: unknown): Attempt => {
    const detail = error instanceof Error ? error.message : String(error)
    return failedAttempt(job, number, detail, (performance.now() - started) / 1000)
  }
  await mkdir(scratch, { recursive: true })
  const folder = await mkdtemp(join(resolve(scratch), `${process.pid}-`))
  try {
    const inputs = checkedInputs(job, modules)
    const { names, mistake } = outputNames(job)
    if (mistake !== undefined) throw new StoreError(mistake)
    const args = [...job.args]
    // In reverse order: a new name shifts the rest of its argument.
    for (const [i, input] of [...inputs.entries()].sort(([, a], [, b]) => b.at - a.at)) {
      const name = await placed(input, `${i}`, folder, cache)
      const text = args[input.arg] ?? ''
      args[input.arg] = text.slice(0, input.at) + name + text.slice(input.at + input.name.length)
    }
    // A separate log: a worker that has lost the job may still be writing its log, while this one must not change.
    const own = { ...runner, logs: join(folder, LOGS) }
    await mkdir(own.logs)
    const attempt = await runMachine(own, { ...job, folder, args }, number, signal)
    const files = [['log', logPath(own, job, number)], ...names.map((name) => [name, join(folder, name)])] as const
    const artefacts: { name: string; sha256: string; bytes: number }[] = []
    for (const [name = '', path = ''] of files) {
      if ((await stat(path).catch(() => undefined))?.isFile() !== true) continue
      artefacts.push({ name, ...(await store.put(path)) })
    }
    await copyFile(logPath(own, job, number), logPath(runner, job, number)).catch(() => undefined)
    return { ...attempt, artefacts }
  } catch (error) {
    if (error instanceof MachineLostError) throw error
    return failed(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Removes the folders of workers that were killed on this host. */
export async function removeAbandoned(scratch: string): Promise<void> {
  const names = await readdir(scratch).catch(() => [])
  const isAbandoned = (name: string): boolean => {
    try {
      return process.kill(Number.parseInt(name, 10), 0) && false
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH'
    }
  }
  const abandoned = names.filter((name) => /^[1-9]\d*-/.test(name) && isAbandoned(name))
  await Promise.all(abandoned.map((name) => rm(join(scratch, name), { recursive: true, force: true })))
}

/**
 * Returns the files of a job after checking that its arguments name each.
 *
 * @throws StoreError if an argument names a file of this host, or a module that is not allowed
 */
function checkedInputs(job: Job, modules: StoredJobs['modules']): readonly JobInput[] {
  const { inputs = [] } = job
  for (const { arg, at, name, use } of inputNames(job)) {
    const input = inputs.find((one) => one.arg === arg && one.at === at && one.name === name)
    if (input === undefined || !isSha256(input.sha256))
      throw new StoreError(`${name} is not in the store: run the plan with --store, too`)
    if (use === 'code' && modules !== 'all' && !modules.has(input.sha256))
      throw new StoreError(`${name} is code, which this worker does not allow: --allow-module ${input.sha256}`)
  }
  // The arguments decide how a file is used, because the queue's data is not trusted.
  return inputNames(job).map(
    (named) => ({ ...inputs.find(({ arg, at }) => arg === named.arg && at === named.at), ...named }) as JobInput,
  )
}

/** Puts a file into a job's folder. @returns its name within the folder */
async function placed(input: JobInput, place: string, folder: string, cache: FileCache): Promise<string> {
  // A comma would end the name within --drive.
  const base = basename(input.name).replaceAll(',', '_')
  if (!isPlainName(base)) throw new StoreError(`${input.name} is no name of a file`)
  const path = join(folder, place, base)
  await mkdir(join(folder, place))
  const cached = await cache.pathOf(input)
  if (input.use === 'read') await symlink(cached, path)
  else {
    // Copied, because Node takes a module's kind from its real name, even through a link.
    await copyFile(cached, path, constants.COPYFILE_FICLONE)
    await chmod(path, 0o600)
  }
  return `./${place}/${base}`
}
