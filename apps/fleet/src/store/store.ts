import { createHash, randomUUID } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** A file identified by its content. */
export interface Artefact {
  /** 64 hexadecimal digits, in lower case. */
  readonly sha256: string
  readonly bytes: number
}

/** A store that is named wrongly, cannot be used, or lacks a file. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
}

/** Files by the hash of their content, for all hosts of a fleet. */
export interface ArtefactStore {
  /** Stores a file, unless its content exists already. */
  put(path: string): Promise<Artefact>
  /**
   * Writes the content of a hash to a file, which is there whole or not at all.
   *
   * @throws StoreError if the file is absent, or has another content
   */
  get(sha256: string, path: string): Promise<void>
}

/** Whether a text is a hash as {@link Artefact} has it. A hash is part of file names and addresses. */
export function isSha256(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)
}

/** Hash and size of a file. */
export async function digestOf(path: string): Promise<Artefact> {
  const hash = createHash('sha256')
  let bytes = 0
  await pipeline(createReadStream(path), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      hash.update(chunk)
      bytes += chunk.length
    }
  })
  return { sha256: hash.digest('hex'), bytes }
}

/** A store in a folder, on a file system that the hosts share: `ab/cdef…` for the hash `abcdef…`. */
export class FolderStore implements ArtefactStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async put(path: string): Promise<Artefact> {
    const digest = await digestOf(path)
    const target = this.#pathOf(digest.sha256)
    if ((await stat(target).catch(() => undefined))?.size === digest.bytes) return digest
    await mkdir(dirname(target), { recursive: true })
    await verifiedFile(target, digest.sha256, (scratch) => copyFile(path, scratch, constants.COPYFILE_FICLONE))
    return digest
  }

  async get(sha256: string, path: string): Promise<void> {
    await verifiedFile(path, sha256, async (scratch) => {
      await copyFile(this.#pathOf(sha256), scratch, constants.COPYFILE_FICLONE).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT')
          throw new StoreError(`the store ${this.#folder} has no ${sha256}`)
        throw error
      })
    })
  }

  #pathOf(sha256: string): string {
    return join(this.#folder, sha256.slice(0, 2), sha256.slice(2))
  }
}

/**
 * Makes a file under a temporary name, and renames it if its content has the expected hash.
 *
 * @throws StoreError for another hash
 */
export async function verifiedFile(
  path: string,
  sha256: string,
  make: (scratch: string) => Promise<void>,
): Promise<void> {
  const scratch = `${path}.${randomUUID()}`
  try {
    await make(scratch)
    const found = await digestOf(scratch)
    if (found.sha256 !== sha256)
      throw new StoreError(
        `a file of the hash ${sha256} has the hash ${found.sha256}: it is damaged, or has been changed`,
      )
    await rename(scratch, path)
  } finally {
    await rm(scratch, { force: true })
  }
}
