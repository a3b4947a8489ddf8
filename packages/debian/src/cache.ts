import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir, hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { DebianError } from './errors.ts'

const MANIFEST = 'manifest.json'
const FORMAT = 1
const SCRATCH = 'fetch-'
/** Files read in parallel to detect changes. */
const FILES_AT_ONCE = 16
/** A scratch folder of another host, or of an unknown one, is abandoned after this time. */
const ABANDONED_MS = 24 * 3600 * 1000

/** Returns `retrap` in the user's cache folder, as the XDG base directory specification places it. */
export function cacheDirectory(): string {
  const cache = process.env['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'retrap')
}

/** The steps that make and check a folder of the cache. */
export interface KeepOptions<T> {
  /** The cache; {@link cacheDirectory} unless given. */
  readonly root?: string
  /** The folder's path below the cache. */
  readonly name: string
  /** Rebuilds the folder even if it exists. */
  readonly refresh?: boolean
  /** Takes a file whose size and time are the recorded ones as unchanged: for folders too large to be read each time. */
  readonly trustTimes?: boolean
  /** Fills `folder`; `scratch` is a second folder, which is removed. Returns the value to record, as JSON. */
  make(folder: string, scratch: string): Promise<T>
}

/** A folder of the cache, with its recorded value. */
export interface Kept<T> {
  readonly folder: string
  readonly data: T
}

interface FileRecord {
  readonly size: number
  readonly mtimeMs: number
  /** SHA-256 of the content; absent for a symbolic link. */
  readonly sha256?: string
}

interface Manifest<T> {
  readonly format: number
  readonly data: T
  readonly files: Readonly<Record<string, FileRecord>>
}

/**
 * Returns a folder of the cache, built first if it is absent or a file's SHA-256 differs.
 *
 * The folder appears under its name only when it is complete, so that neither an interruption nor a second process
 * leaves half of one.
 *
 * @throws DebianError `ERR_CACHE` if the cache cannot be written; errors of `make`
 */
export async function keep<T>(options: KeepOptions<T>): Promise<Kept<T>> {
  const root = options.root ?? cacheDirectory()
  const folder = join(root, options.name)
  if (options.refresh !== true) {
    const data = await readKept<T>(folder, options.trustTimes === true)
    if (data !== undefined) return { folder, data }
  }
  return withScratchFolder(root, async (scratch) => {
    const made = join(scratch, 'files')
    const data = await options.make(made, scratch)
    try {
      await makeFolder(made)
      const manifest: Manifest<T> = { format: FORMAT, data, files: await describeFiles(made) }
      await writeFile(join(made, MANIFEST), JSON.stringify(manifest, null, 1))
      await makeFolder(dirname(folder))
      // Another process may be reading the old folder, or may have placed an equally good new one first.
      await rename(folder, join(scratch, 'old')).catch(unless('ENOENT'))
      await rename(made, folder).catch(unless('ENOTEMPTY', 'EEXIST'))
    } catch (error) {
      throw cacheError(root, error)
    }
    return { folder, data }
  })
}

/** Returns a folder of the cache with its recorded value; undefined if it is absent or a file has changed. */
export async function findKept<T>(root: string, name: string): Promise<Kept<T> | undefined> {
  const folder = join(root, name)
  const data = await readKept<T>(folder, false)
  return data === undefined ? undefined : { folder, data }
}

/** Returns a folder of the cache; undefined if it is absent or a file has changed. */
export async function find(root: string, name: string): Promise<string | undefined> {
  return (await findKept(root, name))?.folder
}

/**
 * Runs `work` with an empty folder in the cache, and removes the folder afterwards. Folders that killed processes have
 * left are removed first.
 *
 * @throws DebianError `ERR_CACHE` if the folder cannot be made
 */
export async function withScratchFolder<T>(root: string, work: (scratch: string) => Promise<T>): Promise<T> {
  let scratch: string
  try {
    await makeFolder(root)
    await sweep(root)
    scratch = await mkdtemp(join(root, `${SCRATCH}${host()}.${process.pid}-`))
  } catch (error) {
    throw cacheError(root, error)
  }
  try {
    return await work(scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 3 })
  }
}

/**
 * Makes a folder and its parents. Node's recursive `mkdir` loops forever in /proc, where a folder exists and ENOENT is the
 * answer for all new entries.
 */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if (isCode(error, 'EEXIST') && (await stat(path)).isDirectory()) return
    if (!isCode(error, 'ENOENT') || dirname(path) === path) throw error
    await makeFolder(dirname(path))
    await mkdir(path).catch(unless('EEXIST'))
  }
}

/** Removes scratch folders whose process has ended. */
async function sweep(root: string): Promise<void> {
  const names = (await readdir(root)).filter((name) => name.startsWith(SCRATCH))
  await Promise.all(
    names.map(async (name) => {
      const path = join(root, name)
      if (await isAbandoned(path, name)) await rm(path, { recursive: true, force: true }).catch(() => {})
    }),
  )
}

async function isAbandoned(path: string, name: string): Promise<boolean> {
  const [, owner, pid] = /^fetch-(.+)\.(\d+)-[^-]*$/.exec(name) ?? []
  if (owner === host() && pid !== undefined && !isAlive(Number(pid))) return true
  const state = await lstat(path).catch(() => undefined)
  return state !== undefined && Date.now() - state.mtimeMs > ABANDONED_MS
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // A process of another user may not be signalled.
    return isCode(error, 'EPERM')
  }
}

/** This host's name with nothing that would be part of a path. */
const host = (): string => hostname().replaceAll(/[^A-Za-z0-9_]/g, '_')

/** Returns the value recorded with a folder; undefined if it is absent or a file has changed. */
async function readKept<T>(folder: string, trustTimes: boolean): Promise<T | undefined> {
  let manifest: Manifest<T>
  try {
    manifest = JSON.parse(await readFile(join(folder, MANIFEST), 'utf8')) as Manifest<T>
  } catch {
    return undefined
  }
  if (manifest.format !== FORMAT) return undefined
  const files = Object.entries(manifest.files).values()
  let isKept = true
  const check = async (): Promise<void> => {
    for (const [name, recorded] of files) {
      if (isKept && !(await isUnchanged(join(folder, name), recorded, trustTimes))) isKept = false
    }
  }
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, check))
  return isKept ? manifest.data : undefined
}

async function isUnchanged(path: string, recorded: FileRecord, trustTimes: boolean): Promise<boolean> {
  const state = await lstat(path).catch(() => undefined)
  if (state === undefined || state.size !== recorded.size) return false
  if (recorded.sha256 === undefined || (trustTimes && state.mtimeMs === recorded.mtimeMs)) return true
  return state.isFile() && (await hashFile(path)) === recorded.sha256
}

async function describeFiles(folder: string): Promise<Record<string, FileRecord>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files: Record<string, FileRecord> = {}
  for (const entry of entries) {
    if (entry.isDirectory()) continue
    const path = join(entry.parentPath, entry.name)
    const { size, mtimeMs } = await lstat(path)
    const sha256 = entry.isFile() ? { sha256: await hashFile(path) } : {}
    files[path.slice(folder.length + 1)] = { size, mtimeMs, ...sha256 }
  }
  return files
}

/** The SHA-256 of a file. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it cannot be made',
  EACCES: 'it may not be written',
  EPERM: 'it may not be written',
  EROFS: 'it is on a read-only file system',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'it is a file',
  ENOSPC: 'no space is left on its disk',
  EDQUOT: 'the disk quota is used up',
}

function cacheError(root: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reason = REASONS[code]
  if (reason === undefined) return error
  return new DebianError(
    'ERR_CACHE',
    `the cache folder ${root} cannot be used: ${reason}; set XDG_CACHE_HOME to a folder that can`,
  )
}

function unless(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    if (!isCode(error, ...codes)) throw error
  }
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
