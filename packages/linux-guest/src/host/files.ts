import type { OnProgress } from '@retrap/debian'
import { access, constants, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { mkdirSync, statSync } from 'node:fs'
import { CliError, TROUBLES, troubled } from '../errors.ts'

const NOT_REGULAR = 'it is not a regular file'

/** A file as a plain array: the machine's packages know nothing of Node's buffers, whose `slice` copies nothing. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = await readFile(path)
  const bytes = new Uint8Array(buffer, byteOffset, byteLength)
  paths.set(bytes, path)
  return bytes
}

const paths = new WeakMap<Uint8Array, string>()

/** The path of the file that an array was read from; undefined: none. */
export const pathOf = (bytes: Uint8Array): string | undefined => paths.get(bytes)

/**
 * A file that the user named.
 *
 * @param label - the file's name in messages, such as `--kernel FILE`
 * @throws CliError `ERR_INPUT` with the reason why the file cannot be read
 */
export async function readInput(label: string, path: string): Promise<Uint8Array> {
  const state = await stat(path).catch(troubled(label))
  // Reading a device such as /dev/zero would not end.
  if (state.isCharacterDevice()) throw new CliError('ERR_INPUT', `${label}: it is a device, not a file`)
  return readBytes(path).catch(troubled(label))
}

/** The file of a recording that the user named: itself, or the recording in the folder of a failing test. */
export async function recordingIn(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() === true ? join(path, 'run.recording') : path
}

/** Checks that a new file may replace an existing one. @throws CliError `ERR_INPUT` for a device, a pipe or a socket */
export async function refuseSpecial(path: string): Promise<void> {
  const state = await stat(path).catch(() => undefined)
  if (state === undefined || state.isFile() || state.isDirectory()) return
  throw new CliError('ERR_INPUT', NOT_REGULAR)
}

/**
 * Checks early whether a file can be written, so that a long run's results are not lost at the end.
 *
 * @param option - the option that names the file
 * @throws CliError `ERR_INPUT`
 */
export async function checkTarget(option: string, path: string): Promise<void> {
  const trouble = await troubleWithTarget(path)
  if (trouble !== undefined) throw new CliError('ERR_INPUT', `${option}: ${path}: ${trouble}`)
}

async function troubleWithTarget(path: string): Promise<string | undefined> {
  const [folder, state] = [dirname(path), await stat(path).catch(() => undefined)]
  if (state?.isDirectory() === true) return TROUBLES['EISDIR']
  if (state?.isFile() === false) return NOT_REGULAR
  if ((await stat(folder).catch(() => undefined))?.isDirectory() !== true) return `there is no folder ${folder}`
  const isWritable = await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
  return isWritable ? undefined : `nothing may be written to the folder ${folder}`
}

/**
 * Makes a folder, and those above it. Node's recursive `mkdirSync` never ends in /proc; see `@retrap/debian`'s cache.
 *
 * @param path - as `resolve` of `node:path` returns it
 * @throws the error of `mkdirSync`
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST' && statSync(path).isDirectory()) return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    makeFolder(dirname(path))
    mkdirSync(path)
  }
}

/** Prints a line for each fetched file, without the large library of `fetch-progress`. @param tell - gets a line */
export function fetchLines(tell: (text: string) => void): OnProgress {
  let told = ''
  return (_fraction, what) => {
    if (what !== told) tell(`fetching ${what}`)
    told = what
  }
}
