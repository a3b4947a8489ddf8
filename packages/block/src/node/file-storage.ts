import { type BigIntStats, readSync, type Stats, writeSync } from 'node:fs'
import { constants, type FileHandle, open, rm, stat, statfs } from 'node:fs/promises'
import { BlockError, type BlockErrorCode } from '@retrap/device'
import { type BlockStorage, ImageError } from '../index.ts'
import { lockForReading, lockForWriting } from './file-lock.ts'
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

/** File systems on disks and in memory of the host itself. Source: Linux man-pages, statfs(2), "f_type". */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x5846_5342, // XFS
  0x9123_683e, // Btrfs
  0xf2f5_2010, // F2FS
  0xca45_1a4e, // bcachefs
  0x2fc1_2fc1, // ZFS
  0x0102_1994, // tmpfs
  0x8584_58f6, // ramfs
  0x794c_7630, // overlayfs
])

/** Returns whether requests to a file end by themselves, however slow: a server of files may never answer. */
export async function isLocal(path: string): Promise<boolean> {
  // The numbers of file systems are Linux's.
  if (process.platform !== 'linux') return false
  const found = await statfs(path).catch(() => null)
  return found !== null && LOCAL.has(found.type >>> 0)
}

/** A request that took longer has waited for a disk, or this thread has waited for a processor. */
const QUICK_MS = 0.5
/** Two slow requests among this many mean that the host's cache lacks the data, and the disk is read. */
const NEAR = 16
/** After two slow requests none is made in place for this many times their duration. */
const REST = 16
/** Most host time of quick requests in place, in each window. */
const MOST_MS = 6
const WINDOW_MS = 8

/**
 * Decides whether a request to the host is made in place: the thread waits for it.
 *
 * A request through another thread costs ten times as much as one that the host's cache answers. A disk that has to be waited
 * for holds this thread for about a sixteenth of the time, and a guest with many quick requests leaves the event loop its turn.
 */
export class InPlace {
  readonly #now: () => number
  #restUntil = -Infinity
  #windowEnd = -Infinity
  #spent = 0
  /** Duration of the last slow request, and the number of requests since. */
  #slow = 0
  #sinceSlow = NEAR

  /** @param now - milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Starts a synchronous request, and returns its start time; NaN if another thread has to do the request. */
  begin(): number {
    const now = this.#now()
    if (now < this.#restUntil) return NaN
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS
      this.#spent = 0
    }
    return this.#spent < MOST_MS ? now : NaN
  }

  /** Ends the request. @param begun - result of `begin` */
  end(begun: number): void {
    const now = this.#now()
    const took = now - begun
    this.#spent += took
    this.#sinceSlow++
    if (took <= QUICK_MS) return
    if (this.#sinceSlow <= NEAR) this.#restUntil = now + REST * (this.#slow + took)
    this.#slow = took
    this.#sinceSlow = 0
  }
}
