import { access, constants, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CliError } from '../cli-error.ts'

const TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of its name is a file, not a folder',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
  ENOSPC: 'there is no room for it',
  EROFS: 'it is on a read-only file system',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
  EADDRINUSE: 'it is in use already',
  ECONNREFUSED: 'nothing listens there',
}
/** Where it was to be written. */
const WRITE_TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'its folder is not there',
  EACCES: 'it may not be written',
  EPERM: 'it may not be written',
}

const NOT_REGULAR = 'it is not a regular file'

/** A file as a plain array: the machine's packages know nothing of Node's buffers, whose `slice` copies nothing. */
export async function readBytes(path: string): Promise<Uint8Array> {
  const { buffer, byteOffset, byteLength } = await readFile(path)
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/**
 * A file that the user named.
 *
 * @param label - what the message calls it, such as `--kernel FILE`
 * @throws CliError `ERR_INPUT` with why it cannot be read
 */
export async function readInput(label: string, path: string): Promise<Uint8Array> {
  try {
    // Some devices never end.
    if (!(await stat(path)).isCharacterDevice()) return await readBytes(path)
  } catch (error) {
    throw new CliError('ERR_INPUT', `${label}: ${troubleWith(error)}`)
  }
  throw new CliError('ERR_INPUT', `${label}: it is a device, not a file`)
}

/** A new file is to take the place of what has its name. @throws CliError `ERR_INPUT` for a device, a pipe or a socket */
export async function refuseSpecial(path: string): Promise<void> {
  const state = await stat(path).catch(() => undefined)
  if (state === undefined || state.isFile() || state.isDirectory()) return
  throw new CliError('ERR_INPUT', NOT_REGULAR)
}

/**
 * Looks whether a file can be written when the run ends, or as it goes: what a long run has shown must not be lost then.
 *
 * @param option - that names the file
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

/** Why a file could not be opened, read or written, without Node's words for it. */
export function troubleWith(error: unknown, wanted: 'read' | 'write' = 'read'): string {
  if (error instanceof CliError) return error.message
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const trouble = (wanted === 'write' ? WRITE_TROUBLES[code] : undefined) ?? TROUBLES[code]
  return trouble ?? (error instanceof Error ? error.message : String(error))
}
