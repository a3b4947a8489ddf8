import type { RangeHandler, RegionOptions } from './access.ts'

/** Bytes of the smallest page of a guest. Sizes, windows and guest-physical addresses of owned memory are multiples of it. */
export const MEMORY_PAGE_BYTES = 4096

/**
 * Says how the guest reaches owned memory.
 *
 * - `memory`: at RAM speed, without a call of the model
 * - `trapped`: each access is one of the memory's handler, as in a range without memory
 */
export type MemoryMode = 'memory' | 'trapped'

/** Describes memory that a device model owns; see {@link OwnedMemory}. */
export interface OwnedMemoryOptions {
  /** Names the memory among the memories of its model, in errors and in saved state. */
  readonly name: string
  /** Size: a multiple of 4096. A BAR needs a power of two. */
  readonly bytes: number
  /**
   * `ram` (default): the guest reads and writes it. `rom`: the guest reads it; a guest's write calls `handler`, or is
   * ignored without one. DMA never writes `rom`.
   */
  readonly kind?: 'ram' | 'rom'
  /**
   * Whether the guest may execute it. Default false: a fetch ends the domain, as of any frame that cannot be executed.
   * A fetch while the mode is `trapped` is a read of `handler`.
   */
  readonly executable?: boolean
  /** First bytes at power-on; the rest is 0. */
  readonly contents?: Uint8Array
  /** Answers accesses while the mode is `trapped`, and writes to `rom`. Offsets count from the memory's first byte. */
  readonly handler?: RangeHandler
  /** The mode at power-on. Default `memory`. */
  readonly mode?: MemoryMode
  /** Whether its bytes are part of the machine's saved state. Default true; false for a ROM that each start loads. */
  readonly saved?: boolean
}

/**
 * Memory of a device model that the guest reaches at RAM speed: VRAM, flash, ROM, a frame buffer.
 *
 * `DeviceContext.mapMemory` maps it at a fixed address, a PCI BAR or expansion ROM where the guest puts it; it may be
 * mapped in several windows at once. Guest RAM at the same addresses stays in front of it, and owned memory in front of
 * trapped ranges. The machine allocates it, frees it with the model, saves its bytes, and drops translated code when
 * they change.
 *
 * The synchronous forms (`view`, `read`, `write`, `takeDirty`) need the bytes within reach: in the machine's own process,
 * and in its Workers. Elsewhere `view` is null and the others throw `ERR_PERMISSION`; the asynchronous forms work
 * everywhere, in order with everything else that the model does.
 */
export interface OwnedMemory {
  /** Name among the memories of its model. */
  readonly name: string
  /** Size. */
  readonly bytes: number
  /** How the guest reaches the memory now. */
  readonly mode: MemoryMode
  /** The memory's bytes, or null if the model cannot access them directly. A model that writes here calls `modified`. */
  readonly view: Uint8Array | null
  /**
   * Switches between memory and trapped access, from the guest's next access on. The mode is the model's to save: a
   * model that switches sets it in `reset` and `restore`.
   */
  setMode(mode: MemoryMode): void
  /** Copies out. @throws DeviceError `ERR_INVALID` beyond its end, `ERR_PERMISSION` out of reach */
  read(offset: number, into: Uint8Array): void
  /** Copies in. @throws DeviceError as `read` */
  write(offset: number, from: Uint8Array): void
  /** Tells that the model has written through `view`: translated code of these bytes is dropped, and they count as dirty. */
  modified(offset: number, bytes: number): void
  /** `read` for a model in any thread or process. */
  readAsync(offset: number, into: Uint8Array): Promise<void>
  /** `write` for a model in any thread or process. */
  writeAsync(offset: number, from: Uint8Array): Promise<void>
  /** Begins or ends the log of written pages; all are clean at its beginning. Off at power-on. */
  logWrites(on: boolean): void
  /**
   * Reads and clears which pages of a range have been written, by guest, DMA or model.
   *
   * @param offset - a multiple of 4096
   * @param bytes - rounded up to whole pages
   * @param into - receives one bit a page: bit `i % 32` of word `i / 32`
   * @returns the count of dirty pages
   * @throws DeviceError `ERR_INVALID` beyond its end, or while writes are not logged; `ERR_PERMISSION` out of reach
   */
  takeDirty(offset: number, bytes: number, into: Uint32Array): number
  /** `takeDirty` for a model in any thread or process. */
  takeDirtyAsync(offset: number, bytes: number, into: Uint32Array): Promise<number>
}

/** Selects the part of an {@link OwnedMemory} that a mapping shows, and its rights. */
export interface MemoryWindowOptions extends Pick<
  RegionOptions,
  'disabled' | 'maximumAccess' | 'minimumAccess' | 'priority'
> {
  /** First byte of the memory in the window; a multiple of 4096. Default 0. */
  readonly offset?: number
  /** Size of the window; a multiple of 4096. Default: up to the memory's end. */
  readonly bytes?: number
}
