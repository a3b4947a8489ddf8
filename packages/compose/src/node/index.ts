import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { ComposeError, type ComposeProject, type ReadComposeOptions, readCompose } from '../index.ts'

const MOST_BYTES = 4 << 20

/**
 * Reads the Compose files of a project from disk. Paths of the model are absolute, with `/`.
 *
 * @param paths - the files in the order of merging, the first one also a folder; default: the current folder
 * @param options - as for `readCompose`; `environment` is that of the process unless given
 * @throws ComposeError for the first mistake; errors of the file system as Node has them
 */
export async function readComposeFiles(
  paths: readonly string[] = ['.'],
  options: Omit<ReadComposeOptions, 'read'> = {},
): Promise<ComposeProject> {
  const absolute = (path: string): string => resolve(path).replaceAll('\\', '/')
  const { environment = { HOME: homedir(), ...process.env }, envFiles, ...others } = options
  const files = envFiles && { envFiles: envFiles.map(absolute) }
  return readCompose(paths.map(absolute), { ...others, ...files, environment, read: readLocalFile })
}

/** Reads a file as text. @returns undefined if there is no file at the path */
async function readLocalFile(path: string): Promise<string | undefined> {
  try {
    const found = await stat(path)
    // A pipe would be waited for, and a device has no end.
    if (!found.isFile()) return undefined
    if (found.size <= MOST_BYTES) return await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
  const place = { file: path, line: 1, column: 1 }
  throw new ComposeError('ERR_LIMIT', place, '', `the file has more than ${MOST_BYTES} bytes`)
}
