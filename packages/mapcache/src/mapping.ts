/// <reference lib="esnext.disposable" preserve="true" />
import type { FrameKind } from './guest-map.ts'

/** Read-only bytes. The development mode detects writes through a cast. */
export interface ReadonlyBytes extends ArrayLike<number>, Iterable<number> {
  /** A view of a part. */
  subarray(start?: number, end?: number): ReadonlyBytes
  /** A copy. */
  slice(start?: number, end?: number): Uint8Array
}

/** A part of a mapping that is of one kind and, for `ram` and `rom`, in one piece of machine memory. */
export interface Segment {
  /** Kind of the mapping's frames. */
  readonly kind: FrameKind
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  /** Distance from the mapping's first byte. */
  readonly offset: number
  /** Size in bytes. */
  readonly length: number
  /** The segment's bytes while the mapping is held; null for `mmio` and `hole`. */
  readonly bytes: ReadonlyBytes | null
}

/** A {@link Segment} that may be written. A write to the `bytes` of `rom` is lost. */
export interface WritableSegment extends Segment {
  /** The segment's bytes, to be written while the mapping is held; null for `mmio` and `hole`. */
  readonly bytes: Uint8Array | null
}

/**
 * Guest memory, held for a scope: released by `using` or `release`. RAM that the guest removes meanwhile stays valid
 * and is not reused, and the removing guest waits.
 */
export interface Mapping extends Disposable {
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  /** Size in bytes. */
  readonly length: number
  /** False after the mapping's release, or its cache's end. */
  readonly held: boolean
  /** Whether frames under it have left the guest since it was made. A device may well give up then. */
  readonly orphaned: boolean
  /** The mapped pieces, in order and without gaps. @throws MapCacheError `ERR_RELEASED` */
  readonly segments: readonly Segment[]
  /** The bytes of the whole mapping, in one piece. @throws MapCacheError `ERR_RELEASED`; `ERR_SCATTERED` unless it is one segment with bytes */
  readonly bytes: ReadonlyBytes
  /**
   * Copies out from an offset on.
   *
   * @returns bytes copied, up to the first byte that is neither RAM nor ROM
   * @throws MapCacheError `ERR_RELEASED`, `ERR_RANGE`
   */
  read(offset: number, into: Uint8Array): number
  /** Ends its scope. A second time does nothing. */
  release(): void
}

/** A {@link Mapping} for writing: on its release all of its RAM counts as written. */
export interface WritableMapping extends Mapping {
  /** Segments, in order and without gaps. @throws MapCacheError `ERR_RELEASED` */
  readonly segments: readonly WritableSegment[]
  /** The bytes of the whole mapping, in one piece. @throws MapCacheError `ERR_RELEASED`; `ERR_SCATTERED` unless it is one segment with bytes */
  readonly bytes: Uint8Array
  /**
   * Copies in from an offset on; ROM ignores its part.
   *
   * @returns bytes taken, up to the first byte that is neither RAM nor ROM
   * @throws MapCacheError `ERR_RELEASED`, `ERR_RANGE`, and `ERR_READ_ONLY` where a mapping for reading was cast
   */
  write(offset: number, from: Uint8Array): number
}
