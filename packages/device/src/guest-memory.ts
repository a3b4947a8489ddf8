/// <reference lib="esnext.disposable" preserve="true" />

/** Access to guest RAM by guest-physical address. False: some byte of the range is not RAM; RAM bytes before it may have been transferred. */
export interface Dma {
  /** Copies out. */
  read(gpa: number, into: Uint8Array): boolean
  /** Copies bytes into memory; ROM ignores them. */
  write(gpa: number, from: Uint8Array): boolean
}

/** Bytes of the guest that are not to be written. */
export interface ReadonlyGuestBytes extends ArrayLike<number>, Iterable<number> {
  /** A view of a part. */
  subarray(start?: number, end?: number): ReadonlyGuestBytes
  /** A copy. */
  slice(start?: number, end?: number): Uint8Array
}

/** A part of a {@link GuestMapping} of one kind and, for `ram` and `rom`, contiguous in machine memory. */
export interface GuestSegment {
  /** `mmio` and `hole` have no bytes. */
  readonly kind: 'ram' | 'rom' | 'mmio' | 'hole'
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  /** Distance from the mapping's first byte. */
  readonly offset: number
  /** Bytes. */
  readonly length: number
  /** The frames' bytes while the mapping is held. */
  readonly bytes: ReadonlyGuestBytes | null
}

/** A writable {@link GuestSegment}; writes to `rom` are ignored. */
export interface WritableGuestSegment extends GuestSegment {
  /** The frames' bytes, which may be written while the mapping is held. */
  readonly bytes: Uint8Array | null
}

/**
 * Guest memory held by a model, released by `using` or `release`. RAM that the guest removes meanwhile stays valid and is
 * not reused, and the removing guest waits. After the release, members throw.
 */
export interface GuestMapping extends Disposable {
  /** Guest-physical address of its first byte. */
  readonly gpa: number
  /** Bytes. */
  readonly length: number
  /** Whether the mapping has not ended. */
  readonly held: boolean
  /** Whether RAM under the mapping has left the guest since, so that an invalidation waits for the mapping's end. */
  readonly orphaned: boolean
  /** The mapped pieces, in order and without gaps. */
  readonly segments: readonly GuestSegment[]
  /** Copies out from an offset on; returns the bytes before the first one that is not memory. */
  read(offset: number, into: Uint8Array): number
  /** Ends the mapping. Repeated calls have no effect. */
  release(): void
}

/** A {@link GuestMapping} for writing: at its end all its RAM counts as written. */
export interface WritableGuestMapping extends GuestMapping {
  /** The mapped pieces, in order and without gaps. */
  readonly segments: readonly WritableGuestSegment[]
  /** Copies in from an offset on; returns the bytes before the first one that is not memory. ROM ignores its part. */
  write(offset: number, from: Uint8Array): number
}

/** Guest memory as far as it can be reached without waiting. `MapCache` of `@retrap/mapcache` is such. */
export interface MappableDma extends Dma {
  /** Copies out; returns the bytes before the first one that is not memory. */
  readSome(gpa: number, into: Uint8Array): number
  /** Copies in; otherwise as `readSome`. */
  writeSome(gpa: number, from: Uint8Array): number
  /** Holds guest memory for reading. */
  map(gpa: number, length: number): GuestMapping
  /** Holds guest memory for reading and writing. */
  mapForWriting(gpa: number, length: number): WritableGuestMapping
}

/**
 * {@link Dma} as models have it. The asynchronous forms work wherever the model lives. The copying ones need the machine's
 * memory within reach, and `map` and `mapForWriting` need it in the model's own process: elsewhere they throw
 * `ERR_PERMISSION`.
 *
 * A copy is made of the guest's memory as it is at that moment. To keep memory for longer, hold it with `map`; a view or
 * an address kept by other means is not waited for when the guest gives the memory up.
 */
export interface DeviceDma extends MappableDma {
  /** Copies out; false where some byte is not RAM. */
  readAsync(gpa: number, into: Uint8Array): Promise<boolean>
  /** In order with the model's other actions: the guest sees the bytes before an interrupt or answer that follows. */
  writeAsync(gpa: number, from: Uint8Array): Promise<boolean>
}

/** Guest frames of an invalidation. */
export interface InvalidatedFrames {
  /** First guest frame. */
  readonly gfn: number
  /** Number of frames. */
  readonly count: number
  /** The frames are the same, but may not be written any more: mappings for reading may stay. */
  readonly writesOnly: boolean
}

/** The mappings that have to be released before an invalidation can be acknowledged. */
export interface MappingsToEnd {
  /** Whether nothing is held any more. */
  readonly done: boolean
  /** Calls back on completion, at once if already complete. */
  onDone(callback: () => void): void
}

/** One model's access to guest memory, with its mappings, such as `MapCache` of `@retrap/mapcache`. */
export interface DeviceMemory extends MappableDma {
  /** Drops the translations of these guest frames, or of all without arguments. @returns affected mappings that are still held */
  invalidate(gfn?: number, count?: number): MappingsToEnd
  /** Drops write mappings of frames that become read-only; mappings for reading may stay. */
  revokeWrites(gfn: number, count: number): MappingsToEnd
  /** Ends every mapping. */
  close(): void
}
