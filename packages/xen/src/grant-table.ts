import type { MachineMemory } from '@retrap/memory'
import type { FrameCounts } from '@retrap/p2m'
import type { XenMemory } from './xen-memory.ts'

/** `GNTST_*` (public header grant_table.h). */
export const GrantStatus = {
  OKAY: 0,
  GENERAL_ERROR: -1,
  BAD_DOMAIN: -2,
  BAD_GNTREF: -3,
  BAD_HANDLE: -4,
  BAD_VIRT_ADDR: -5,
  PERMISSION_DENIED: -8,
  BAD_PAGE: -9,
  BAD_COPY_ARG: -10,
  EAGAIN: -12,
  NO_SPACE: -13,
} as const

const FRAME_BYTES = 0x1000
/** Frames that the table may have: 32,768 entries. */
export const MAX_GRANT_FRAMES = 64
/** Mappings that there may be at a time. */
const MAX_MAPPINGS = 4096

/** An entry of version 1: flags, the domain that it is for, guest frame. */
const ENTRY_BYTES = 8
const ENTRIES_PER_FRAME = FRAME_BYTES / ENTRY_BYTES
const FLAGS = 0
const FRAME = 4

const TYPE_MASK = 3
const PERMIT_ACCESS = 1
const READ_ONLY = 1 << 2
const READING = 1 << 3
const WRITING = 1 << 4

/** A grant that somebody uses. */
interface Use {
  readonly gfn: number
  readonly mfn: number
  readers: number
  writers: number
}

/** A granted frame in a map. */
interface Mapping {
  readonly ref: number
  readonly gfn: number
  readonly mfn: number
  readonly write: boolean
}

/** Saved form of a {@link GrantTable}, without its pages, which are machine memory. */
export interface GrantTableState {
  readonly version: 1
  /** Machine frames. */
  readonly frames: readonly number[]
  readonly uses: readonly (Use & { readonly ref: number })[]
  readonly mappings: readonly (Mapping & { readonly handle: number })[]
}

/**
 * A guest's grant table, of version 1: pages of Xen's own, in which it says who may use which of its frames, and the uses
 * that are made of them. What is in the pages is the guest's to change at any time; what is used stays what it was.
 */
export class GrantTable {
  readonly #machine: MachineMemory
  readonly #counts: FrameCounts
  readonly #memory: XenMemory
  /** Machine frames of the table; they stay until the domain's reset. */
  readonly #frames: number[] = []
  readonly #uses = new Map<number, Use>()
  readonly #mappings: (Mapping | null)[] = []

  constructor(machine: MachineMemory, counts: FrameCounts, memory: XenMemory) {
    this.#machine = machine
    this.#counts = counts
    this.#memory = memory
  }

  /** Frames of the table. */
  get frames(): number {
    return this.#frames.length
  }

  /** Makes the table at least so large. @returns false if it may not be, or there is no memory */
  grow(frames: number): boolean {
    if (frames > MAX_GRANT_FRAMES) return false
    while (this.#frames.length < frames) {
      const mfn = this.#machine.frames.tryAllocate(0)
      if (mfn < 0) return false
      this.#counts.adopt(mfn, 1)
      this.#frames.push(mfn)
    }
    return true
  }

  /** Machine frame of a page of the table, which grows for it; −1 if there can be none. */
  page(index: number): number {
    return index >= 0 && this.grow(index + 1) ? (this.#frames[index] as number) : -1
  }

  /** Machine address of an entry; −1 if the table is not so long. */
  #entry(ref: number): number {
    const frame = this.#frames[Math.floor(ref / ENTRIES_PER_FRAME)]
    return frame === undefined ? -1 : frame * FRAME_BYTES + (ref % ENTRIES_PER_FRAME) * ENTRY_BYTES
  }

  /**
   * Begins to use a grant.
   *
   * @param domid - who
   * @returns the machine frame, or a negative `GNTST_*`
   */
  acquire(ref: number, domid: number, write: boolean): number {
    const ma = this.#entry(ref)
    if (ma < 0) return GrantStatus.BAD_GNTREF
    const word = Atomics.load(this.#machine.u32, ma >>> 2)
    const flags = word & 0xffff
    if ((flags & TYPE_MASK) !== PERMIT_ACCESS || word >>> 16 !== domid) return GrantStatus.GENERAL_ERROR
    if (write && (flags & READ_ONLY) !== 0) return GrantStatus.GENERAL_ERROR
    let use = this.#uses.get(ref)
    if (use === undefined) {
      const gfn = this.#machine.u32[(ma + FRAME) >>> 2] as number
      const mfn = this.#memory.ramAt(gfn)
      if (mfn < 0 || (write && this.#memory.isRom(gfn))) return GrantStatus.BAD_PAGE
      use = { gfn, mfn, readers: 0, writers: 0 }
      this.#uses.set(ref, use)
    }
    if (write) use.writers++
    else use.readers++
    this.#mark(ma, write ? READING | WRITING : READING, 0)
    return use.mfn
  }

  /** Guest frame of a grant that is in use, as its owner has named it; −1 if it is not. */
  usedFrame(ref: number): number {
    return this.#uses.get(ref)?.gfn ?? -1
  }

  /** Ends a use. */
  release(ref: number, write: boolean): void {
    const use = this.#uses.get(ref)
    if (use === undefined) return
    if (write) use.writers--
    else use.readers--
    const unused = use.readers + use.writers === 0
    if (unused) this.#uses.delete(ref)
    this.#mark(this.#entry(ref), 0, (use.writers === 0 ? WRITING : 0) | (unused ? READING : 0))
  }

  /** Sets and clears flags of an entry, of which the guest may change others meanwhile. */
  #mark(ma: number, set: number, clear: number): void {
    const { u32 } = this.#machine
    for (let old = Atomics.load(u32, (ma + FLAGS) >>> 2); ;) {
      const seen = Atomics.compareExchange(u32, (ma + FLAGS) >>> 2, old, (old & ~clear) | set)
      if (seen === old) break
      old = seen
    }
    this.#machine.noteWrite(ma, 4)
  }

  /**
   * Maps a granted frame among the guest's own.
   *
   * @returns a handle, or a negative `GNTST_*`
   */
  map(ref: number, domid: number, gfn: number, write: boolean): number {
    let handle = this.#mappings.indexOf(null)
    if (handle < 0) handle = this.#mappings.length
    if (handle >= MAX_MAPPINGS) return GrantStatus.NO_SPACE
    const mfn = this.acquire(ref, domid, write)
    if (mfn < 0) return mfn
    if (!this.#memory.mapGrant(gfn, mfn, write)) {
      this.release(ref, write)
      return GrantStatus.GENERAL_ERROR
    }
    this.#mappings[handle] = { ref, gfn, mfn, write }
    return handle
  }

  /** What a handle has mapped: machine frame; −1 for none. */
  mapped(handle: number): number {
    return this.#mappings[handle]?.mfn ?? -1
  }

  /** Ends a mapping. @param gfn - where it is, or −1 */
  unmap(handle: number, gfn: number): number {
    const mapping = this.#mappings[handle]
    if (mapping === undefined || mapping === null) return GrantStatus.BAD_HANDLE
    if (gfn >= 0) {
      if (gfn !== mapping.gfn || !this.#memory.unmapGrant(gfn, mapping.mfn)) return GrantStatus.GENERAL_ERROR
      // Stores through it were not logged one by one.
      if (mapping.write) this.#memory.noteWritten(this.usedFrame(mapping.ref))
      this.#mappings[handle] = null
      this.release(mapping.ref, mapping.write)
    }
    return GrantStatus.OKAY
  }

  /** Exchanges two entries, unless they are used. */
  swap(a: number, b: number): number {
    const [first, second] = [this.#entry(a), this.#entry(b)]
    if (first < 0 || second < 0) return GrantStatus.BAD_GNTREF
    if (a === b) return GrantStatus.OKAY
    if (this.#uses.has(a) || this.#uses.has(b)) return GrantStatus.EAGAIN
    const held = this.#machine.read(first, ENTRY_BYTES)
    this.#machine.write(first, this.#machine.read(second, ENTRY_BYTES))
    this.#machine.write(second, held)
    return GrantStatus.OKAY
  }

  /** Guest frame of a page of the table, or −1. */
  gfnOf(index: number): number {
    return this.#memory.placeOf(this.#frames[index] ?? -1)
  }

  save(): GrantTableState {
    return {
      version: 1,
      frames: [...this.#frames],
      uses: Array.from(this.#uses, ([ref, use]) => ({ ref, ...use })),
      mappings: this.#mappings.flatMap((mapping, handle) => (mapping === null ? [] : [{ handle, ...mapping }])),
    }
  }

  /** Takes a saved state, in the machine memory that it is of. */
  restore({ frames, uses, mappings }: GrantTableState): void {
    this.#frames.splice(0, Infinity, ...frames)
    this.#uses.clear()
    for (const { ref, ...use } of uses) this.#uses.set(ref, use)
    const handles = Math.max(0, ...mappings.map(({ handle }) => handle + 1))
    this.#mappings.splice(0, Infinity, ...Array.from({ length: handles }, () => null))
    for (const { handle, ...mapping } of mappings) this.#mappings[handle] = mapping
  }

  /** Power-on: no table, nothing mapped. */
  reset(): void {
    for (const [handle, mapping] of this.#mappings.entries()) if (mapping !== null) this.unmap(handle, mapping.gfn)
    this.#mappings.length = 0
    this.#uses.clear()
    for (const mfn of this.#frames.splice(0)) {
      this.#memory.displace(mfn)
      // Device models may have one mapped still: the last to let go of it frees it.
      this.#counts.drop(mfn, 1)
    }
  }
}
