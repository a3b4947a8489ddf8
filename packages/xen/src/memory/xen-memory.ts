import { type MachineMemory, MemoryError, PAGE_BYTES } from '@retrap/memory'
import { ForeignMappings, INVALID_MFN, type P2m, P2mAccess, P2mEntry, P2mError, P2mType } from '@retrap/p2m'
import type { XenHost } from '../architecture.ts'
import { XenError } from '../errors.ts'
import { GUEST_FRAMES, missingFrom, type XenGuestFrames } from '../guest-frames.ts'

/** A range of guest-physical addresses, as BIOS function E820H tells of it. */
export interface XenMemoryRange {
  /** Guest-physical address. */
  readonly base: number
  /** Bytes. */
  readonly size: number
  /** 1 RAM, 2 reserved, 3 ACPI tables, 4 ACPI NVS. */
  readonly type: number
}

/** Bytes of an entry, which has no padding. */
export const RANGE_BYTES = 20

/** Encodes the memory map for guests. */
export function encodeMemoryMap(ranges: readonly XenMemoryRange[]): Uint8Array {
  const bytes = new Uint8Array(ranges.length * RANGE_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, { base, size, type }] of ranges.entries()) {
    view.setBigUint64(i * RANGE_BYTES, BigInt(base), true)
    view.setBigUint64(i * RANGE_BYTES + 8, BigInt(size), true)
    view.setUint32(i * RANGE_BYTES + 16, type, true)
  }
  return bytes
}

const TABLE_FRAMES = 512
/** 2 MiB: the largest run that is allocated at once. */
const LARGE_ORDER = 9
/** Most tables that one leaf may need. */
const TABLES_ON_THE_WAY = 3

/** Saved form of {@link XenMemory}, without the RAM that is in the map, which its domain saves. */
export interface XenMemoryState {
  readonly version: 2
  /** Null until somebody has asked for it. */
  readonly maximum: number | null
  /** Orders of the runs that are mapped nowhere. */
  readonly unmapped: readonly number[]
}

/** A page of Xen's own, as it is saved. */
export interface SavedPage {
  /** Guest frame of the page; −1: not mapped. */
  readonly gfn: number
  /** 4 KiB. */
  readonly contents: Uint8Array
}

/**
 * A guest's memory as its hypercalls change it: RAM comes and goes through the map, up to a limit, and tables of which
 * nothing is left are given back. Pages of Xen's own can be put among it; they are no part of the guest's RAM.
 */
export class XenMemory {
  readonly #memory: MachineMemory
  readonly #p2m: P2m
  readonly #entry: P2mEntry = new P2mEntry()
  readonly #dirty: XenHost['dirtyLogs']
  readonly #secondLevel: XenHost['secondLevel']
  readonly #granted: ForeignMappings
  readonly #limit: number | undefined
  #maximum = -1
  /** Number of mapped pages, and the map's version when they were counted. */
  #placed = 0
  #counted = -1
  /** Pages of Xen's own by machine frame, and the guest frame that each was mapped at last. */
  readonly pages: Map<number, number> = new Map()
  /** Regions of the map that a hypercall has taken something out of, by first guest frame. */
  readonly #thinned = new Set<number>()
  /** Runs that the guest owns and has nowhere in its map. */
  readonly #unmapped: { mfn: number; order: number }[] = []
  /** Frames. */
  #hoarded = 0

  /** @param limit - most frames of RAM; default the number at the first query */
  constructor(domain: XenHost, limit: number | undefined) {
    this.#memory = domain.memory
    this.#p2m = domain.p2m
    this.#dirty = domain.dirtyLogs
    this.#secondLevel = domain.secondLevel
    this.#granted = new ForeignMappings(domain.p2m, domain.frameCounts)
    this.#limit = limit
  }

  /** Frames of RAM that the guest has. */
  get current(): number {
    return this.#p2m.frames - this.#pagesInMap() + this.#hoarded
  }

  /** Frames of RAM that it may have. */
  get maximum(): number {
    if (this.#maximum < 0) this.#maximum = this.#limit ?? this.current
    return this.#maximum
  }

  /** Pages of Xen's own that are in the map now: any party that changes it may have taken some out. */
  #pagesInMap(): number {
    const { version } = this.#p2m
    if (version === this.#counted) return this.#placed
    this.#placed = 0
    for (const mfn of this.pages.keys()) if (this.placeOf(mfn) >= 0) this.#placed++
    this.#counted = version
    return this.#placed
  }

  /** The highest guest frame that anything is mapped at. */
  get highest(): number {
    const entry = this.#entry
    const { hole, nothing } = this.#p2m.types
    for (let at = GUEST_FRAMES - 1; at >= 0;) {
      const type = this.#p2m.lookup(at, entry)
      if (type !== hole && type !== nothing) return at
      // Holes are as large as tables are missing.
      at -= (at % 2 ** entry.order) + 1
    }
    return 0
  }

  /** Whether the map has frames on demand, and frames that several share. */
  get #hasX86Types(): boolean {
    return this.#p2m.format === 'ept'
  }

  /** Whether a guest frame is ROM. */
  isRom(gfn: number): boolean {
    return this.typeAt(gfn) === this.#p2m.types.rom
  }

  /** Type of a guest frame, one of the map's; see {@link XenMemory.ramAt} for its machine frame. */
  typeAt(gfn: number): number {
    return this.#p2m.lookup(gfn, this.#entry)
  }

  /** Machine frame of a guest frame that is RAM of the guest's own; −1 if it is not. */
  ramAt(gfn: number): number {
    if (!isFrame(gfn)) return INVALID_MFN
    const p2m = this.#p2m
    const entry = this.#entry
    const type = p2m.lookup(gfn, entry)
    if (type === P2mType.POPULATE_ON_DEMAND && this.#hasX86Types) tryTo(() => p2m.onDemand.populate(gfn))
    else if (type === p2m.types.shared) tryTo(() => p2m.unshare(gfn))
    // Pages without access rights may still have to be loaded.
    else if (entry.access === P2mAccess.N && p2m.isRam(type)) this.#secondLevel.translateWrite(gfn * PAGE_BYTES)
    const now = p2m.lookup(gfn, entry)
    return p2m.isRam(now) && now !== p2m.types.shared && !this.#isPage(gfn, entry.mfn) ? entry.mfn : INVALID_MFN
  }

  /** Whether there are frames for as many of RAM, and for the tables that lead to `extents` of them. */
  hasRoom(frames: number, extents: number): boolean {
    return this.#memory.frames.freeFrames >= frames + extents * TABLES_ON_THE_WAY
  }

  /** Whether nothing is in the way of RAM at guest frames. */
  mayPopulate(gfn: number, count: number): boolean {
    if (!isFrame(gfn) || gfn + count > GUEST_FRAMES) return false
    for (let at = gfn; at < gfn + count;) {
      if (this.#p2m.isForeign(this.#p2m.lookup(at, this.#entry))) return false
      at += 2 ** this.#entry.order - (at % 2 ** this.#entry.order)
    }
    return true
  }

  // ---------------------------------------------------------------- RAM

  /** Maps RAM at guest frames, replacing existing entries. @returns false if memory is short, or a foreign frame is in the way */
  populate(gfn: number, count: number): boolean {
    if (!isFrame(gfn) || gfn + count > GUEST_FRAMES) return false
    const replaced = this.#ramIn(gfn, count)
    if (this.current - replaced + count > this.maximum) return false
    return tryTo(() => this.#p2m.populate(gfn, count))
  }

  /** Frames that the guest has among guest frames. */
  #ramIn(gfn: number, count: number): number {
    const entry = this.#entry
    let frames = 0
    for (let at = gfn; at < gfn + count;) {
      const type = this.#p2m.lookup(at, entry)
      const run = Math.min(gfn + count - at, 2 ** entry.order - (at % 2 ** entry.order))
      if (this.#p2m.isRam(type) && entry.mfn !== INVALID_MFN && !this.#isPage(at, entry.mfn)) frames += run
      at += run
    }
    return frames
  }

  /** Takes RAM out of the map, and gives it back. @returns the frames taken, up to the first that is no RAM */
  remove(gfn: number, count: number): number {
    const p2m = this.#p2m
    // Without a limit, the RAM of now is what is allowed.
    if (this.maximum < 0 || !isFrame(gfn)) return 0
    const frames = Math.min(count, GUEST_FRAMES - gfn)
    // A frame that has never been accessed has no machine frame to give back.
    let onDemand = 0
    if (this.#hasX86Types && p2m.onDemand.entries > 0 && !tryTo(() => (onDemand = p2m.onDemand.decrease(gfn, frames))))
      return 0
    let done = 0
    while (done < frames) {
      const at = gfn + done
      const type = p2m.lookup(at, this.#entry)
      const { mfn, order } = this.#entry
      const run = Math.min(frames - done, 2 ** order - (at % 2 ** order))
      if (p2m.isRam(type)) {
        if (!tryTo(() => p2m.remove(at, mfn, run))) break
      } else if (run <= onDemand) onDemand -= run
      else break
      this.#thinned.add(at - (at % TABLE_FRAMES))
      done += run
    }
    return done
  }

  /** Moves a frame of RAM to a guest frame without RAM. @returns false if the map has no room */
  move(from: number, to: number): boolean {
    const mfn = this.ramAt(from)
    if (mfn < 0 || !isFrame(to)) return false
    return this.#put(to, mfn, from)
  }

  /** Maps a frame, and unmaps it from `old` unless that is −1. @returns false if the map has no room, with nothing changed */
  #put(gfn: number, mfn: number, old: number): boolean {
    const p2m = this.#p2m
    if (old >= 0) this.#thinned.add(old - (old % TABLE_FRAMES))
    // Tables that a removal needs come first: a frame is never at two places.
    const put = tryTo(() => {
      if (old >= 0) p2m.splitAround(old, 1)
      p2m.insert(gfn, mfn, 0, p2m.types.ram)
    })
    if (put && old >= 0) p2m.remove(old, mfn, 1)
    return put
  }

  /** Allocates RAM without mapping it. @returns false if memory is short */
  hoard(order: number): boolean {
    return this.current + 2 ** order <= this.maximum && this.#take(order)
  }

  #take(order: number): boolean {
    const frames = 2 ** order
    const { frames: machine } = this.#memory
    const size = order === LARGE_ORDER ? LARGE_ORDER : 0
    const mfns: number[] = []
    while (mfns.length * 2 ** size < frames) {
      const mfn = machine.tryAllocate(size)
      if (mfn < 0) {
        for (const each of mfns) machine.free(each, size)
        return false
      }
      mfns.push(mfn)
    }
    for (const mfn of mfns) this.#unmapped.push({ mfn, order: size })
    this.#hoarded += frames
    return true
  }

  /** Frees unmapped RAM at the domain's end or reset. */
  release(): void {
    for (const { mfn, order } of this.#unmapped.splice(0)) this.#memory.frames.free(mfn, order)
    this.#hoarded = 0
  }

  /** Tables that a hypercall left empty, or with what larger leaves can say, go: once at its end, and after a reset. */
  tidy(): void {
    for (const gfn of this.#thinned) this.#p2m.coalesce(gfn, TABLE_FRAMES)
    this.#thinned.clear()
  }

  // ---------------------------------------------------------------- pages of Xen's own

  /** Maps one of Xen's own pages at a guest frame without RAM, and unmaps it from its previous one. */
  place(mfn: number, gfn: number): boolean {
    const old = this.placeOf(mfn)
    if (!isFrame(gfn)) return false
    if (old === gfn) return true
    if (!this.#put(gfn, mfn, old)) return false
    this.pages.set(mfn, gfn)
    return true
  }

  /** Takes a page of Xen's own out of the map. */
  displace(mfn: number): void {
    const gfn = this.placeOf(mfn)
    if (gfn >= 0) {
      this.#p2m.remove(gfn, mfn, 1)
      this.#thinned.add(gfn - (gfn % TABLE_FRAMES))
    }
    this.pages.delete(mfn)
  }

  /** Guest frame at which a page of Xen's own is mapped, or −1. */
  placeOf(mfn: number): number {
    const gfn = this.pages.get(mfn) ?? -1
    return gfn >= 0 && this.#p2m.isRam(this.#p2m.lookup(gfn, this.#entry)) && this.#entry.mfn === mfn ? gfn : -1
  }

  #isPage(gfn: number, mfn: number): boolean {
    return this.pages.get(mfn) === gfn
  }

  // ---------------------------------------------------------------- state

  /** The state that is not in the map. */
  save(): XenMemoryState {
    return {
      version: 2,
      maximum: this.#maximum < 0 ? null : this.#maximum,
      unmapped: this.#unmapped.map(({ order }) => order),
    }
  }

  /**
   * Takes a saved state.
   *
   * @param here - the frames of the guest's map as they are, from low to high, without pages of Xen's own
   * @param frames - as they are to be. RAM comes and goes; zeros are in what comes
   * @throws XenError `ERR_STATE` if memory is short
   */
  restore(
    { maximum, unmapped }: XenMemoryState,
    here: readonly XenGuestFrames[],
    frames: readonly XenGuestFrames[],
  ): void {
    this.release()
    this.#maximum = -1
    for (const { gfn, count } of missingFrom(frames, here)) this.remove(gfn, count)
    for (const { gfn, count } of missingFrom(here, frames)) {
      if (!tryTo(() => this.#p2m.populate(gfn, count))) throw noMemory(`${count} frames of RAM`)
    }
    for (const order of unmapped) if (!this.#take(order)) throw noMemory('RAM that is mapped nowhere')
    this.#maximum = maximum ?? -1
    this.#counted = -1
  }

  /** The frames of RAM and ROM of the map, from low to high, without pages of Xen's own. */
  frames(): XenGuestFrames[] {
    const { rom } = this.#p2m.types
    const all: XenGuestFrames[] = []
    for (const { gfn, mfn, order, type } of this.#p2m.leaves()) {
      const kind = type === rom ? 'rom' : 'ram'
      if ((type === rom || this.#p2m.isRam(type)) && !this.pages.has(mfn)) all.push({ gfn, count: 2 ** order, kind })
    }
    return all
  }

  /** A page of Xen's own as it is. */
  savePage(mfn: number): SavedPage {
    return { gfn: this.placeOf(mfn), contents: this.#memory.read(mfn * PAGE_BYTES, PAGE_BYTES) }
  }

  /** Restores the place and contents of one of Xen's own pages. @throws XenError `ERR_STATE` if the map lacks memory */
  restorePage(mfn: number, { gfn, contents }: SavedPage): void {
    if (gfn < 0) this.displace(mfn)
    else if (!this.place(mfn, gfn)) throw noMemory('a table of the map')
    this.#memory.write(mfn * PAGE_BYTES, contents)
  }

  // ---------------------------------------------------------------- granted frames

  /** Maps a granted frame, with a reference that keeps it from being used for anything else. @returns false if it cannot be */
  mapGrant(gfn: number, mfn: number, write: boolean): boolean {
    if (!isFrame(gfn)) return false
    const { granted, grantedReadOnly } = this.#p2m.types
    const type = write ? granted : grantedReadOnly
    return tryTo(() => this.#granted.map(gfn, mfn, type))
  }

  /** A guest frame may have been written: who logs such writes is told. */
  noteWritten(gfn: number): void {
    if (gfn >= 0) this.#dirty.mark(gfn, 1)
  }

  /** Ends the mapping. @returns false if that frame is not mapped there */
  unmapGrant(gfn: number, mfn: number): boolean {
    const p2m = this.#p2m
    if (!isFrame(gfn) || !p2m.isForeign(p2m.lookup(gfn, this.#entry)) || this.#entry.mfn !== mfn) return false
    this.#granted.unmap(gfn)
    this.#thinned.add(gfn - (gfn % TABLE_FRAMES))
    return true
  }
}

function noMemory(what: string): XenError {
  return new XenError('ERR_STATE', `the machine has no memory for ${what} that the saved guest had`)
}

function isFrame(gfn: number): boolean {
  return gfn >= 0 && gfn < GUEST_FRAMES
}

/** @returns false where the machine's memory or the map does not allow it; nothing has changed then */
function tryTo(change: () => void): boolean {
  try {
    change()
    return true
  } catch (error) {
    if (error instanceof P2mError || error instanceof MemoryError) return false
    throw error
  }
}
