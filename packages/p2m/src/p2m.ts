import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { checkAccess, rightsOfAccess } from './access-tree.ts'
import { check, checkFrames, checkMemory } from './checks.ts'
import { ControlBlock, ControlWord } from './control-block.ts'
import { guestFrame, insertForeign, removeForeign } from './foreign-frames.ts'
import { createTables, geometryOf, type P2mOptions } from './geometry.ts'
import { Stage2Map, type Stage2 } from './stage2.ts'
import { P2mError } from './errors.ts'
import type { ReleaseListener } from './leaving.ts'
import { MapCore, type ChangeListener } from './map-core.ts'
import { memoryPaging, type MemoryPaging } from './memory-paging.ts'
import { OnDemand, type PopulateOnDemand } from './on-demand.ts'
import { beginShare, insertShared, insertSharedTable, offer, shareWith, unshare } from './page-sharing.ts'
import type { SharedRam, SharedRun, SharedTable } from './shared-tables.ts'
import { P2mEntry } from './radix-table.ts'
import {
  coalesce,
  contiguous,
  insert,
  insertRange,
  markBroken,
  populate,
  remove,
  removeAll,
  setAccess,
  setType,
  shatter,
  unlock,
} from './range-changes.ts'
import { countLeaves, leavesOf, restoreMap, saveMap, type P2mLeaf, type P2mState, type P2mStatistics } from './saved.ts'
import { KIND_FOREIGN, KIND_RAM, P2M_EXECUTE, P2M_WRITE, type CommonTypes } from './types.ts'
import { IoreqServerClaim, type WriteClaim } from './write-claim.ts'
import { WriteLogs } from './write-logs.ts'

/**
 * A domain's map of guest frames to machine frames: EPT or stage-2 tables in machine memory, with leaves of 4 KiB, 2 MiB and 1 GiB. Any
 * thread can walk it at any time. Any thread with a view can change it: writers exclude each other, and readers never
 * wait. A listener cannot change the map that tells it of a change.
 *
 * Every change goes through `MapCore.replace`: RAM leaves the map in this function alone.
 */
export class P2m {
  /** The machine memory with the mapped frames. */
  readonly memory: MachineMemory
  /** MA of the top table, which a processor's EPTP or VTTBR would hold. */
  readonly root: number
  /** MA of the state that views share, for {@link P2m.attach}. */
  readonly ma: number
  /** Format of its tables: of an x86 guest, or stage 2 of an Arm guest. */
  readonly format: 'ept' | 'lpae'
  /** The part of maps of Arm guests alone; null for others. */
  readonly stage2: Stage2 | null
  /** The logs of writes through this view. Other views of the same map have their own logs. */
  readonly writeLogs: WriteLogs = new WriteLogs()
  readonly #core: MapCore
  readonly #onDemand: OnDemand
  readonly #paging: MemoryPaging
  readonly #writeClaim: WriteClaim
  readonly #scratch = new P2mEntry()

  /**
   * Makes an empty map: everything is a hole.
   *
   * @throws P2mError `ERR_NO_MEMORY`
   */
  static create(memory: MachineMemory, options: P2mOptions = {}): P2m {
    checkMemory(memory)
    check.object('options', options)
    return new P2m(memory, createTables(memory, options), options.stage2?.flushTlb)
  }

  /**
   * A further view of a map, in a Worker or after a snapshot of machine memory. Listeners are each view's own.
   *
   * @param ma - {@link P2m.ma}
   * @param flushTlb - as in {@link Stage2Options}
   * @throws P2mError `ERR_STATE` if the address holds no map
   */
  static attach(memory: MachineMemory, ma: number, flushTlb?: (vmid: number) => void): P2m {
    checkMemory(memory)
    return new P2m(memory, new ControlBlock(memory, ma), flushTlb)
  }

  private constructor(memory: MachineMemory, control: ControlBlock, flushTlb?: (vmid: number) => void) {
    this.memory = memory
    this.root = control.root
    this.ma = control.ma
    const { format, shape, ipaBits, vmid } = geometryOf(control)
    this.format = format.name
    this.#core = new MapCore(memory, control, format, shape, () => flushTlb?.(vmid))
    this.#onDemand = new OnDemand(this.#core)
    this.#paging = memoryPaging(this.#core)
    this.#writeClaim = new IoreqServerClaim(this.#core)
    this.stage2 = format.name === 'lpae' ? new Stage2Map(this.#core, vmid, ipaBits, shape.roots) : null
  }

  /** The types that maps of all architectures have, as this one numbers them. */
  get types(): CommonTypes {
    return this.#core.format.types
  }

  /** Whether a type is RAM of the guest's own, with a frame or, paged out, without. */
  isRam(type: number): boolean {
    return (this.#core.kindsOf(type) & KIND_RAM) !== 0
  }

  /** Whether a type is another guest's frame: neither the guest's RAM nor a hole. */
  isForeign(type: number): boolean {
    return (this.#core.kindsOf(type) & KIND_FOREIGN) !== 0
  }

  /** Rights that a type gives: `P2M_READ` and so on. IOREQ_SERVER loses write access while its writes are claimed. */
  rightsOf(type: number): number {
    return this.#core.format.types.rights[type] ?? 0
  }

  /** Frames that are populated when they are accessed. @throws P2mError `ERR_TYPE` for an Arm guest, as all x86 types do */
  get onDemand(): PopulateOnDemand {
    this.#needX86()
    return this.#onDemand
  }

  /** RAM that an external pager keeps for the guest. */
  get paging(): MemoryPaging {
    this.#needX86()
    return this.#paging
  }

  /** The device model that receives writes to frames of type IOREQ_SERVER. */
  get writeClaim(): WriteClaim {
    this.#needX86()
    return this.#writeClaim
  }

  #needX86(): void {
    if (this.format !== 'ept') throw new P2mError('ERR_TYPE', 'a map of an Arm guest has no such types')
  }

  /** Machine memory that the tables take up. */
  get tableBytes(): number {
    return this.#core.control.tables * PAGE_BYTES
  }

  /** Number of the guest's machine frames: mapped frames except foreign ones, and those set aside for populate-on-demand. */
  get frames(): number {
    return this.#core.ownFrames + (this.format === 'ept' ? this.#onDemand.cached : 0)
  }

  /** Changes with every change through any view: equal numbers mean an unchanged map. */
  get version(): number {
    return this.#core.control.changes
  }

  /**
   * Registers a listener for frames of RAM that leave the map: device models' map caches, dirty bitmaps, frames' owners.
   * It is called once for each leaf, or part of one, after the map has changed and the change listeners have returned, and
   * before the map drops its reference: a listener that takes a reference then keeps the frame from being used again. It
   * must not throw: the frames of a listener that was not called are never given back.
   *
   * @returns a function that removes the listener
   */
  onRelease(listener: ReleaseListener): () => void {
    check.function('listener', listener)
    const core = this.#core
    core.releases = [...core.releases, listener]
    return () => {
      core.releases = core.releases.filter((each) => each !== listener)
    }
  }

  /**
   * Registers a listener for changed translations: TLBs of the domain's vCPUs are flushed. Replaced tables are freed
   * when all listeners have returned; walks of other threads that are in the middle of one begin again.
   *
   * @returns a function that removes the listener
   */
  onChange(listener: ChangeListener): () => void {
    check.function('listener', listener)
    const core = this.#core
    core.changes = [...core.changes, listener]
    return () => {
      core.changes = core.changes.filter((each) => each !== listener)
    }
  }

  /**
   * Machine address of a guest-physical address that is memory and may be read; −1 for anything else. For TLB fills: no
   * checks, no allocation. Others' frames translate as well.
   */
  translate(gpa: number): number {
    return this.#core.table.translate(gpa, this.#core.format.read)
  }

  /** As {@link P2m.translate}, for memory that may be written: −1 for ROM and for RAM whose writes are logged as well, see {@link P2m.translateLogged}. */
  translateWrite(gpa: number): number {
    return this.#core.table.translate(gpa, this.#core.format.write)
  }

  /** As {@link P2m.translate}, for memory that may be executed. */
  translateExecute(gpa: number): number {
    const { table, format } = this.#core
    if (format.execute !== 0) return table.translate(gpa, format.execute)
    this.lookup(Math.floor(gpa / PAGE_BYTES), this.#scratch)
    return (this.#scratch.rights & P2M_EXECUTE) === 0 ? -1 : table.translate(gpa, format.read)
  }

  /**
   * Looks a guest frame up.
   *
   * @param into - filled in; no allocation
   * @returns its type
   */
  lookup(gfn: number, into: P2mEntry): number {
    return this.#core.lookup(gfn, into)
  }

  /**
   * The guest frame that a machine frame of the guest's own RAM is mapped at; of several, the one mapped last.
   *
   * @returns −1 if it is not this guest's RAM, or frames are not counted
   */
  guestFrame(mfn: number): number {
    return guestFrame(this.#core, mfn)
  }

  /**
   * Maps one naturally aligned run of `2 ** order` frames, replacing existing entries.
   *
   * @param mfn - {@link INVALID_MFN} for types without frames
   * @throws P2mError `ERR_ORDER`, `ERR_ALIGN`, `ERR_RANGE`, `ERR_TYPE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`
   */
  insert(gfn: number, mfn: number, order: number, type: number): void {
    insert(this.#core, gfn, mfn, order, type)
  }

  /**
   * Maps a foreign frame, whose reference the caller has taken: see {@link ForeignMappings}. An existing entry is replaced,
   * unless it is foreign itself.
   *
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`; nothing has changed then
   */
  insertForeign(gfn: number, mfn: number, type: number): void {
    insertForeign(this.#core, gfn, mfn, type)
  }

  /**
   * Replaces a foreign frame by a hole.
   *
   * @returns the machine frame, for which no cached translation is left
   * @throws P2mError `ERR_TYPE` if the frame is not foreign
   */
  removeForeign(gfn: number): number {
    return removeForeign(this.#core, gfn)
  }

  /**
   * Maps `count` frames in the largest leaves that both frame numbers' alignment allows.
   *
   * @throws as {@link P2m.insert}; with `ERR_NO_MEMORY`, alone, the frames before the one in its figures are mapped
   */
  insertRange(gfn: number, mfn: number, count: number, type: number): void {
    insertRange(this.#core, gfn, mfn, count, type)
  }

  /**
   * Gives `count` guest frames RAM from the machine's free frames, in the largest leaves there is memory for and in
   * ascending order.
   *
   * @param type - a type of RAM
   * @throws P2mError `ERR_NO_MEMORY` with nothing mapped and no frame taken; `ERR_RANGE`, `ERR_TYPE`, `ERR_FOREIGN`
   */
  populate(gfn: number, count: number, type: number = this.#core.format.types.ram): void {
    populate(this.#core, gfn, count, type)
  }

  /**
   * Makes holes of `count` frames, if they have the caller's mapping: `mfn` and the frames after it or, for
   * {@link INVALID_MFN}, no frame at all.
   *
   * @throws P2mError `ERR_MISMATCH`, `ERR_FOREIGN`, `ERR_RANGE`, `ERR_NO_MEMORY`; nothing has changed then
   */
  remove(gfn: number, mfn: number, count: number = 1): void {
    remove(this.#core, gfn, mfn, count)
  }

  /**
   * Makes leaf boundaries at both ends of a range, so that a later change of exactly this range needs no memory for
   * splitting. Mappings stay the same.
   *
   * @throws P2mError `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  splitAround(gfn: number, count: number): void {
    const core = this.#core
    core.checkRange(gfn, count)
    core.change(() => core.splitAround(gfn, count))
  }

  /**
   * Puts small leaves together where larger ones say the same, after log-dirty mode for instance, and frees tables of
   * which nothing is left. Mappings stay the same; listeners are notified of changes because tables go.
   *
   * @returns number of freed tables
   * @throws P2mError `ERR_RANGE`
   */
  coalesce(gfn: number = 0, count: number = this.#core.table.limit - gfn): number {
    return coalesce(this.#core, gfn, count)
  }

  /**
   * Counts frames from `gfn` on with the same type and consecutive machine frames, if any.
   *
   * @param most - the most frames to count
   * @returns at least 1, at most `most`
   */
  contiguous(gfn: number, most: number): number {
    return contiguous(this.#core, gfn, most)
  }

  /**
   * Changes the type of all ordinary RAM among `count` frames (RAM_RW, RAM_LOGDIRTY and RAM_RO) to another of these.
   * Leaves that are only partly in the range are broken up.
   *
   * @param from - change frames of this type alone
   * @returns number of frames whose type has changed
   * @throws P2mError `ERR_TYPE`, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  setType(gfn: number, count: number, type: number, from: number = -1): number {
    return setType(this.#core, gfn, count, type, from)
  }

  /**
   * Sets an access mask of frames, which restricts the rights of their type: for monitors. Types stay the same.
   *
   * @param access - one of `P2mAccess`
   * @returns number of frames whose mask has changed; frames without a machine frame keep theirs
   * @throws P2mError `ERR_TYPE` for an access that does not exist, `ERR_RANGE`, `ERR_NO_MEMORY`
   */
  setAccess(gfn: number, count: number, access: number): number {
    checkAccess(access)
    return setAccess(this.#core, gfn, count, access)
  }

  /** The rights of frames that will be mapped. */
  get defaultAccess(): number {
    return this.#core.defaultAccess
  }

  set defaultAccess(access: number) {
    checkAccess(access)
    this.#core.change(() => this.#core.control.setWord(ControlWord.DEFAULT_ACCESS, access + 1))
  }

  /**
   * Declares machine frames of real devices that guests must not write: leaves of type MMIO_DIRECT that are inserted from
   * now on have no right to, and writes are to be discarded.
   *
   * @throws P2mError `ERR_RANGE`; `ERR_NO_MEMORY` after 256 ranges
   */
  declareReadOnly(mfn: number, count: number): void {
    checkFrames(this.memory, mfn, count)
    this.#core.change(() => this.#core.addReadOnly(mfn, count))
  }

  /**
   * Lets two frames of equal contents be one, that neither guest writes (RAM_SHARED); this one's own is released.
   *
   * @param from - this map or another one with the same reference counts
   * @throws P2mError `ERR_TYPE` for a frame that cannot be shared, `ERR_BUSY` while somebody else holds a frame of
   * either, `ERR_MISMATCH` for other contents; only the other frame may have become RAM_SHARED then
   */
  share(gfn: number, from: P2m, fromGfn: number): void {
    const mfn = beginShare(from.#core, fromGfn)
    try {
      shareWith(this.#core, gfn, mfn)
    } finally {
      this.#core.needCounts().drop(mfn, 1)
    }
  }

  /**
   * Makes RAM of a range shareable with other guests (RAM_SHARED), keeping its leaves. Frames with other references,
   * whose holders may write them, and frames whose next write a processor waits for, stay unchanged.
   *
   * 512 aligned shared frames get a leaf table, which other maps can link directly: sharing by tables costs almost
   * nothing. Tables unchanged since the last offer are skipped.
   *
   * @returns the frames with references, which its `close` drops
   * @throws P2mError `ERR_RANGE`, `ERR_NO_MEMORY` where a leaf cannot be broken up; the caller has no references then
   */
  offer(gfn: number, count: number): SharedRam {
    return offer(this.#core, gfn, count)
  }

  /**
   * Maps frames that another map with the same counts has offered, replacing existing entries. The map takes its own
   * references.
   *
   * @throws P2mError `ERR_COUNT` for frames without an owner, `ERR_RANGE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`
   */
  insertShared(run: SharedRun): void {
    insertShared(this.#core, run)
  }

  /**
   * Links a table of 512 frames that another map with the same counts has offered, replacing existing entries. All
   * accesses are allowed, regardless of the default.
   *
   * @throws P2mError `ERR_COUNT` for a frame that is not such a table, `ERR_RANGE`, `ERR_FOREIGN`, `ERR_NO_MEMORY`
   */
  insertSharedTable(table: SharedTable): void {
    insertSharedTable(this.#core, table)
  }

  /**
   * Replaces a shared frame by a private copy, before a write.
   *
   * @throws P2mError `ERR_TYPE` if it is not shared, `ERR_NO_MEMORY`
   */
  unshare(gfn: number): void {
    unshare(this.#core, gfn)
  }

  /**
   * Retires a failed frame: an access to it ends the domain, and its machine frame is never reused.
   *
   * @throws P2mError `ERR_TYPE` if the guest has no frame at `gfn`
   */
  markBroken(gfn: number): void {
    this.#needX86()
    markBroken(this.#core, gfn)
  }

  /**
   * Notes that RAM has been written, or is about to be, in the logs of its writes. RAM_LOGDIRTY that nobody logs becomes
   * RAM_RW; where there is no memory for a table, the whole of a larger leaf. To be called for writes of device models;
   * vCPUs' writes use {@link P2m.translateLogged}.
   */
  dirtied(gfn: number, count: number = 1): void {
    this.writeLogs.mark(gfn, count)
    unlock(this.#core, gfn, count, this.writeLogs)
  }

  /**
   * As {@link P2m.translateWrite}, for RAM whose writes are logged and that is about to be written: it counts as written.
   * A caller may keep the translation for further writes until `writeLogs.onWatched` calls.
   *
   * @returns −1 for a frame that cannot be written
   */
  translateLogged(gpa: number): number {
    const gfn = Math.floor(gpa / PAGE_BYTES)
    const entry = this.#scratch
    if (this.#core.lookup(gfn, entry) !== this.types.logged) return this.translateWrite(gpa)
    if ((rightsOfAccess(entry.access) & P2M_WRITE) === 0) return -1
    if (this.writeLogs.mark(gfn, 1)) return entry.mfn * PAGE_BYTES + (gpa % PAGE_BYTES)
    unlock(this.#core, gfn, 1, this.writeLogs)
    return this.translateWrite(gpa)
  }

  /**
   * Splits the leaf that covers a frame into leaves of `order`; mappings stay the same.
   *
   * @throws P2mError `ERR_ORDER`, `ERR_RANGE`, `ERR_NO_MEMORY`; then the leaf is whole
   */
  shatter(gfn: number, order: number = 0): void {
    shatter(this.#core, gfn, order)
  }

  /**
   * Every leaf in order of guest frames, for people; `from` and `to` (exclusive) are cut to whole leaves.
   *
   * @param byTable - the 512 leaves of a table that maps share are one, of order 9 and without a machine frame
   */
  leaves(
    from: number = 0,
    to: number = this.#core.table.limit,
    byTable: boolean = false,
  ): Generator<P2mLeaf, void, undefined> {
    return leavesOf(this.#core, from, to, byTable)
  }

  /** The map's own entries, as data; the frames' contents are machine memory's. */
  save(): P2mState {
    return saveMap(this.#core)
  }

  /**
   * Maps a saved state with the largest possible leaves; existing entries that the state lacks stay. If the whole
   * machine memory was restored, it contains the tables: use `attach` instead.
   *
   * @throws P2mError `ERR_STATE` for data that no map has saved: nothing has changed then. Otherwise as
   * {@link P2m.insertRange}
   */
  restore(state: P2mState): void {
    check.object('state', state)
    this.#core.change(() => restoreMap(this.#core, state))
    if (state.onDemandCache > 0) this.onDemand.setCache(state.onDemandCache)
  }

  /** Counts leaves by walking the whole map. */
  statistics(): P2mStatistics {
    return countLeaves(this.#core)
  }

  /**
   * Removes everything, reporting released frames, and gives the tables' frames back. Then it maps nothing, and cannot be
   * changed. Frames of tables that other maps have too are not reported: nobody must hold them for this one.
   *
   * @throws P2mError `ERR_FOREIGN` while frames of others are mapped
   */
  destroy(): void {
    const core = this.#core
    const { table } = core
    core.beginEnd()
    removeAll(core)
    if (this.format === 'ept') this.#onDemand.close()
    core.accessTree?.close()
    for (let i = this.stage2?.rootTables ?? 1; i > 0; i--) table.free(this.root + (i - 1) * PAGE_BYTES, table.levels)
    core.control.close()
    table.end()
    this.memory.frames.free(this.ma / PAGE_BYTES)
  }
}
