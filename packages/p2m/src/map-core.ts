import type { MachineMemory } from '@retrap/memory'
import { rightsOfAccess, AccessTree } from './access-tree.ts'
import { anothersFrame, checkRange, largestOrder, noRam } from './checks.ts'
import { endContiguous } from './contiguous.ts'
import { ControlWord, READ_ONLY_MOST, type ControlBlock } from './control-block.ts'
import { hex, P2mError } from './errors.ts'
import { FrameCounts, ReverseMap } from './frame-counts.ts'
import type { TableFormat } from './format.ts'
import { leave, type ReleaseListener } from './leaving.ts'
import { P2mEntry, RadixTable, type EntryPublisher, type TableShape } from './radix-table.ts'
import { ownTable } from './sealed-tables.ts'
import {
  INVALID_MFN,
  KIND_FRAME,
  KIND_DEVICE,
  KIND_FOREIGN,
  KIND_OWN,
  KIND_REACHABLE,
  P2M_WRITE,
  P2mType,
} from './types.ts'

/**
 * Called when the translation of guest frames has changed in any way.
 *
 * @param lost - `P2M_` bits of rights that some of the frames have lost
 * @param kept - whether the same machine frames stay mapped: cached translations remain valid, except for `lost`
 * @param from - the machine frame with the same contents that a single one was mapped to, which may be written now; -1: there is none
 */
export type ChangeListener = (gfn: number, count: number, lost: number, kept: boolean, from: number) => void

/** Kinds that must not be replaced: special mappings have unmap functions of their own. */
export const OVER_NOTHING_SPECIAL: number = KIND_FOREIGN | KIND_DEVICE

/** Rules for mapping a run. */
export interface PutRule {
  /** `KIND_`s that must not be replaced. */
  readonly special: number
  /** The frames' references are the map's already. */
  readonly handedOver: boolean
  /** The frame is a copy of the one that it replaces; default false. */
  readonly isCopy?: boolean
}
/** The map takes references; nothing special is replaced. */
export const TAKE_REFERENCES: PutRule = { special: OVER_NOTHING_SPECIAL, handedOver: false }
/** The caller hands its references over; nothing special is replaced. */
export const HANDED_OVER: PutRule = { special: OVER_NOTHING_SPECIAL, handedOver: true }
/** As {@link HANDED_OVER}, for a copy. */
export const COPIED: PutRule = { ...HANDED_OVER, isCopy: true }
/** Replaces any entry, and takes references; the caller has checked the old entries. */
export const OVER_ANYTHING: PutRule = { special: 0, handedOver: false }

/** A removal whose TLB flush has not been made yet. */
interface Removal {
  readonly gfn: number
  readonly order: number
  readonly lo: number
  readonly hi: number
}

/**
 * The core of a map's features: its tables, the writers' lock, references to frames, and `replace`, the only function that
 * changes mapping entries.
 */
export class MapCore implements EntryPublisher {
  readonly memory: MachineMemory
  readonly control: ControlBlock
  readonly format: TableFormat
  readonly table: RadixTable
  readonly counts: FrameCounts | null
  readonly reverse: ReverseMap | null
  /** Flushes all TLB entries of the map's user, and returns when done. */
  readonly flushTlb: () => void
  /** Access masks, for formats without bits for them; otherwise null. */
  readonly accessTree: AccessTree | null
  releases: ReleaseListener[] = []
  changes: ChangeListener[] = []
  readonly #u32: Uint32Array
  #removals: Removal[] = []
  /** See {@link MapCore.beginEnd}. */
  isEnding = false

  /** @param flushTlb - for formats whose entries are made invalid before they change */
  constructor(
    memory: MachineMemory,
    control: ControlBlock,
    format: TableFormat,
    shape: TableShape,
    flushTlb: () => void,
  ) {
    this.memory = memory
    this.control = control
    this.format = format
    this.table = new RadixTable(memory, control, format, shape)
    this.counts = control.counts === 0 ? null : FrameCounts.attach(memory, control.counts)
    this.reverse = control.counts === 0 ? null : new ReverseMap(memory, control.counts + memory.frameCount * 4)
    this.#u32 = memory.u32
    this.flushTlb = flushTlb
    const { counts } = this
    if (counts !== null) this.table.isHeld = (mfn) => counts.tableHolders(mfn) > 0
    this.accessTree = format.name === 'lpae' ? new AccessTree(memory, control, shape.limit) : null
  }

  /** Runs an action under the lock. @throws P2mError `ERR_BUSY`, `ERR_STATE` for a map that was destroyed, or the action's error */
  change<T>(action: () => T): T {
    this.begin()
    try {
      return action()
    } finally {
      this.end()
    }
  }

  /**
   * Returns the entry of a frame that is to be of a certain type.
   *
   * @returns a fresh entry
   * @throws P2mError `ERR_TYPE`
   */
  expect(gfn: number, types: readonly number[], to: string): P2mEntry {
    this.checkRange(gfn, 1)
    const entry = new P2mEntry()
    const type = this.table.lookup(gfn, entry)
    if (types.includes(type)) return entry
    throw new P2mError('ERR_TYPE', `guest frame ${hex(gfn)} is of type ${type}, which cannot ${to}`, { gfn, type })
  }

  /** Returns the reference counts, or refuses a map without them. */
  needCounts(): FrameCounts {
    if (this.counts !== null) return this.counts
    throw new P2mError('ERR_COUNT', 'this map does not count its frames: make it with `counts`')
  }

  /** Begins a change, which `end` ends whatever happens in between. @throws P2mError `ERR_BUSY` */
  begin(): void {
    if (this.table.limit === 0) throw new P2mError('ERR_STATE', 'the map has been destroyed')
    this.control.lock()
  }

  end(): void {
    try {
      if (this.#removals.length > 0) this.#flushRemovals()
    } finally {
      this.control.unlock()
    }
  }

  /** Refuses an empty range, and guest frames beyond this map's limit. */
  checkRange(gfn: number, count: number): void {
    checkRange(gfn, count, this.table.limit)
  }

  /** See `P2m.lookup`. */
  lookup(gfn: number, into: P2mEntry): number {
    const type = this.table.lookup(gfn, into)
    if (this.accessTree !== null && into.mfn !== INVALID_MFN) into.access = this.accessTree.get(gfn)
    return type
  }

  kindsOf(type: number): number {
    return this.format.types.kinds[type] ?? 0
  }

  /** Returns the rights of a leaf from its type and its access mask. */
  rights(type: number, access: number, mfn: number, count: number): number {
    let rights = this.format.types.rights[type] ?? 0
    if (this.format.name === 'ept') {
      if (type === P2mType.IOREQ_SERVER && this.control.word(ControlWord.IOREQ_CLAIM) !== 0) rights &= ~P2M_WRITE
      if (type === P2mType.MMIO_DIRECT && this.isReadOnly(mfn, count)) rights &= ~P2M_WRITE
    }
    return rights & rightsOfAccess(access)
  }

  /** Whether any device frame of a run lies in a range declared read-only. */
  isReadOnly(mfn: number, count: number): boolean {
    for (let i = 0; i < this.control.word(ControlWord.READ_ONLY_COUNT); i++) {
      const first = this.control.word(ControlWord.READ_ONLY_FIRST + i * 2)
      if (mfn < first + this.control.word(ControlWord.READ_ONLY_FIRST + i * 2 + 1) && first < mfn + count) return true
    }
    return false
  }

  /** Whether a run can be one leaf: a device's frames have one set of rights. */
  fits(type: number, mfn: number, order: number): boolean {
    if (this.format.name !== 'ept' || type !== P2mType.MMIO_DIRECT || !this.isReadOnly(mfn, 2 ** order)) return true
    for (let i = 0; i < 2 ** order; i++) if (!this.isReadOnly(mfn + i, 1)) return false
    return true
  }

  addReadOnly(mfn: number, count: number): void {
    const { control } = this
    const index = control.word(ControlWord.READ_ONLY_COUNT)
    if (index === READ_ONLY_MOST) {
      throw new P2mError('ERR_NO_MEMORY', `there are ${index} read-only ranges already`, { count: index })
    }
    control.setWord(ControlWord.READ_ONLY_FIRST + index * 2, mfn)
    control.setWord(ControlWord.READ_ONLY_FIRST + index * 2 + 1, count)
    control.setWord(ControlWord.READ_ONLY_COUNT, index + 1)
  }

  /** The rights of newly mapped frames. */
  get defaultAccess(): number {
    const word = this.control.word(ControlWord.DEFAULT_ACCESS)
    return word === 0 ? 7 : word - 1
  }

  /**
   * Maps one naturally aligned run.
   *
   * @param rule - kinds that may be replaced, and who holds the frames' references
   */
  put(
    gfn: number,
    order: number,
    mfn: number,
    type: number,
    access: number = this.defaultAccess,
    rule: PutRule = TAKE_REFERENCES,
  ): void {
    const { format, accessTree } = this
    if (accessTree !== null && mfn !== INVALID_MFN && (accessTree.used || access !== 7)) {
      const isOther = accessTree.get(gfn) !== access || !accessTree.isUniform(gfn, order)
      if (isOther) accessTree.set(gfn, order, access)
      // The leaf of logged RAM does not show whether it may be written, and does not change.
      if (isOther && type === format.types.logged)
        for (const listener of this.changes) listener(gfn, 2 ** order, P2M_WRITE, true, -1)
    }
    const rights = this.rights(type, access, mfn, 2 ** order)
    const lo = format.leafLo(mfn, type, rights, order)
    this.replace(gfn, order, lo, format.leafHi(type, rights, access), rule.special, rule.handedOver, rule.isCopy)
  }

  /**
   * Publishes a leaf (or nothing, for zeros) over whatever covered the run, tells the listeners, drops references and frees
   * the tables that it replaced. Under the lock.
   *
   * @throws P2mError `ERR_FOREIGN`, `ERR_NO_MEMORY`; nothing has changed then
   */
  replace(
    gfn: number,
    order: number,
    lo: number,
    hi: number,
    special: number = OVER_NOTHING_SPECIAL,
    handedOver: boolean = false,
    isCopy: boolean = false,
  ): void {
    const { format, table } = this
    const size = 2 ** order
    const level = order / 9 + 1
    const ma = table.path(gfn, order, this)
    const oldLo = this.#u32[ma >>> 2]!
    const oldHi = this.#u32[(ma >>> 2) + 1]!
    const wasLeaf = format.isLeaf(oldLo, oldHi, level)
    const isLeaf = format.isLeaf(lo, hi, level)
    const type = isLeaf ? format.typeOf(hi) : 0
    const mfn = isLeaf && lo >>> 12 !== 0 ? lo >>> 12 : INVALID_MFN
    const own = mfn !== INVALID_MFN && (this.kindsOf(type) & KIND_OWN) !== 0
    // A frame that stays mapped in place keeps its reference.
    const sameFrame = own && wasLeaf && oldLo >>> 12 === mfn && (this.kindsOf(format.typeOf(oldHi)) & KIND_OWN) !== 0
    if (sameFrame) hi = (hi | (oldHi & format.counted)) >>> 0
    if (oldLo === lo && ((oldHi ^ hi) & ~format.contiguous) === 0) return
    const inTheWay = special === 0 ? -1 : table.findBelow(oldLo, oldHi, level, gfn, special)
    if (inTheWay >= 0 && !(wasLeaf && isLeaf && isSame(oldLo, oldHi, lo, hi, format))) throw anothersFrame(inTheWay)
    const { counts } = this
    if (own && !sameFrame && counts !== null) {
      if (handedOver || counts.tryTake(mfn, size)) hi = (hi | format.counted) >>> 0
      this.reverse?.set(mfn, gfn, size)
    }
    const had = this.changes.length === 0 ? 0 : table.rightsBelow(oldLo, oldHi, level, P2M_WRITE)
    const lost = had === 0 ? 0 : had & ~table.rightsBelow(lo, hi, level, 0)
    if (isLeaf) this.control.addFrames(type, size)
    if (!isLeaf && format.breakBeforeMake && !format.isTable(lo, hi, level)) {
      // The frames are not reused before TLBs are flushed, which is done once for a whole change.
      this.#publishHole(ma)
      this.control.raiseChanges()
      this.#removals.push({ gfn, order, lo: oldLo, hi: oldHi })
      return
    }
    this.publish(ma, lo, hi)
    this.control.raiseChanges()
    // TLBs first: any party that is notified of a release may give the frame to another owner.
    for (const listener of this.changes) listener(gfn, size, lost, sameFrame, isCopy ? oldLo >>> 12 : -1)
    const kept = own && (this.kindsOf(type) & KIND_REACHABLE) !== 0 ? mfn - gfn : NaN
    leave(this, oldLo, oldHi, level, gfn, kept, sameFrame)
    if (format.isTable(oldLo, oldHi, level)) table.freeBelow(oldLo, oldHi, level)
  }

  /** Do not make tables for a hole. */
  clear(gfn: number, order: number, special: number = OVER_NOTHING_SPECIAL): void {
    if (this.table.hasEntry(gfn, order)) this.replace(gfn, order, 0, 0, special)
  }

  /** Makes a leaf boundary at a guest frame. @throws P2mError `ERR_NO_MEMORY` */
  split(gfn: number, order: number): void {
    if (this.table.orderOfLeaf(gfn) > order) this.table.path(gfn - (gfn % 2 ** order), order, this)
  }

  /** A frame of the machine's, counted if frames are. @throws P2mError `ERR_NO_MEMORY` */
  takeFrame(): number {
    const mfn = this.memory.frames.tryAllocate(0)
    if (mfn < 0) throw noRam(this.memory, 1)
    this.counts?.adopt(mfn, 1)
    return mfn
  }

  /** Gives back a frame of {@link MapCore.takeFrame}. */
  giveFrame(mfn: number): void {
    if (this.counts === null) this.memory.frames.free(mfn)
    else this.counts.drop(mfn, 1)
  }

  /** Makes leaf boundaries at both ends of a range. @throws P2mError `ERR_NO_MEMORY`; mappings stay the same */
  splitAround(gfn: number, count: number): void {
    const { limit } = this.table
    for (const edge of [gfn, gfn + count]) if (edge < limit) this.split(edge, largestOrder(edge, 0, limit))
  }

  /** Frames of the guest's own in the map. */
  get ownFrames(): number {
    let sum = 0
    for (const [type, kinds] of this.format.types.kinds.entries()) {
      if ((kinds & (KIND_OWN | KIND_FRAME)) === (KIND_OWN | KIND_FRAME)) sum += this.control.frames(type)
    }
    return sum
  }

  /** See {@link EntryPublisher.own}. */
  own(ma: number): void {
    ownTable(this.memory, this.needCounts(), this.format, ma, (at, lo, hi) => this.publish(at, lo, hi))
  }

  /** Marks the map as being destroyed: frames shared with other maps are not reported one by one. */
  beginEnd(): void {
    this.isEnding = true
  }

  publish(ma: number, lo: number, hi: number): void {
    const { format } = this
    if (format.breakBeforeMake) {
      if ((this.#u32[(ma >>> 2) + 1]! & format.contiguous) !== 0) endContiguous(this, ma)
      if ((this.#u32[ma >>> 2]! & format.present) !== 0) {
        this.memory.publishEntry(ma, 0, 0)
        this.flushTlb()
      }
    }
    this.memory.publishEntry(ma, lo, hi)
  }

  /** A removal, whose flush comes at the end of the change. */
  #publishHole(ma: number): void {
    if ((this.#u32[(ma >>> 2) + 1]! & this.format.contiguous) !== 0) endContiguous(this, ma)
    this.memory.publishEntry(ma, 0, 0)
  }

  #flushRemovals(): void {
    const removals = this.#removals
    this.#removals = []
    this.flushTlb()
    const { table } = this
    for (const { gfn, order, lo, hi } of removals) {
      const level = order / 9 + 1
      const lost = this.changes.length === 0 ? 0 : table.rightsBelow(lo, hi, level, P2M_WRITE)
      for (const listener of this.changes) listener(gfn, 2 ** order, lost, false, -1)
      leave(this, lo, hi, level, gfn, NaN, false)
      if (this.format.isTable(lo, hi, level)) table.freeBelow(lo, hi, level)
    }
  }
}

/** Whether two leaves are of one type and frame: then rights and access alone differ. */
function isSame(oldLo: number, oldHi: number, lo: number, hi: number, format: TableFormat): boolean {
  return oldLo >>> 12 === lo >>> 12 && format.typeOf(oldHi) === format.typeOf(hi)
}
