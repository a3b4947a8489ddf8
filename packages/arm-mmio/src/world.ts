/** The interface to a hypervisor that finishing an abort needs. */
import type { TableReader } from '@retrap/paging'
import type { AccessLog, AccessStatus } from '@retrap/replay'

/** The kind of a second-stage address. */
export const Region = {
  /** Nothing: an external abort. */
  NONE: 0,
  RAM: 1,
  DEVICE: 2,
} as const

/** A value of `Region`. */
export type Region = (typeof Region)[keyof typeof Region]

/** The world around a vCPU. IPAs are a low and a high word, data is bytes in memory order. */
export interface ArmWorld {
  /**
   * Returns the kind of memory that an access would find now. A device may answer writes to a range that is read as RAM, as a
   * flash does.
   */
  region(ipaLo: number, ipaHi: number, write: boolean): Region
  /** Reads `size` bytes of RAM at an intermediate physical address. */
  readRam(ipaLo: number, ipaHi: number, size: number, into: Uint8Array, offset: number): void
  /** Stores the writes of a retired instruction. A write to an address that is no longer RAM is ignored. */
  writeRam(ipaLo: number, ipaHi: number, size: number, from: Uint8Array, offset: number): void
  /** Stage-1 tables. */
  readonly tables: TableReader
  /**
   * Asks a device for the access that `log` has at `index`, with its kind, address and size, and a write's data; `setData`
   * or `setBytes` takes a read's data.
   *
   * @returns STATUS_DONE; STATUS_RETRY: the device will answer later, then call `answer` and `resume`; STATUS_UNHANDLED: an
   *   external abort
   */
  device(log: AccessLog, index: number): AccessStatus
  /** Stops all other vCPUs while an instruction is translated and fetched. See `ArmEmulatorOptions.stopWorld`. */
  stopWorld?(): void
  /** Resumes vCPUs after `stopWorld`. */
  resumeWorld?(): void
  /**
   * Authenticates the pointer of LDRAA (`key` 0) and LDRAB (1): writes the address to `into[0]`, `into[1]`.
   *
   * @returns false if the pointer is not authentic
   */
  authenticate?(key: number, lo: number, hi: number, into: Uint32Array): boolean
}
