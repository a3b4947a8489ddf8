import { chmod, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Artefact, type ArtefactStore, digestOf } from './store.ts'

/** A file that was used within this time is kept: a machine of another worker may be about to open it. */
const KEPT_MS = 3600_000

/** Files of a store on this host. Files that have not been used for long make room for others. */
export class FileCache {
  readonly #folder: string
  readonly #store: ArtefactStore
  readonly #mostBytes: number
  /** Files that were checked, or are being fetched. */
  readonly #files = new Map<string, Promise<string>>()

  /** @param mostBytes - limit above which files unused for an hour are removed */
  constructor(folder: string, store: ArtefactStore, mostBytes: number) {
    // Absolute, because links in machines' folders point here.
    this.#folder = resolve(folder)
    this.#store = store
    this.#mostBytes = mostBytes
  }

  /**
   * Returns the absolute path of a file, fetched if it is absent or damaged. Its content must not be changed.
   *
   * @throws StoreError if the store lacks the file
   */
  async pathOf({ sha256, bytes }: Artefact): Promise<string> {
    const known = this.#files.get(sha256)
    if (known !== undefined) {
      const path = await known.catch(() => undefined)
      if (path !== undefined && (await stat(path).catch(() => undefined))?.size === bytes) return touched(path)
      if (this.#files.get(sha256) === known) this.#files.delete(sha256)
    }
    const made = this.#files.get(sha256) ?? this.#fetch(sha256)
    this.#files.set(sha256, made)
    return touched(await made)
  }

  async #fetch(sha256: string): Promise<string> {
    const path = join(this.#folder, sha256)
    const found = await digestOf(path).catch(() => undefined)
    if (found?.sha256 === sha256) return path
    await mkdir(this.#folder, { recursive: true })
    await this.#store.get(sha256, path)
    await chmod(path, 0o444)
    await this.#makeRoom()
    return path
  }

  async #makeRoom(): Promise<void> {
    const names = await readdir(this.#folder)
    const found = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name)
        const { size, mtimeMs } = (await stat(path).catch(() => undefined)) ?? { size: 0, mtimeMs: Infinity }
        return { path, size, mtimeMs }
      }),
    )
    let sum = found.reduce((total, { size }) => total + size, 0)
    const oldest = found.filter(({ mtimeMs }) => mtimeMs < Date.now() - KEPT_MS).sort((a, b) => a.mtimeMs - b.mtimeMs)
    for (const { path, size } of oldest) {
      if (sum <= this.#mostBytes) return
      await rm(path, { force: true })
      sum -= size
    }
  }
}

/** Notes the use of a file by its time; another user's file keeps its time. */
async function touched(path: string): Promise<string> {
  const now = new Date()
  await utimes(path, now, now).catch(() => undefined)
  return path
}
