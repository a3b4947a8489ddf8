import { describeArgument } from '@retrap/basics'
import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { check } from './arguments.ts'
import { Development, type KeptView } from './development.ts'
import { hex, MapCacheError } from './errors.ts'
import type { FrameReferences, GuestMap } from './guest-map.ts'
import { HeldList, HeldMapping, type MappingOwner } from './held-mapping.ts'
import { HeldSegment } from './held-segment.ts'
import { NOTHING_HELD, PendingInvalidation, type Invalidation } from './invalidation.ts'
import type { Mapping, WritableMapping } from './mapping.ts'
import { MAX_GFN, PageCache } from './page-cache.ts'

/** The options of a {@link MapCache}. */
export interface MapCacheOptions {
  /** Machine memory that holds the guest. */
  readonly memory: MachineMemory
  /** The guest's map; see `guestMapOf`. */
  readonly map: GuestMap
  /**
   * Keeps frames from being given to another owner while the cache knows them. Without it nobody may reuse a frame before
   * the invalidation that follows its removal is done.
   */
  readonly references?: FrameReferences
  /** Guest memory that buckets may cover; the least recently used goes. Default 1 GiB. */
  readonly budgetBytes?: number
  /** Guest memory of one bucket: a power of two, 4 KiB to 1 GiB. Default 1 MiB. */
  readonly bucketBytes?: number
  /** Hand out copies that are overwritten on release, to detect use after release. Slow. */
  readonly development?: boolean
}

/** Counts of a cache's events, and its present size. */
export interface MapCacheStatistics {
  /** Runs of pages found in the bucket used last. */
  readonly shortcutHits: number
  /** Runs of pages found in another bucket. */
  readonly hits: number
  /** Runs of pages for which the guest's map was asked, holes among them. */
  readonly misses: number
  /** Buckets given up for room. */
  readonly evictions: number
  /** Invalidations so far. */
  readonly invalidations: number
  /** Invalidations that had to wait for a held mapping. */
  readonly delayed: number
  /** Present number of buckets. */
  readonly buckets: number
  /** Pages that buckets know now. */
  readonly validPages: number
  /** Mappings held now. */
  readonly held: number
  /** The most mappings that were held at once. */
  readonly mostHeld: number
}

/** The part that a guest frame has in a {@link MapCache}. */
export interface FrameUse {
  /** Machine frame cached for the guest frame; null: not cached. */
  readonly mfn: number | null
  /** Present number of held mappings. */
  readonly held: number
  /** Number of mappings held for writing. */
  readonly heldForWriting: number
}

/**
 * A device model's way to guest memory: which machine memory guest-physical addresses are, remembered in buckets until
 * told that RAM has left the guest.
 *
 * One thread uses one cache; each thread with device models has its own, over the same machine memory.
 *
 * After `invalidate` has returned, no mapping made later reaches the old frames; when the invalidation is done, no
 * earlier one does either. A hit between the removal of RAM and the notice may return the old frame: it is alive, and
 * that mapping is waited for like any other.
 */
export class MapCache {
  readonly #owner: MappingOwner
  readonly #pages: PageCache
  readonly #memory: MachineMemory
  readonly #development: Development | null
  readonly #held = new HeldList()
  #invalidations = 0
  #delayed = 0
  #closed = false
  #pieceBytes = 0

  /** @throws MapCacheError `ERR_OPTION` for sizes that make no cache, `ERR_ARGUMENT` for an option of the wrong type */
  constructor(options: MapCacheOptions) {
    check.methods('options', options)
    const { memory, map, references = null, budgetBytes = 2 ** 30, bucketBytes = 2 ** 20 } = options
    check.methods('memory', memory, 'noteWrite')
    check.methods('map', map, 'lookup')
    if (references !== null) check.methods('references', references, 'tryTake', 'drop')
    check.number('budgetBytes', budgetBytes)
    check.number('bucketBytes', bucketBytes)
    const pages = bucketBytes / PAGE_BYTES
    if (!(Number.isInteger(Math.log2(pages)) && pages >= 1 && pages <= 2 ** 18)) {
      throw new MapCacheError(
        'ERR_OPTION',
        `buckets of ${bucketBytes} bytes: expected a power of two, 4 KiB to 1 GiB`,
        {
          bucketBytes,
        },
      )
    }
    if (!(budgetBytes >= bucketBytes)) {
      throw new MapCacheError('ERR_OPTION', `a budget of ${budgetBytes} bytes: expected a bucket's ${bucketBytes}`, {
        budgetBytes,
        bucketBytes,
      })
    }
    this.#memory = memory
    this.#development = options.development === true ? new Development() : null
    this.#pages = new PageCache(map, references, pages, Math.floor(budgetBytes / bucketBytes), (gfn, count) =>
      this.#pinHeld(gfn, count),
    )
    this.#owner = {
      memory,
      map,
      references,
      development: this.#development,
      held: this.#held,
    }
  }

  /**
   * Holds guest memory for reading.
   *
   * @param gpa - guest-physical address; addresses without memory are a hole
   * @param length - in bytes; may be 0
   * @throws MapCacheError `ERR_RANGE` for a negative address or length, `ERR_CLOSED`, `ERR_UNOWNED`
   */
  map(gpa: number, length: number): Mapping {
    return this.#hold(gpa, length, false)
  }

  /** Holds guest memory for reading and writing. @throws as {@link MapCache.map} */
  mapForWriting(gpa: number, length: number): WritableMapping {
    return this.#hold(gpa, length, true)
  }

  /**
   * Holds guest memory for reading while a function runs, or until the promise that it returns is settled.
   *
   * @returns result of the function
   * @throws as {@link MapCache.map}
   */
  with<T>(gpa: number, length: number, use: (mapping: Mapping) => T): T {
    check.function('use', use)
    return during(this.#hold(gpa, length, false), use)
  }

  /** As {@link MapCache.with}, for writing. */
  withWriting<T>(gpa: number, length: number, use: (mapping: WritableMapping) => T): T {
    check.function('use', use)
    return during(this.#hold(gpa, length, true), use)
  }

  /** Copies from the guest. @returns false if any byte is not RAM; earlier bytes were read */
  read(gpa: number, into: Uint8Array): boolean {
    return this.readSome(gpa, into) === into.length
  }

  /** Copies to the guest. @returns false if any byte is not RAM; earlier bytes were written. ROM ignores writes */
  write(gpa: number, from: Uint8Array): boolean {
    return this.writeSome(gpa, from) === from.length
  }

  /** Copies out of memory. @returns bytes copied, up to the first byte that is neither RAM nor ROM */
  readSome(gpa: number, into: Uint8Array): number {
    check.bytes('bytes', into)
    this.#check(gpa, into.length)
    const u8 = this.#memory.u8
    for (let done = 0; done < into.length;) {
      const ma = this.#piece(gpa + done, into.length - done)
      if (ma < 0) return done
      const piece = this.#pieceBytes
      into.set(u8.subarray(ma, ma + piece), done)
      done += piece
    }
    return into.length
  }

  /** Copies in, and counts the pages as written. @returns as {@link MapCache.readSome} */
  writeSome(gpa: number, from: Uint8Array): number {
    check.bytes('bytes', from)
    this.#check(gpa, from.length)
    for (let done = 0; done < from.length;) {
      const ma = this.#writablePiece(gpa + done, from.length - done)
      if (ma < 0) return done
      const piece = this.#pieceBytes
      if (this.#pages.kind === 'ram') {
        this.#writing(gpa + done, piece)
        this.#memory.u8.set(piece === from.length ? from : from.subarray(done, done + piece), ma)
        this.#written(gpa + done, ma, piece)
      }
      done += piece
    }
    return from.length
  }

  /** Writes equal bytes. @returns as {@link MapCache.readSome} */
  fillSome(gpa: number, length: number, value: number): number {
    this.#check(gpa, length)
    check.number('value', value)
    for (let done = 0; done < length;) {
      const ma = this.#writablePiece(gpa + done, length - done)
      if (ma < 0) return done
      const piece = this.#pieceBytes
      if (this.#pages.kind === 'ram') {
        this.#writing(gpa + done, piece)
        this.#memory.u8.fill(value, ma, ma + piece)
        this.#written(gpa + done, ma, piece)
      }
      done += piece
    }
    return length
  }

  /** Guest-physical address of the first byte of a view of a held mapping, or of a part of one; −1 if it is none. */
  gpaOf(view: Uint8Array): number {
    check.bytes('bytes', view)
    for (let each = this.#held.newest; each !== null; each = each.older) {
      for (const { bytes, gpa } of each.segments) {
        if (bytes === null || bytes.buffer !== view.buffer) continue
        const distance = view.byteOffset - bytes.byteOffset
        if (distance >= 0 && distance < bytes.length) return gpa + distance
      }
    }
    return -1
  }

  /** Calls back with the guest frames of each mapping that is held for writing: their holder may write them at any time. */
  heldForWriting(each: (gfn: number, count: number) => void): void {
    for (let held = this.#held.newest; held !== null; held = held.older) {
      if (!held.writable || held.length === 0) continue
      const gfn = Math.floor(held.gpa / PAGE_BYTES)
      each(gfn, Math.floor((held.gpa + held.length - 1) / PAGE_BYTES) - gfn + 1)
    }
  }

  /** For people: the part that a guest frame has in this cache. Nothing changes. */
  useOf(gfn: number): FrameUse {
    const mfn = this.#pages.peek(gfn)
    let [held, heldForWriting] = [0, 0]
    for (let each = this.#held.newest; each !== null; each = each.older) {
      if (!each.overlaps(gfn, 1)) continue
      held++
      if (each.writable) heldForWriting++
    }
    return { mfn: mfn < 0 ? null : mfn, held, heldForWriting }
  }

  /**
   * To be called when RAM may have left the guest, after its map has changed and before the change is acknowledged.
   * Needless calls do no harm.
   *
   * @param gfn - first guest frame; without it and `count`, everything
   * @returns the pending condition for the acknowledgement
   */
  invalidate(gfn: number = 0, count: number = MAX_GFN - gfn): Invalidation {
    return this.#invalidate(gfn, count, false)
  }

  /**
   * To be called when guest frames may no longer be written (RAM became ROM): as {@link MapCache.invalidate}, but
   * mappings for reading are not waited for.
   */
  revokeWrites(gfn: number, count: number): Invalidation {
    return this.#invalidate(gfn, count, true)
  }

  /**
   * Ends all mappings with their device model: their accessors throw, pending invalidations complete, and new mappings
   * fail.
   */
  close(): void {
    this.#closed = true
    for (let each = this.#held.newest; each !== null; each = this.#held.newest) each.end()
    this.#pages.drop(0, MAX_GFN)
  }

  /** Whether nothing can be mapped any more. */
  get closed(): boolean {
    return this.#closed
  }

  /** Returns counts of the cache's events, and its present size. */
  get statistics(): MapCacheStatistics {
    const pages = this.#pages
    return {
      shortcutHits: pages.shortcutHits,
      hits: pages.hits,
      misses: pages.misses,
      evictions: pages.evictions,
      invalidations: this.#invalidations,
      delayed: this.#delayed,
      buckets: pages.buckets,
      validPages: pages.validPages,
      held: this.#held.size,
      mostHeld: this.#held.most,
    }
  }

  /** For development mode: pieces of the last 64 released ones that were written after their release. */
  keptViews(): KeptView[] {
    return this.#development?.keptViews() ?? []
  }

  #hold(gpa: number, length: number, writable: boolean): HeldMapping {
    this.#check(gpa, length)
    let mapping: HeldMapping | null = null
    if (length > 0 && this.#development === null) {
      const ma = this.#piece(gpa, length)
      if (ma >= 0 && this.#pieceBytes === length && this.#pages.kind === 'ram')
        mapping = new HeldMapping(this.#owner, gpa, length, writable, ma, null)
    }
    mapping ??= new HeldMapping(this.#owner, gpa, length, writable, -1, this.#segments(gpa, length, writable))
    if (writable && length > 0) this.#writing(gpa, length)
    this.#held.add(mapping)
    return mapping
  }

  #segments(gpa: number, length: number, writable: boolean): HeldSegment[] {
    const segments: HeldSegment[] = []
    for (let done = 0; done < length;) {
      const at = gpa + done
      const ma = this.#pieceFor(writable, at, length - done)
      const kind = this.#pages.kind
      let bytes = this.#pieceBytes
      // A run goes on in the next bucket.
      while (done + bytes < length) {
        const next = this.#pieceFor(writable, at + bytes, length - done - bytes)
        if (this.#pages.kind !== kind || next !== (ma < 0 ? -1 : ma + bytes)) break
        bytes += this.#pieceBytes
      }
      const copied = this.#development !== null || (writable && kind === 'rom')
      segments.push(new HeldSegment(this.#memory, { kind, gpa: at, offset: done, length: bytes, ma, copied }))
      done += bytes
    }
    return segments
  }

  /** Returns the machine address of a byte, or −1; `#pieceBytes` becomes the number of contiguous bytes, at most `wanted`. */
  #piece(gpa: number, wanted: number): number {
    const found = this.#pages.find(gpa, wanted)
    if (found >= 0) {
      this.#pieceBytes = wanted
      return found
    }
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const offset = gpa - gfn * PAGE_BYTES
    const pages = this.#pages
    pages.resolve(gfn, Math.floor((offset + wanted - 1) / PAGE_BYTES) + 1)
    this.#pieceBytes = Math.min(wanted, pages.run * PAGE_BYTES - offset)
    return pages.mfn < 0 ? -1 : pages.mfn * PAGE_BYTES + offset
  }

  /**
   * {@link MapCache.#piece} for writing. No notice comes for ROM that becomes RAM: ROM and holes are looked up anew each
   * time.
   */
  #writablePiece(gpa: number, wanted: number): number {
    const ma = this.#piece(gpa, wanted)
    if (this.#pages.kind !== 'rom') return ma
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const count = Math.floor((gpa + this.#pieceBytes - 1) / PAGE_BYTES) - gfn + 1
    this.#pinHeld(gfn, count)
    this.#pages.drop(gfn, count)
    return this.#piece(gpa, wanted)
  }

  #pieceFor(writable: boolean, gpa: number, wanted: number): number {
    return writable ? this.#writablePiece(gpa, wanted) : this.#piece(gpa, wanted)
  }

  /** Gives held mappings their own references, before the cache drops its. */
  #pinHeld(gfn: number, count: number): void {
    for (let each = this.#held.newest; each !== null; each = each.older) if (each.overlaps(gfn, count)) each.pin()
  }

  #writing(gpa: number, bytes: number): void {
    const { map } = this.#owner
    if (map.writing === undefined) return
    const gfn = Math.floor(gpa / PAGE_BYTES)
    map.writing(gfn, Math.floor((gpa + bytes - 1) / PAGE_BYTES) - gfn + 1)
  }

  #written(gpa: number, ma: number, bytes: number): void {
    this.#memory.noteWrite(ma, bytes)
    const gfn = Math.floor(gpa / PAGE_BYTES)
    this.#owner.map.dirtied?.(gfn, Math.floor((gpa + bytes - 1) / PAGE_BYTES) - gfn + 1)
  }

  #invalidate(gfn: number, count: number, writersOnly: boolean): Invalidation {
    if (!(Number.isSafeInteger(gfn) && Number.isSafeInteger(count) && gfn >= 0 && count >= 1)) {
      throw new MapCacheError(
        'ERR_RANGE',
        `${describeArgument(count)} guest frames at ${hex(gfn)}: expected at least 1`,
        { gfn, count },
      )
    }
    this.#invalidations++
    let invalidation: PendingInvalidation | null = null
    for (let each = this.#held.newest; each !== null; each = each.older) {
      if (!each.overlaps(gfn, count)) continue
      each.pin()
      if (writersOnly && !each.writable) continue
      invalidation ??= new PendingInvalidation()
      each.delay(invalidation)
    }
    this.#pages.drop(gfn, count)
    if (invalidation === null) return NOTHING_HELD
    this.#delayed++
    return invalidation
  }

  #check(gpa: number, length: number): void {
    if (this.#closed) throw new MapCacheError('ERR_CLOSED', 'this map cache has been closed')
    if (Number.isInteger(gpa) && Number.isSafeInteger(length) && gpa >= 0 && length >= 0) return
    throw new MapCacheError(
      'ERR_RANGE',
      `${describeArgument(length)} bytes at GPA ${hex(gpa)}: expected integers from 0 on`,
      { gpa, length },
    )
  }
}

function during<M extends Mapping, T>(mapping: M, use: (mapping: M) => T): T {
  let result: T
  try {
    result = use(mapping)
  } catch (error) {
    mapping.release()
    throw error
  }
  if (result instanceof Promise) return result.finally(() => mapping.release()) as T
  mapping.release()
  return result
}
