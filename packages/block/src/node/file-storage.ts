import { type BigIntStats, readSync, type Stats, writeSync } from 'node:fs'
import { constants, type FileHandle, open, rm, stat } from 'node:fs/promises'
import { BlockError, type BlockErrorCode } from '@retrap/device'
import { type BlockStorage, ImageError } from '../index.ts'
import { lockForReading, lockForWriting } from './file-lock.ts'
import { InPlace, isLocal } from './in-place.ts'
import type { FileLock } from './lock-file.ts'

/** Options for opening a {@link FileStorage}. */
export interface FileStorageOptions {
  /** Default false. */
  readonly readOnly?: boolean
  /**
   * When the file is locked: `now`, the default; or `later`, by {@link FileStorage.claim}, for a machine that another process
   * is about to hand over. Until then it is not written, and another process may write it. A file that is only read is never
   * locked then.
   */
  readonly lock?: 'now' | 'later'
}

/** A regular file of the host. It has several readers, or one writer; see the README, “Locks”. */
export class FileStorage implements BlockStorage {
  /** Whether writes are refused. */
  readonly readOnly: boolean
  readonly #path: string
  readonly #file: FileHandle
  /** The writer's lock; null: not held, so other processes may write the file. */
  #lock: FileLock | null
  /** The file's status when its lock was released: the lock is taken again only if no other process has written the file since. */
  #left: BigIntStats
  /** Null: no request is made in place. */
  readonly #inPlace: InPlace | null
  #bytes: number
  /** Error of a failed flush: the host may have lost unwritten data, which a later flush would not report. */
  #lost: BlockError | null = null

  private constructor(
    path: string,
    file: FileHandle,
    state: BigIntStats,
    readOnly: boolean,
    lock: FileLock | null,
    local: boolean,
  ) {
    this.#path = path
    this.#file = file
    this.readOnly = readOnly
    this.#left = state
    this.#bytes = Number(state.size)
    this.#lock = lock
    this.#inPlace = local ? new InPlace(() => performance.now()) : null
  }

  /** Opens a file. @throws ImageError `ERR_OPEN`, `ERR_LOCKED` */
  static async open(path: string, options: FileStorageOptions = {}): Promise<FileStorage> {
    const readOnly = options.readOnly ?? false
    let file: FileHandle
    try {
      // Opening a FIFO would wait for its other end.
      if (isSpecial(await stat(path))) throw new ImageError('ERR_OPEN', `${path}: ${NOT_REGULAR}`)
      file = await open(path, readOnly ? 'r' : 'r+')
    } catch (error) {
      if (error instanceof ImageError) throw error
      throw new ImageError('ERR_OPEN', `${path}: ${reasonOf(error)}`, { cause: error })
    }
    try {
      const state = await file.stat({ bigint: true })
      if (!state.isFile()) throw new ImageError('ERR_OPEN', `${path}: ${NOT_REGULAR}`)
      const take = readOnly ? lockForReading : lockForWriting
      const lock = options.lock === 'later' ? null : await take(path, state)
      return new FileStorage(path, file, state, readOnly, lock, await isLocal(path))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * Makes a file of zeros of this size, open for writing. An existing file is overwritten, unless it is locked.
   *
   * @throws ImageError `ERR_OPEN`, `ERR_LOCKED`
   */
  static async create(path: string, bytes = 0): Promise<FileStorage> {
    const made = await stat(path).then(
      () => false,
      () => true,
    )
    // Keep the file's content until it is locked.
    await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK).then(
      (file) => file.close(),
      (error: unknown) => {
        throw new ImageError('ERR_OPEN', `${path}: ${reasonOf(error)}`, { cause: error })
      },
    )
    const storage = await FileStorage.open(path)
    try {
      // A size that the host does not take leaves a smaller file as it is.
      await storage.#try(storage.#file.truncate(bytes))
      await storage.#try(storage.#file.truncate(0))
      await storage.#try(storage.#file.truncate(bytes))
      storage.#bytes = bytes
      return storage
    } catch (error) {
      await storage.close()
      if (made) await rm(path, { force: true })
      throw error
    }
  }

  /** Present size. */
  get bytes(): number {
    return this.#bytes
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const bytesRead = await this.#move('read', into, done, offset + done)
      if (bytesRead === 0) throw endsBefore(offset + into.length)
      done += bytesRead
    }
  }

  /** Writes `from`. */
  async write(offset: number, from: Uint8Array): Promise<void> {
    for (let done = 0; done < from.length;) {
      const bytesWritten = await this.#move('write', from, done, offset + done)
      if (bytesWritten === 0) throw noRoom()
      done += bytesWritten
    }
    this.#bytes = Math.max(this.#bytes, offset + from.length)
  }

  /** Reads synchronously while that is quick. @returns false if nothing was read */
  readInPlace(offset: number, into: Uint8Array): boolean {
    for (let done = 0; done < into.length;) {
      const bytesRead = this.#moveInPlace('read', into, done, offset + done)
      if (bytesRead < 0) return false
      if (bytesRead === 0) throw endsBefore(offset + into.length)
      done += bytesRead
    }
    return true
  }

  /** Writes synchronously while that is quick. @returns false if not everything was written */
  writeInPlace(offset: number, from: Uint8Array): boolean {
    for (let done = 0; done < from.length;) {
      const bytesWritten = this.#moveInPlace('write', from, done, offset + done)
      if (bytesWritten < 0) return false
      if (bytesWritten === 0) throw noRoom()
      done += bytesWritten
      this.#bytes = Math.max(this.#bytes, offset + done)
    }
    return true
  }

  /** Reads or writes the rest of `bytes`, from `done` on. @returns how many bytes were moved */
  #move(way: 'read' | 'write', bytes: Uint8Array, done: number, offset: number): number | Promise<number> {
    const moved = this.#moveInPlace(way, bytes, done, offset)
    return moved < 0 ? this.#moveElsewhere(way, bytes, done, offset) : moved
  }

  /** @returns −1 if another thread has to do the request */
  #moveInPlace(way: 'read' | 'write', bytes: Uint8Array, done: number, offset: number): number {
    if (way === 'write' && this.#lock === null)
      throw new BlockError('ERR_READ_ONLY', 'the file is not locked for writing')
    const begun = this.#inPlace?.begin() ?? NaN
    if (Number.isNaN(begun)) return -1
    try {
      const { fd } = this.#file
      const length = bytes.length - done
      return way === 'read' ? readSync(fd, bytes, done, length, offset) : writeSync(fd, bytes, done, length, offset)
    } catch (error) {
      throw failure(error)
    } finally {
      this.#inPlace?.end(begun)
    }
  }

  async #moveElsewhere(way: 'read' | 'write', bytes: Uint8Array, done: number, offset: number): Promise<number> {
    const length = bytes.length - done
    if (way === 'read') return (await this.#try(this.#file.read(bytes, done, length, offset))).bytesRead
    return (await this.#try(this.#file.write(bytes, done, length, offset))).bytesWritten
  }

  /** Makes all completed writes durable. After one failure all later calls fail. */
  async flush(): Promise<void> {
    if (this.#lost !== null) throw this.#lost
    try {
      await this.#try(this.#file.datasync())
    } catch (error) {
      if (error instanceof BlockError) this.#lost = error
      throw error
    }
  }

  /** Releases the file's lock for another process, once all writes are done: nothing is written until {@link FileStorage.claim}. */
  async release(): Promise<void> {
    if (this.readOnly) return
    const lock = this.#lock
    this.#lock = null
    this.#left = await this.#file.stat({ bigint: true })
    await lock?.release()
  }

  /**
   * Locks a file that was opened to be written, and that is not locked.
   *
   * @throws ImageError `ERR_LOCKED` if another process has the lock, or has written the file since this one released it
   */
  async claim(): Promise<void> {
    if (this.readOnly || this.#lock !== null) return
    const lock = await lockForWriting(this.#path, this.#left)
    const { size, mtimeNs } = await this.#file.stat({ bigint: true })
    if (size === this.#left.size && mtimeNs === this.#left.mtimeNs) {
      this.#lock = lock
      return
    }
    await lock.release()
    throw new ImageError('ERR_LOCKED', `${this.#path}: another machine has written it meanwhile; go on with that one`)
  }

  /** Closes the file and gives the lock up. */
  async close(): Promise<void> {
    try {
      await this.#file.close()
    } finally {
      await this.#lock?.release()
    }
  }

  async #try<T>(request: Promise<T>): Promise<T> {
    try {
      return await request
    } catch (error) {
      throw failure(error)
    }
  }
}

/** Codes of the host that are no failure of the medium. */
const CODES: Readonly<Record<string, BlockErrorCode>> = {
  ENOSPC: 'ERR_NO_SPACE',
  EDQUOT: 'ERR_NO_SPACE',
  EFBIG: 'ERR_NO_SPACE',
  EROFS: 'ERR_READ_ONLY',
  EACCES: 'ERR_READ_ONLY',
  EPERM: 'ERR_READ_ONLY',
}

const failure = (error: unknown): BlockError =>
  new BlockError(CODES[codeOf(error)] ?? 'ERR_MEDIUM', `the host's file: ${codeOf(error)}`, { cause: error })

const endsBefore = (byte: number): BlockError => new BlockError('ERR_MEDIUM', `the file ends before byte ${byte}`)

const noRoom = (): BlockError => new BlockError('ERR_NO_SPACE', 'the file takes no more bytes')

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'it may not be used',
  EPERM: 'it may not be used',
  EROFS: 'it is on a read-only file system; open it read-only',
}

const NOT_REGULAR = 'it is not a regular file'

const isSpecial = (state: Stats): boolean => !state.isFile() && !state.isDirectory()

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'unknown')

const reasonOf = (error: unknown): string => REASONS[codeOf(error)] ?? String(error)
