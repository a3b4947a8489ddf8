import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { FrameCounts, P2m } from '@retrap/p2m'
import {
  GRANT_FORMATS,
  GTF_PERMIT_ACCESS,
  GTF_READ_ONLY,
  GTF_READING,
  GTF_TRANSITIVE,
  GTF_TYPE_MASK,
  GTF_WRITING,
  type GrantFormat,
  isWholePage,
} from './grant-entries.ts'
import { Domid, XenErrno } from '../numbers.ts'
import type { SavedPage, XenMemory } from './xen-memory.ts'
import { XenError } from '../errors.ts'

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

/** Frames that the table may have: 32,768 entries. */
export const MAX_GRANT_FRAMES = 64
/** Mappings that there may be at a time. */
export const MAX_MAPPINGS = 4096

/** Entries at the beginning that a change of version keeps: GNTTAB_NR_RESERVED_ENTRIES. */
const RESERVED_ENTRIES = 8
/** `grant_status_t`. */
const STATUS_BYTES = 2
export const STATUS_PER_FRAME: number = PAGE_BYTES / STATUS_BYTES

/** A grant in use. */
interface Use {
  readonly gfn: number
  readonly mfn: number
  /** The bytes of the frame that are granted. */
  readonly from: number
  readonly to: number
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

/** A grant in use, in saved form. */
interface SavedUse extends Omit<Use, 'mfn'> {
  readonly ref: number
  /** Where the frame is in the guest's map now. */
  readonly at: number
}

/** Saved form of a {@link GrantTable}. */
export interface GrantTableState {
  readonly version: 3
  /** The version of the table's entries. */
  readonly entries: 1 | 2
  readonly pages: readonly SavedPage[]
  /** Pages of the status frames, of version 2. */
  readonly statusPages: readonly SavedPage[]
  readonly uses: readonly SavedUse[]
  readonly mappings: readonly (Omit<Mapping, 'mfn'> & { readonly handle: number })[]
}

/**
 * A guest's grant table: pages of Xen's own, in which it says which domain may use which of its frames, and the uses that are
 * made of them. Version 2 has pages of its own in which Xen says what is in use. The guest may change the pages at any time; a
 * use that was made stays as it is.
 */
export class GrantTable {
  readonly #machine: MachineMemory
  readonly #counts: FrameCounts
  readonly #memory: XenMemory
  /** Machine frames of the table; they stay until the domain's reset. */
  readonly #frames: number[] = []
  readonly #statusFrames: number[] = []
  #format: GrantFormat = GRANT_FORMATS[1]
  readonly #uses = new Map<number, Use>()
  readonly #mappings: (Mapping | null)[] = []

  constructor(machine: MachineMemory, counts: FrameCounts, memory: XenMemory) {
    this.#machine = machine
    this.#counts = counts
    this.#memory = memory
  }

  get frames(): number {
    return this.#frames.length
  }

  /** Frames of the machine that it takes. */
  get machineFrames(): number {
    return this.#frames.length + this.#statusFrames.length
  }

  /** Version of the entries. */
  get version(): 1 | 2 {
    return this.#format.version
  }

  /** Makes the table at least this large. @returns false if it may not be, or there is no memory */
  grow(frames: number): boolean {
    if (frames > MAX_GRANT_FRAMES) return false
    // The status of a grant comes first: there is no entry without.
    return this.#extend(this.#statusFrames, this.#statusFor(frames)) && this.#extend(this.#frames, frames)
  }

  /** Status frames of a table with this many frames. */
  #statusFor(frames: number): number {
    if (this.#format.version === 1) return 0
    return Math.ceil((frames * this.#entriesPerFrame()) / STATUS_PER_FRAME)
  }

  #extend(list: number[], frames: number): boolean {
    while (list.length < frames) {
      const mfn = this.#machine.frames.tryAllocate(0)
      if (mfn < 0) return false
      this.#counts.adopt(mfn, 1)
      list.push(mfn)
    }
    return true
  }

  #entriesPerFrame(): number {
    return PAGE_BYTES / this.#format.bytes
  }

  /**
   * Has entries of another version from now on, while no grant is in use. Of the entries, the reserved ones stay.
   *
   * @returns 0, or a negated errno
   */
  setVersion(version: number): number {
    if (version !== 1 && version !== 2) return XenErrno.INVAL
    const old = this.#format
    if (version === old.version) return 0
    if (this.#uses.size > 0) return XenErrno.BUSY
    const { u32 } = this.#machine
    const first = (this.#frames[0] ?? 0) * PAGE_BYTES
    const reserved = Array.from({ length: this.#frames.length > 0 ? RESERVED_ENTRIES : 0 }, (_, ref) =>
      old.read(this.#machine, first + ref * old.bytes),
    )
    const format = GRANT_FORMATS[version]
    this.#format = format
    if (!this.#extend(this.#statusFrames, this.#statusFor(this.#frames.length))) {
      this.#format = old
      this.#freeFrames(this.#statusFrames)
      return XenErrno.NOMEM
    }
    if (version === 1) this.#freeFrames(this.#statusFrames)
    for (const mfn of this.#frames) {
      u32.fill(0, (mfn * PAGE_BYTES) >>> 2, ((mfn + 1) * PAGE_BYTES) >>> 2)
      this.#machine.noteWrite(mfn * PAGE_BYTES, PAGE_BYTES)
    }
    for (const [ref, entry] of reserved.entries()) {
      const words = isWholePage(entry) ? format.encode(entry) : null
      if (words !== null) u32.set(words, (first + ref * format.bytes) >>> 2)
    }
    return 0
  }

  /** Machine frame of a status frame, for which the table grows; −1 if there can be none. */
  statusPage(index: number): number {
    if (this.#format.version === 1 || index < 0 || index >= this.#statusFor(MAX_GRANT_FRAMES)) return -1
    if (index >= this.#statusFrames.length && !this.grow((index * STATUS_PER_FRAME) / this.#entriesPerFrame() + 1))
      return -1
    return this.#statusFrames[index]!
  }

  get statusFrames(): number {
    return this.#statusFrames.length
  }

  /** Guest frame of a status frame, or −1. */
  statusGfnOf(index: number): number {
    return this.#memory.placeOf(this.#statusFrames[index] ?? -1)
  }

  /** Returns the machine frame of a page of the table, which grows if needed; −1 beyond its limit. */
  page(index: number): number {
    return index >= 0 && this.grow(index + 1) ? this.#frames[index]! : -1
  }

  /** Machine address of an entry; −1 if the table is not this long. */
  #entry(ref: number): number {
    const perFrame = this.#entriesPerFrame()
    const frame = this.#frames[Math.floor(ref / perFrame)]
    return frame === undefined ? -1 : frame * PAGE_BYTES + (ref % perFrame) * this.#format.bytes
  }

  /**
   * Begins to use a grant.
   *
   * @param domid - the user
   * @param whole - requires a whole page: parts of a page, and transitive grants, can only be copied
   * @returns the machine frame, or a negative `GNTST_*`
   */
  acquire(ref: number, domid: number, write: boolean, whole: boolean): number {
    const ma = this.#entry(ref)
    if (ma < 0) return GrantStatus.BAD_GNTREF
    const entry = this.#format.read(this.#machine, ma)
    const { flags, from, to } = entry
    const type = flags & GTF_TYPE_MASK
    const transitive = type === GTF_TRANSITIVE && entry.through >= 0
    if ((type !== GTF_PERMIT_ACCESS && !transitive) || entry.domid !== domid) return GrantStatus.GENERAL_ERROR
    if (write && (flags & GTF_READ_ONLY) !== 0) return GrantStatus.GENERAL_ERROR
    if (whole && !isWholePage(entry)) return GrantStatus.GENERAL_ERROR
    // The other domain has granted nothing; passing on a grant of its own says nothing that the grant does not say.
    if (transitive) return passedOn(entry.through, domid)
    if (to > PAGE_BYTES) return GrantStatus.GENERAL_ERROR
    let use = this.#uses.get(ref)
    if (use === undefined) {
      const gfn = entry.frame
      const mfn = this.#memory.ramAt(gfn)
      if (mfn < 0 || (write && this.#memory.isRom(gfn))) return GrantStatus.BAD_PAGE
      use = { gfn, mfn, from, to, readers: 0, writers: 0 }
      this.#uses.set(ref, use)
    }
    if (write) use.writers++
    else use.readers++
    this.#mark(ref, write ? GTF_READING | GTF_WRITING : GTF_READING, 0)
    return use.mfn
  }

  /** Whether bytes of a grant that is in use are granted. */
  covers(ref: number, offset: number, length: number): boolean {
    const use = this.#uses.get(ref)
    return use !== undefined && offset >= use.from && offset + length <= use.to
  }

  /** Returns the owner's guest frame of a grant in use; −1 if not in use. */
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
    this.#mark(ref, 0, (use.writers === 0 ? GTF_WRITING : 0) | (unused ? GTF_READING : 0))
  }

  /** Machine address of the 16 bits that say how a grant is used. */
  #useFlags(ref: number): number {
    if (this.#format.version === 1) return this.#entry(ref)
    const frame = this.#statusFrames[Math.floor(ref / STATUS_PER_FRAME)]!
    return frame * PAGE_BYTES + (ref % STATUS_PER_FRAME) * STATUS_BYTES
  }

  /** Sets and clears flags of a grant's use; the guest may change others meanwhile. */
  #mark(ref: number, set: number, clear: number): void {
    const { u32 } = this.#machine
    const ma = this.#useFlags(ref)
    const at = ma >>> 2
    const shift = (ma & 2) * 8
    for (let old = Atomics.load(u32, at); ;) {
      const seen = Atomics.compareExchange(u32, at, old, (old & ~(clear << shift)) | (set << shift))
      if (seen === old) break
      old = seen
    }
    this.#machine.noteWrite(at * 4, 4)
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
    const mfn = this.acquire(ref, domid, write, true)
    if (mfn < 0) return mfn
    if (!this.#memory.mapGrant(gfn, mfn, write)) {
      this.release(ref, write)
      return GrantStatus.GENERAL_ERROR
    }
    this.#mappings[handle] = { ref, gfn, mfn, write }
    // A log of the guest's writes has the frame before the first store through the mapping.
    if (write) this.#memory.noteWritten(this.usedFrame(ref))
    return handle
  }

  /** Ends a mapping. @param gfn - guest frame of the mapping, or −1 */
  unmap(handle: number, gfn: number): number {
    const mapping = this.#mappings[handle]
    if (mapping === undefined || mapping === null) return GrantStatus.BAD_HANDLE
    if (gfn >= 0) {
      if (gfn !== mapping.gfn || !this.#memory.unmapGrant(gfn, mapping.mfn)) return GrantStatus.GENERAL_ERROR
      // Stores through the mapping were not logged individually.
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
    const { bytes } = this.#format
    const held = this.#machine.read(first, bytes)
    this.#machine.write(first, this.#machine.read(second, bytes))
    this.#machine.write(second, held)
    return GrantStatus.OKAY
  }

  /** Guest frame of a page of the table, or −1. */
  gfnOf(index: number): number {
    return this.#memory.placeOf(this.#frames[index] ?? -1)
  }

  /** Calls back with guest frames that stores through mappings write. */
  heldForWriting({ p2m }: { readonly p2m: P2m }, each: (gfn: number, count: number) => void): void {
    for (const mapping of this.#mappings) {
      const gfn = mapping?.write === true ? p2m.guestFrame(mapping.mfn) : -1
      if (gfn >= 0) each(gfn, 1)
    }
  }

  /** @throws XenError `ERR_STATE` for a granted frame that is mapped, and no more the guest's RAM */
  save({ p2m }: { readonly p2m: P2m }): GrantTableState {
    const page = (mfn: number): SavedPage => this.#memory.savePage(mfn)
    return {
      version: 3,
      entries: this.#format.version,
      pages: this.#frames.map(page),
      statusPages: this.#statusFrames.map(page),
      uses: Array.from(this.#uses, ([ref, { mfn, ...use }]) => {
        const at = p2m.guestFrame(mfn)
        if (at < 0)
          throw new XenError(
            'ERR_STATE',
            `grant ${ref} is mapped, and its frame has left the guest: it cannot be saved`,
          )
        return { ref, ...use, at }
      }),
      mappings: this.#mappings.flatMap((mapping, handle) => {
        if (mapping === null) return []
        const { ref, gfn, write } = mapping
        return [{ handle, ref, gfn, write }]
      }),
    }
  }

  /** Ends all mappings and uses: a saved state follows. */
  abandon(): void {
    for (const [handle, mapping] of this.#mappings.entries()) if (mapping !== null) this.unmap(handle, mapping.gfn)
    this.#mappings.length = 0
    this.#uses.clear()
  }

  /** Has as many pages as were saved, at the same places and with their contents. @throws XenError `ERR_STATE` */
  restorePages({ entries, pages, statusPages }: GrantTableState): void {
    this.#format = GRANT_FORMATS[entries]
    for (const [list, saved] of [
      [this.#statusFrames, statusPages],
      [this.#frames, pages],
    ] as const) {
      this.#freeFrames(list, saved.length)
      if (!this.#extend(list, saved.length))
        throw new XenError('ERR_STATE', 'the machine has no memory for a grant table')
      for (const [i, page] of saved.entries()) this.#memory.restorePage(list[i]!, page)
    }
  }

  /** Takes the uses and mappings of a saved state, once RAM and pages are there. @throws XenError `ERR_STATE` */
  restore({ uses, mappings }: GrantTableState): void {
    for (const { ref, at, ...use } of uses) this.#uses.set(ref, { ...use, mfn: this.#memory.ramAt(at) })
    const handles = Math.max(0, ...mappings.map(({ handle }) => handle + 1))
    this.#mappings.splice(0, Infinity, ...Array.from({ length: handles }, () => null))
    for (const { handle, ref, gfn, write } of mappings) {
      const { mfn = -1 } = this.#uses.get(ref) ?? {}
      if (mfn < 0 || !this.#memory.mapGrant(gfn, mfn, write))
        throw new XenError('ERR_STATE', `grant ${ref} cannot be mapped at 0x${gfn.toString(16)} as in the saved guest`)
      this.#mappings[handle] = { ref, gfn, mfn, write }
      if (write) this.#memory.noteWritten(this.usedFrame(ref))
    }
  }

  /** Power-on: no table, nothing mapped. */
  reset(): void {
    this.abandon()
    this.#freeFrames(this.#statusFrames)
    this.#freeFrames(this.#frames)
    this.#format = GRANT_FORMATS[1]
  }

  #freeFrames(list: number[], kept: number = 0): void {
    for (const mfn of list.splice(kept)) {
      this.#memory.displace(mfn)
      // Device models may still hold a mapping: dropping the last reference frees the frame.
      this.#counts.drop(mfn, 1)
    }
  }
}

/** The status of a grant that passes on another domain's. */
function passedOn(through: number, domid: number): number {
  if (through === domid) return GrantStatus.GENERAL_ERROR
  return through === Domid.TOOLSTACK ? GrantStatus.BAD_GNTREF : GrantStatus.BAD_DOMAIN
}
