/** Bytes of one access by the dispatcher to a device model. */
export type AccessSize = 1 | 2 | 4

/** A 64-bit value as two u32 words; the caller owns the object. */
export interface Word64 {
  /** Bits 31:0, unsigned. */
  lo: number
  /** Bits 63:32, unsigned. */
  hi: number
}

/** The part of the host's `AbortSignal` that this package relies on. */
export interface CancelSignalShape {
  readonly aborted: boolean
  /** Adds a listener for abortion. */
  addEventListener(type: 'abort', listener: () => void): void
  /** Takes a listener back. */
  removeEventListener(type: 'abort', listener: () => void): void
}

/** The host's `AbortSignal` type if available, so that a signal can be passed to `fetch` and similar functions. */
export type CancelSignal = typeof globalThis extends { AbortSignal: { prototype: infer S } } ? S : CancelSignalShape

/**
 * Describes the request behind an access; handlers of asynchronous models get it.
 *
 * `signal` aborts when the vCPU no longer wants the answer (reset, INIT, SIPI, set-context); a value that arrives
 * afterwards is dropped. The controller is only made when `signal` is read.
 */
export interface AccessRequest {
  /** Number of the vCPU that waits. */
  readonly vcpu: number
  /** Aborts when the vCPU no longer wants the answer. */
  readonly signal: CancelSignal
}

/**
 * Answers accesses to a range of ports or of guest-physical addresses.
 *
 * `offset` counts bytes from the range's base. A handler is given unsigned values (0 … 2^32−1, limited to the size). It
 * answers a read with an integer from −2^31 to 2^32−1, which is cut to the size; any other answer (a fraction, NaN, a
 * larger number, no number) is a failure of the model. A handler of a synchronous model must not return a promise.
 */
export interface RangeHandler {
  /** Reads 1, 2 or 4 bytes. */
  read(offset: number, size: AccessSize, request?: AccessRequest): number | Promise<number>
  /** Writes 1, 2 or 4 bytes. */
  write(offset: number, size: AccessSize, value: number, request?: AccessRequest): void | Promise<void>
  /** 8-byte read; needed, together with `write64`, where `maximumAccess` is 8. */
  read64?(offset: number, into: Word64, request?: AccessRequest): void | Promise<void>
  /** 8-byte write. */
  write64?(offset: number, lo: number, hi: number, request?: AccessRequest): void | Promise<void>
}

/** A {@link RangeHandler} that answers at once. */
export interface SynchronousRangeHandler extends RangeHandler {
  /** Reads 1, 2 or 4 bytes. */
  read(offset: number, size: AccessSize): number
  /** Writes 1, 2 or 4 bytes. */
  write(offset: number, size: AccessSize, value: number): void
  /** Reads 8 bytes. */
  read64?(offset: number, into: Word64): void
  /** Writes 8 bytes. */
  write64?(offset: number, lo: number, hi: number): void
}

/** Access sizes and options of a range. */
export interface RegionOptions {
  /** Larger accesses are split, lowest address first. Default 4; 8 needs `read64` and `write64`. */
  readonly maximumAccess?: 1 | 2 | 4 | 8
  /**
   * Smaller accesses are widened: a read reads the aligned unit and takes its bytes out of it, a write reads the unit,
   * merges and writes it. Default 1.
   */
  readonly minimumAccess?: 1 | 2 | 4
  /**
   * Where two regions of in-process models overlap, the higher priority answers accesses that *begin* in it
   * (port 0xCF9 inside 0xCF8–0xCFB is the well-known case). Equal priorities may not overlap. Default 0.
   */
  readonly priority?: number
  /** Start disabled. Default false. */
  readonly disabled?: boolean
  /**
   * Writes need no answer: where the model is not in the vCPU's own process they go through the buffered ring, and the
   * vCPU runs on. They stay in order with all other accesses to the model. Addresses up to 0xFFFFF. Default false.
   */
  readonly buffered?: boolean
}

/** A claimed range. Disabling, moving or unmapping takes effect with the next access. */
export interface Region {
  /** Ports or guest-physical addresses. */
  readonly kind: 'port' | 'mmio'
  /** First port or guest-physical address. */
  readonly base: number
  /** Ports or bytes. */
  readonly length: number
  /** Whether the region answers. */
  readonly enabled: boolean
  /** Answers again. @throws DeviceError `ERR_EXISTS` */
  enable(): void
  /** Stops answering; keeps the place. */
  disable(): void
  /** Moves the range; its length and enabled state stay. */
  move(base: number): void
  /** Removes the range permanently. */
  unmap(): void
}
