import { plainLine } from '@retrap/basics'
import type { CancelSignal } from '../access.ts'

/** A disk's geometry for old firmware. Zero: unknown. */
export interface DiskGeometry {
  /** Cylinders. */
  readonly cylinders: number
  /** Heads. */
  readonly heads: number
  /** Sectors of a track. */
  readonly sectors: number
}

/** The properties of a disk, with hints for its use. */
export interface BlockProperties {
  /** Size in bytes; a multiple of `blockBytes`. */
  readonly bytes: number
  /** Smallest unit of a transfer, such as 512 or 4096. */
  readonly blockBytes: number
  /** Unit without read-modify-write below it, such as a physical sector; a multiple of `blockBytes`. */
  readonly physicalBlockBytes: number
  /** Largest single transfer in bytes. */
  readonly maximumBytes: number
  /** Whether writes are refused. */
  readonly readOnly: boolean
  /** Whether `discard` may free storage. */
  readonly discards: boolean
  /** Hint for guests that address by cylinder, head and sector. */
  readonly geometry?: DiskGeometry
  /** Serial number of the medium, for models with such a field. */
  readonly serialNumber?: string
  /** Virtual times of a medium that is slow, for a disk of virtio on deterministic time. Absent: requests take the usual time. */
  readonly delays?: BlockDelays
}

/** Virtual times of a medium that is slow, in nanoseconds. */
export interface BlockDelays {
  /** The time of a flush; 0: the usual one. */
  readonly flushNs: number
  /** The instant of the machine's clock before which no request is answered. */
  readonly stillUntilNs: number
}

/** Flags of one disk request. */
export interface BlockRequest {
  /** Aborts the request: its promise rejects, or resolves if the work was done already. */
  readonly signal?: CancelSignal
  /** Whether a write must be durable when its promise resolves (forced unit access). */
  readonly durable?: boolean
}

/**
 * A disk or other block medium, as a device model uses it.
 *
 * Offsets and lengths are in bytes and multiples of `blockBytes`. Requests may run at the same time and complete in any
 * order; a model that needs an order awaits. A request that the medium cannot carry out rejects with a
 * {@link BlockError}. The guest never sees its text; the model translates its code to a status.
 */
export interface BlockBackend {
  /** The present properties. A change of them calls `onChange`'s listeners. */
  readonly properties: BlockProperties
  /** Fills `into` from the medium. */
  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void>
  /** Writes `from`, whose bytes the caller leaves alone until the promise settles. */
  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void>
  /**
   * Reads into `into` synchronously if possible: for models that may answer the guest at once.
   *
   * @returns false if nothing was read: call `read` instead
   * @throws BlockError
   */
  readInPlace?(offset: number, into: Uint8Array): boolean
  /** Writes `from` synchronously if possible, but not durably. Otherwise like `readInPlace`. */
  writeInPlace?(offset: number, from: Uint8Array): boolean
  /** Makes all completed writes durable. */
  flush(request?: BlockRequest): Promise<void>
  /** Marks the content of a range as unneeded; later reads of it are undefined. */
  discard(offset: number, bytes: number, request?: BlockRequest): Promise<void>
  /** Makes a range read as zeros. */
  writeZeroes(offset: number, bytes: number, request?: BlockRequest): Promise<void>
  /** Calls back when the medium is resized, exchanged or removed (then `bytes` is 0). Returns a function that unsubscribes. */
  onChange(listener: () => void): () => void
  /** The tray of a drive whose medium can be exchanged; absent: the medium stays. */
  readonly tray?: BlockTray
}

/** The guest's changes to a drive's tray. */
export interface BlockTrayState {
  /** The tray is out. */
  readonly open: boolean
  /** The guest has locked the tray: only force opens it. */
  readonly locked: boolean
}

/** A drive's model, for the user who exchanges its medium. */
export interface BlockTrayClient {
  /** Tells the guest that the user wants a medium that is locked. The guest may unlock and eject it. */
  ejectRequested(): void
  /** Returns why the drive refuses a medium; null: it accepts it. */
  refuses(properties: BlockProperties): string | null
}

/** The interface between a drive's model and the user who exchanges its medium, besides `onChange`. */
export interface BlockTray {
  /** Names the drive's model. */
  connect(client: BlockTrayClient): void
  /** Reports the tray's state after the guest has moved it. */
  moved(state: BlockTrayState): void
}

/**
 * Codes of {@link BlockError}.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_RANGE` | beyond the end, or not a multiple of `blockBytes` |
 * | `ERR_READ_ONLY` | the medium cannot be written |
 * | `ERR_NO_SPACE` | the storage behind it is full |
 * | `ERR_MEDIUM` | the storage behind it failed |
 * | `ERR_NO_MEDIUM` | nothing is inserted |
 * | `ERR_CANCELLED` | the request's signal aborted |
 */
export type BlockErrorCode =
  | 'ERR_RANGE'
  | 'ERR_READ_ONLY'
  | 'ERR_NO_SPACE'
  | 'ERR_MEDIUM'
  | 'ERR_NO_MEDIUM'
  | 'ERR_CANCELLED'

/** Error of a disk's request. Switch on `code`. */
export class BlockError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'BlockError'
  /** Reason of the failure. */
  readonly code: BlockErrorCode

  constructor(code: BlockErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(plainLine(message), options)
    this.code = code
  }
}
