import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { Development } from './development.ts'
import { hex, MapCacheError } from './errors.ts'
import type { FrameReferences, GuestMap } from './guest-map.ts'
import { HeldSegment } from './held-segment.ts'
import type { PendingInvalidation } from './invalidation.ts'
import type { WritableMapping } from './mapping.ts'

/** The part of its cache that a mapping needs. */
export interface MappingOwner {
  readonly memory: MachineMemory
  readonly map: GuestMap
  readonly references: FrameReferences | null
  readonly development: Development | null
  readonly held: HeldList
}

/** Fields that few mappings need, kept apart so that other mappings are small. */
class Rarities {
  orphaned: boolean = false
  pinned: boolean = false
  parts: readonly HeldSegment[] | null = null
  waiting: PendingInvalidation[] | null = null
}

/** The common implementation of both kinds of mapping. Allocated for each use, so it has as few fields as possible. */
export class HeldMapping implements WritableMapping {
  readonly gpa: number
  readonly length: number
  readonly writable: boolean
  held: boolean = true
  newer: HeldMapping | null = null
  older: HeldMapping | null = null
  readonly #owner: MappingOwner
  /** Machine address if the mapping is one piece of directly accessed RAM; otherwise −1. */
  readonly #ma: number
  #rare: Rarities | null = null

  /**
   * @param ma - machine address if the mapping is one piece of RAM without a copy; otherwise −1
   * @param segments - segments of the mapping; null if `ma` is enough
   */
  constructor(
    owner: MappingOwner,
    gpa: number,
    length: number,
    writable: boolean,
    ma: number,
    segments: readonly HeldSegment[] | null,
  ) {
    this.#owner = owner
    this.gpa = gpa
    this.length = length
    this.writable = writable
    this.#ma = ma
    if (segments !== null) this.#rarities().parts = segments
  }

  get orphaned(): boolean {
    return this.#rare !== null && this.#rare.orphaned
  }

  /** Whether the mapping has its own references to its frames. While all of its pages are cached, the cache's references suffice. */
  get pinned(): boolean {
    return this.#rare !== null && this.#rare.pinned
  }

  #rarities(): Rarities {
    this.#rare ??= new Rarities()
    return this.#rare
  }

  #segments(): readonly HeldSegment[] {
    const rare = this.#rarities()
    rare.parts ??= [this.#whole()]
    return rare.parts
  }

  /** Returns the mapping as one segment. */
  #whole(): HeldSegment {
    const { gpa, length } = this
    return new HeldSegment(this.#owner.memory, { kind: 'ram', gpa, offset: 0, length, ma: this.#ma, copied: false })
  }

  get segments(): readonly HeldSegment[] {
    if (!this.held) throw this.#released()
    return this.#segments()
  }

  get bytes(): Uint8Array {
    if (!this.held) throw this.#released()
    if (this.#ma >= 0) {
      // Not through the segments: most mappings have one, and their segments are never asked for. Nor through
      // `subarray`, which looks for a species first and takes half as long again.
      return new Uint8Array(this.#owner.memory.buffer, this.#ma, this.length)
    }
    const only = this.#segments().length === 1 ? this.#segments()[0]?.bytes : null
    if (only !== null && only !== undefined) return only
    if (this.length === 0) return new Uint8Array()
    const parts = this.#segments()
      .map(({ kind, length }) => `${kind} ${hex(length)}`)
      .join(', ')
    throw new MapCacheError('ERR_SCATTERED', `GPA ${hex(this.gpa)} + ${hex(this.length)} is not one piece: ${parts}`, {
      gpa: this.gpa,
      length: this.length,
      segments: this.#segments().length,
    })
  }

  /** Whether any machine frame of the mapping belongs to these guest frames. */
  overlaps(gfn: number, count: number): boolean {
    if (this.#ma >= 0) return this.gpa < (gfn + count) * PAGE_BYTES && this.gpa + this.length > gfn * PAGE_BYTES
    for (const segment of this.#segments()) if (segment.overlaps(gfn, count)) return true
    return false
  }

  /** Makes an invalidation wait for the mapping's release. */
  delay(invalidation: PendingInvalidation): void {
    const rare = this.#rarities()
    rare.orphaned = true
    rare.waiting ??= []
    rare.waiting.push(invalidation)
    invalidation.pending++
  }

  /** Takes separate references; the cache keeps its own. */
  pin(): void {
    const references = this.#owner.references
    if (this.pinned || references === null) return
    for (const segment of this.#segments()) {
      if (segment.ma < 0 || references.tryTake(segment.mfn, segment.frames)) continue
      throw new MapCacheError('ERR_UNOWNED', `machine frame ${hex(segment.mfn)} is in use and has no owner`, {
        mfn: segment.mfn,
        gpa: segment.gpa,
      })
    }
    this.#rarities().pinned = true
  }

  read(offset: number, into: Uint8Array): number {
    this.#check(offset, into.length)
    const u8 = this.#owner.memory.u8
    if (this.#owner.development !== null) this.#settle()
    let done = 0
    for (const segment of this.#segments()) {
      const skip = offset + done - segment.offset
      if (skip >= segment.length) continue
      if (done === into.length || segment.ma < 0) break
      const piece = Math.min(segment.length - skip, into.length - done)
      into.set(u8.subarray(segment.ma + skip, segment.ma + skip + piece), done)
      done += piece
    }
    return done
  }

  write(offset: number, from: Uint8Array): number {
    this.#check(offset, from.length)
    if (!this.writable) {
      throw new MapCacheError('ERR_READ_ONLY', `GPA ${hex(this.gpa)} + ${hex(this.length)} was mapped for reading`, {
        gpa: this.gpa,
        length: this.length,
      })
    }
    if (this.#owner.development !== null) this.#settle()
    let done = 0
    for (const segment of this.#segments()) {
      const skip = offset + done - segment.offset
      if (skip >= segment.length) continue
      if (done === from.length || segment.ma < 0) break
      const piece = Math.min(segment.length - skip, from.length - done)
      if (segment.kind === 'ram') {
        const ma = segment.ma + skip
        this.#owner.memory.u8.set(from.subarray(done, done + piece), ma)
        this.#owner.memory.noteWrite(ma, piece)
        const gfn = Math.floor((segment.gpa + skip) / PAGE_BYTES)
        this.#owner.map.dirtied?.(gfn, Math.floor((segment.gpa + skip + piece - 1) / PAGE_BYTES) - gfn + 1)
      }
      done += piece
    }
    if (this.#owner.development !== null) this.#settle()
    return done
  }

  release(): void {
    if (this.end() || this.#owner.development === null) return
    throw new MapCacheError(
      'ERR_READ_ONLY',
      `GPA ${hex(this.gpa)} was mapped for reading, and its bytes were written`,
      {
        gpa: this.gpa,
        length: this.length,
      },
    )
  }

  [Symbol.dispose](): void {
    this.release()
  }

  /** Releases the mapping. False if the development mode found that a mapping for reading had been written. */
  end(): boolean {
    if (!this.held) return true
    const { memory, map, references, development, held } = this.#owner
    const changed = development !== null && this.#settle()
    this.held = false
    held.remove(this)
    const rare = this.#rare
    // The usual case: nothing was written, and no invalidation has affected the mapping.
    if (rare === null) {
      if (this.writable) this.#written()
      return true
    }
    for (const segment of this.#segments()) {
      development?.poison(segment)
      if (segment.ma < 0) continue
      if (this.writable && segment.kind === 'ram') {
        memory.noteWrite(segment.ma, segment.length)
        // Even if some frame has left the guest: a page too many counts as written, never one too few.
        map.dirtied?.(segment.gfn, segment.frames)
      }
      if (rare.pinned) references?.drop(segment.mfn, segment.frames)
    }
    const waiting = rare.waiting
    rare.waiting = null
    if (waiting !== null) for (const each of waiting) each.released()
    return this.writable || !changed
  }

  /** One piece of RAM counts as written. */
  #written(): void {
    const { memory, map } = this.#owner
    memory.noteWrite(this.#ma, this.length)
    const gfn = Math.floor(this.gpa / PAGE_BYTES)
    map.dirtied?.(gfn, Math.floor((this.gpa + this.length - 1) / PAGE_BYTES) - gfn + 1)
  }

  #settle(): boolean {
    let changed = false
    for (const segment of this.#segments()) {
      if (segment.settle(this.#owner.memory, !this.writable || segment.kind === 'rom')) changed = true
    }
    return changed
  }

  #check(offset: number, length: number): void {
    if (!this.held) throw this.#released()
    if (Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.length) return
    throw new MapCacheError('ERR_RANGE', `${length} bytes at ${offset} of a mapping of ${this.length}`, {
      offset,
      length,
      mapped: this.length,
    })
  }

  #released(): MapCacheError {
    return new MapCacheError('ERR_RELEASED', `the mapping of GPA ${hex(this.gpa)} has been released`, {
      gpa: this.gpa,
      length: this.length,
    })
  }
}

/** The mappings held now, newest first. */
export class HeldList {
  newest: HeldMapping | null = null
  size: number = 0
  /** The most mappings held at once. */
  most: number = 0

  add(mapping: HeldMapping): void {
    mapping.older = this.newest
    if (this.newest !== null) this.newest.newer = mapping
    this.newest = mapping
    if (++this.size > this.most) this.most = this.size
  }

  remove(mapping: HeldMapping): void {
    if (mapping.newer === null) this.newest = mapping.older
    else mapping.newer.older = mapping.older
    if (mapping.older !== null) mapping.older.newer = mapping.newer
    this.size--
  }
}
