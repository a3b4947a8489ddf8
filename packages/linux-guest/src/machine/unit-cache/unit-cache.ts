/** `--unit-cache`: compiled code of guests, kept in a folder for later runs. */
import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import type { CodeKeeper, CodeStore } from '@retrap/x86-cpu'
import { makeFolder } from '../../host/files.ts'
import { troubleWith } from '../../errors.ts'
import { digestOfGenerator } from '../generator-digest.ts'
import { isOwn, SCRATCH } from './pack-file.ts'
import { PackStore } from './pack-store.ts'

/** Most bytes and number of all packs; beyond them the least recently used packs are removed. */
const MOST_BYTES = 64 << 20
const MOST_PACKS = 64
const EXTENSION = '.units'
/** The age at which a file that is being written is complete, or was given up. */
const ABANDONED_MS = 3_600_000
/** Minimum time between two records of a pack's use. */
const MARK_AFTER_MS = 3_600_000
/** Time after which new code is written to its file; at the machine's end it is written at once. */
const WRITE_AFTER_MS = 60_000
/** All rights of all others, on the folder. */
const OTHERS = 0o077

/** The packages that generate code, by the names of their instruction sets. */
const GENERATORS: ReadonlyMap<string, string> = new Map([
  ['x86', '@retrap/x86-cpu'],
  ['arm64', '@retrap/arm-cpu'],
])

export const defaultUnitCache = (): string => join(cacheDirectory(), 'units')

/** The unit cache of commands without `--unit-cache`: `RETRAP_UNIT_CACHE` names its folder, or is `off`. */
export function environmentUnits(): UnitCache | undefined {
  const folder = process.env['RETRAP_UNIT_CACHE'] || undefined
  return folder === 'off' ? undefined : new UnitCache(folder, () => {})
}

/** Compiled code in a folder that only its user may enter. */
export class UnitCache implements CodeKeeper {
  readonly #folder: string
  readonly #warn: (message: string) => void
  readonly #isAsked: boolean
  readonly #stores = new Map<string, PackStore>()
  /** Whether the folder can be used; undefined before it was looked at. */
  #isThere: boolean | undefined
  #timer: NodeJS.Timeout | undefined

  /**
   * @param folder - default {@link defaultUnitCache}, without a warning if the folder cannot be created or written
   * @param warn - called with the reason why the folder is not used
   */
  constructor(folder: string | undefined, warn: (message: string) => void) {
    this.#folder = resolve(folder ?? defaultUnitCache())
    this.#isAsked = folder !== undefined
    this.#warn = warn
  }

  open(instructionSet: string, configuration: string): CodeStore | undefined {
    const generator = GENERATORS.get(instructionSet)
    this.#isThere ??= this.#prepare()
    if (generator === undefined || !this.#isThere) return undefined
    const digest = digestOf(generator)
    if (digest === undefined) return undefined
    const hash = createHash('sha256').update(digest)
    const name = hash.update(`${instructionSet}\n${configuration}`).digest('hex').slice(0, 32)
    let store = this.#stores.get(name)
    if (store === undefined) {
      const path = join(this.#folder, `${name}${EXTENSION}`)
      touch(path)
      store = new PackStore(path, () => this.#later())
      this.#stores.set(name, store)
    }
    return store
  }

  /** Creates the folder and checks it. */
  #prepare(): boolean {
    const folder = this.#folder
    try {
      makeFolder(dirname(folder))
      try {
        mkdirSync(folder, { mode: 0o700 })
        // The process's mask may have taken rights that are needed.
        chmodSync(folder, 0o700)
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      }
      const state = lstatSync(folder)
      if (!state.isDirectory()) return this.#refuse('it is no folder')
      if (!isOwn(state.uid)) return this.#refuse('it belongs to another user')
      if (process.getuid !== undefined && (state.mode & OTHERS) !== 0)
        return this.#refuse('others may enter it; give it the mode 0700')
      return true
    } catch (error) {
      if (this.#isAsked) this.#refuse(troubleWith(error, 'write'))
      return false
    }
  }

  #refuse(why: string): false {
    this.#warn(`compiled code is not kept in ${this.#folder}: ${why}`)
    return false
  }

  /** Schedules a write of all new code. */
  #later(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => this.#write(), WRITE_AFTER_MS)
    this.#timer.unref()
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      const written = [...this.#stores.values()].filter((store) => store.write())
      if (written.length > 0) this.#prune()
    } catch (error) {
      if (this.#isAsked && this.#isThere === true) this.#refuse(troubleWith(error, 'write'))
      this.#isThere = false
    }
  }

  /** Removes packs beyond the limits, and leftovers of other processes. */
  #prune(): void {
    const now = Date.now()
    const packs: { readonly path: string; readonly size: number; readonly mtimeMs: number }[] = []
    for (const name of readdirSync(this.#folder)) {
      const path = join(this.#folder, name)
      const state = statSync(path, { throwIfNoEntry: false })
      if (state === undefined) continue
      if (name.endsWith(SCRATCH) && now - state.mtimeMs > ABANDONED_MS) rmSync(path, { force: true })
      else if (name.endsWith(EXTENSION)) packs.push({ path, size: state.size, mtimeMs: state.mtimeMs })
    }
    let [bytes, count] = [0, 0]
    for (const { path, size } of packs.toSorted((a, b) => b.mtimeMs - a.mtimeMs)) {
      bytes += size
      count++
      if (bytes > MOST_BYTES || count > MOST_PACKS) rmSync(path, { force: true })
    }
  }

  /** Writes new code. The machines that use the cache have ended. */
  close(): void {
    this.#write()
    for (const store of this.#stores.values()) store.close()
    this.#stores.clear()
  }
}

/** Returns the digest of a package that generates code; undefined if unknown, as in a bundle of all packages. */
function digestOf(generator: string): Uint8Array | undefined {
  try {
    const digest = digestOfGenerator(generator)
    return digest.length > 0 ? digest : undefined
  } catch {
    return undefined
  }
}

/** Marks a pack as used, now and then. */
function touch(path: string): void {
  try {
    const now = Date.now()
    const state = statSync(path, { throwIfNoEntry: false })
    if (state !== undefined && now - state.mtimeMs > MARK_AFTER_MS) utimesSync(path, now / 1000, now / 1000)
  } catch {
    // The folder may be on a disk that cannot be written.
  }
}
