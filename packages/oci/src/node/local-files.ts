import { constants } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ImageFile, type ImageFiles, OciError } from '../index.ts'

/** Opens a local file. @returns undefined if it does not exist @throws OciError `ERR_FORMAT` if it is not a file */
export async function openLocalFile(path: string): Promise<ImageFile | undefined> {
  let handle: FileHandle
  try {
    // Opening a pipe without a writer must not block.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
    throw error
  }
  const stat = await handle.stat({ bigint: true })
  if (!stat.isFile()) {
    await handle.close()
    throw new OciError('ERR_FORMAT', path, 'it is neither a file nor a folder')
  }
  const { dev, ino, size, mtimeNs, ctimeNs } = stat
  return {
    name: path,
    size: Number(size),
    stamp: [dev, ino, size, mtimeNs, ctimeNs].join(':'),
    read: async (offset, into) => (await handle.read(into, 0, into.length, offset)).bytesRead,
    close: () => handle.close(),
  }
}

/** The files of a folder of this host. */
export function localFolder(path: string): ImageFiles {
  return {
    name: path,
    open: (name) => openLocalFile(join(path, name)),
    async close() {},
  }
}

/** Begins the names of files that are not complete yet. */
export const NEW = 'new-'

/** Writes a file that appears when it is complete. */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const made = join(dirname(path), `${NEW}${randomUUID()}`)
  try {
    await writeFile(made, content, { flag: 'wx', mode: 0o600 })
    await rename(made, path)
  } catch (error) {
    await rm(made, { force: true }).catch(() => {})
    throw error
  }
}

/** Sets a file's time to now, as far as it may be set. */
export const touch = (path: string): Promise<void> => utimes(path, new Date(), new Date()).catch(() => {})

/** Returns the code of an error of Node's; empty without one. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
