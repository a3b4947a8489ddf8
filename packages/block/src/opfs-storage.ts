import { BlockError, type BlockErrorCode } from '@retrap/device'
import type { BlockStorage } from './storage.ts'

/** A `FileSystemSyncAccessHandle`, as far as used here. */
export interface SyncAccessHandle {
  /** Reads bytes. @returns how many were read */
  read(into: Uint8Array, options: { readonly at: number }): number
  /** Writes bytes. @returns how many were written */
  write(from: Uint8Array, options: { readonly at: number }): number
  /** Makes writes durable. */
  flush(): void
  /** Bytes in the file. */
  getSize(): number
  /** Closes the file. */
  close(): void
}

/**
 * Keeps an image in the origin private file system of a browser, in a Worker. The browser lets one handle at a time have the
 * file, so it needs no lock of ours.
 *
 * Source: WHATWG, File System, "The FileSystemSyncAccessHandle interface".
 */
export class OpfsStorage implements BlockStorage {
  /** Writes are taken. */
  readonly readOnly = false
  readonly #handle: SyncAccessHandle
  #bytes: number

  /** @param handle - handle from `createSyncAccessHandle()`; `close` closes it */
  constructor(handle: SyncAccessHandle) {
    this.#handle = handle
    this.#bytes = handle.getSize()
  }

  /** Present size. */
  get bytes(): number {
    return this.#bytes
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length;) {
      const read = attempt(() => this.#handle.read(into.subarray(done), { at: offset + done }))
      if (read === 0) throw new BlockError('ERR_MEDIUM', `the file ends before byte ${offset + into.length}`)
      done += read
    }
  }

  /** Writes `from`. */
  async write(offset: number, from: Uint8Array): Promise<void> {
    for (let done = 0; done < from.length;) {
      const written = attempt(() => this.#handle.write(from.subarray(done), { at: offset + done }))
      if (written === 0) throw new BlockError('ERR_NO_SPACE', 'the file takes no more bytes')
      done += written
    }
    this.#bytes = Math.max(this.#bytes, offset + from.length)
  }

  /** Makes all completed writes durable. */
  async flush(): Promise<void> {
    attempt(() => this.#handle.flush())
  }

  /** Closes the file. */
  async close(): Promise<void> {
    this.#handle.close()
  }
}

function attempt<T>(body: () => T): T {
  try {
    return body()
  } catch (error) {
    const name = error instanceof Error ? error.name : ''
    const code: BlockErrorCode = name === 'QuotaExceededError' ? 'ERR_NO_SPACE' : 'ERR_MEDIUM'
    throw new BlockError(code, `the origin private file system: ${String(error)}`, { cause: error })
  }
}
