import { hexBytes, hexPair, type AccessDescription, ReplayError, ReplayMismatchError } from './errors.ts'
import { guestPhysical, overlayHeldWrites, visitHeldWrites, type HeldWriteVisitor } from './held-writes.ts'
import { AccessKind, KIND_NAMES, STATE_NAMES } from './kinds.ts'
import { STATUS_RESTART, STATUS_DONE, STATUS_RETRY } from './status.ts'
import * as L from './layout.ts'
import { at } from './layout.ts'
import { LogStore } from './log-store.ts'
import { restoreLog, saveLog, type SavedLog } from './saved.ts'
import { WalkReads } from './walk-reads.ts'

/**
 * The accesses of one instruction (or one event delivery), so that it can be executed again from its beginning and read
 * the same values as before.
 *
 * A *pass* is one execution from the first byte. `begin` starts the first pass, `restart` each further one, `end` is for
 * the pass that retires or faults. Within a pass the instruction makes its accesses in a fixed order; `access` records
 * each the first time, and afterwards checks that it is made again, exactly, and returns the same record.
 * Page-walk reads are found by address instead (see `findWalkRead`), because a TLB may keep a translation for as long as
 * an instruction takes.
 *
 * Nothing is allocated after construction, and nothing is ever evicted. All state is in the storage given, which may be
 * machine memory.
 */
export class AccessLog {
  /** All data; an access's bytes start at `dataOffset(index)`. */
  readonly bytes: Uint8Array
  readonly #store: LogStore
  readonly #walks: WalkReads
  readonly #w: Int32Array

  /**
   * @param storage - memory for the log; default a new buffer
   * @param byteOffset - multiple of 8; {@link LOG_BYTES} from there on are the log's. All zero is an idle log.
   * @throws ReplayError `ERR_STORAGE`
   */
  constructor(storage: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(L.LOG_BYTES), byteOffset: number = 0) {
    this.#store = new LogStore(storage, byteOffset)
    this.#walks = new WalkReads(this.#store)
    this.#w = this.#store.words
    this.bytes = this.#store.bytes
  }

  /** Whether an instruction is being logged. */
  get active(): boolean {
    return this.#w[L.H_ACTIVE] !== 0
  }

  /** Number of the pass, 1 for the first; 0 when idle. */
  get pass(): number {
    return this.#w[L.H_PASS]!
  }

  /** Number of records, including walk entries. */
  get count(): number {
    return this.#w[L.H_COUNT]!
  }

  /** Whether the next access has a record already. */
  get replaying(): boolean {
    return this.#next() < this.count
  }

  /** The record that waits for a device, or −1. */
  get pending(): number {
    return this.#w[L.H_PENDING]! - 1
  }

  /** Starts an instruction's first pass with an empty log. */
  begin(): void {
    this.#store.reset()
    this.#w[L.H_ACTIVE] = 1
    this.#w[L.H_PASS] = 1
  }

  /**
   * Starts an instruction that a device has been asked for before anything else: `begin`, and its first access recorded
   * as one that waits.
   *
   * @param kind - `PORT_READ` … `MMIO_WRITE`
   * @param dataLo - data of a write
   */
  beginWaiting(kind: number, lo: number, hi: number, size: number, tag: number, dataLo: number, dataHi: number): void {
    if (!(kind >= AccessKind.PORT_READ && kind <= AccessKind.MMIO_WRITE)) {
      throw new ReplayError('ERR_STATE', `an access of kind ${kind} is not one that a device has to answer`)
    }
    this.#store.appendFirst(kind, lo, hi, size, tag, dataLo, dataHi)
  }

  /** Starts the next pass of the same instruction: from the first access, with all records kept. */
  restart(): void {
    if (!this.active) throw new ReplayError('ERR_STATE', 'restart without an instruction')
    this.#w[L.H_PASS]! += 1
    this.#w[L.H_CURSOR] = 0
    this.#walks.restart()
  }

  /**
   * The instruction has retired, faulted, or kept its progress (a REP iteration, gather elements): the log is empty.
   * Held writes must have been performed by now if they are to be.
   *
   * @throws ReplayMismatchError if this pass did not repeat every recorded access
   */
  end(): void {
    const w = this.#w
    // Most logs of a device's access have been gone through to their ends.
    if (w[L.H_CURSOR] !== w[L.H_COUNT]) {
      const left = this.#next()
      if (left < this.count) throw new ReplayMismatchError(this.describe(left), undefined)
    }
    this.#store.reset()
  }

  /**
   * Drops the instruction in progress: for reset, INIT, SIPI and set-context.
   *
   * @returns whether a device has yet to answer, which the caller drains and drops
   */
  cancel(): boolean {
    const owed = this.pending >= 0
    this.#store.reset()
    return owed
  }

  /**
   * Makes the next access in order: adds its record, or finds it.
   *
   * @param kind - an ordered kind: not WALK_READ or WALK_AD_WRITE
   * @param tag - see `accessTag`
   * @returns its index. `state(index)` tells the next step: STATUS_RESTART, perform it; STATUS_RETRY, end the pass with
   * this status; STATUS_DONE, use its data
   * @throws ReplayMismatchError if the record at this place is of another access
   */
  access(kind: number, lo: number, hi: number, size: number, tag: number): number {
    const w = this.#w
    const entry = this.#next()
    if (entry < w[L.H_COUNT]!) {
      if (
        w[at(entry, L.E_KIND)] !== kind ||
        w[at(entry, L.E_LO)] !== (lo | 0) ||
        w[at(entry, L.E_HI)] !== (hi | 0) ||
        w[at(entry, L.E_SIZE)] !== size ||
        w[at(entry, L.E_TAG)] !== (tag | 0)
      ) {
        throw new ReplayMismatchError(this.describe(entry), {
          ordinal: entry,
          kind: KIND_NAMES[kind] ?? 'read',
          address: hexPair(lo, hi),
          size,
          tag,
          state: 'new',
        })
      }
    } else {
      this.#store.append(kind, lo, hi, size, tag)
    }
    w[L.H_CURSOR] = entry + 1
    return entry
  }

  /**
   * Kind of the record that the next access has, or −1 if it has none. A host routes a recorded access by this and not
   * by the p2m, whose types may have changed between the passes.
   */
  nextKind(): number {
    const entry = this.#next()
    return entry < this.count ? this.kind(entry) : -1
  }

  /** Tag of the record that the next access has, or −1 if it has none. */
  nextTag(): number {
    const entry = this.#next()
    return entry < this.count ? this.tag(entry) : -1
  }

  /** Returns the kind of a record: one of `AccessKind`. */
  kind(index: number): number {
    return this.#store.field(index, L.E_KIND)
  }

  /** STATUS_DONE; STATUS_RESTART: to be made again; STATUS_RETRY: awaits its answer. */
  state(index: number): number {
    return this.#store.field(index, L.E_STATE)
  }

  /** Size of an access in bytes. */
  size(index: number): number {
    return this.#store.field(index, L.E_SIZE)
  }

  /** Returns the tag of a record. */
  tag(index: number): number {
    return this.#store.field(index, L.E_TAG)
  }

  /** Low word of the address. */
  addressLo(index: number): number {
    return this.#store.field(index, L.E_LO) >>> 0
  }

  /** High word of the address. */
  addressHi(index: number): number {
    return this.#store.field(index, L.E_HI) >>> 0
  }

  /** Where an access's data starts in {@link AccessLog.bytes}; a multiple of 8. */
  dataOffset(index: number): number {
    return this.#store.field(index, L.E_DATA)
  }

  /** Low 32 bits of an access's data; bytes beyond its size are zero. */
  dataLo(index: number): number {
    return this.#store.dataLo(index)
  }

  /** Bits 63:32 of an access's data; bytes beyond its size are zero. */
  dataHi(index: number): number {
    return this.#store.dataHi(index)
  }

  /**
   * Sets the data of an access of up to 8 bytes; bits beyond its size are dropped. For a write: before `complete` or
   * `wait`. A device write that has been made keeps the data it was made with.
   */
  setData(index: number, lo: number, hi: number): void {
    if (!this.#dataMayChange(index)) return
    const size = this.size(index)
    if (size > 8) throw new ReplayError('ERR_SIZE', `setData on an access of ${size} bytes`)
    this.#store.setData(index, lo, hi)
  }

  /** Sets data as `setData`, for any size: takes `size(index)` bytes from `source`. */
  setBytes(index: number, source: Uint8Array, sourceOffset: number = 0): void {
    if (!this.#dataMayChange(index)) return
    const offset = this.dataOffset(index)
    const size = this.size(index)
    for (let i = 0; i < size; i++) this.bytes[offset + i] = source[sourceOffset + i]!
  }

  /** Copies an access's `size(index)` bytes out. */
  copyBytes(index: number, target: Uint8Array, targetOffset: number = 0): void {
    const offset = this.dataOffset(index)
    const size = this.size(index)
    for (let i = 0; i < size; i++) target[targetOffset + i] = this.bytes[offset + i]!
  }

  /** The access has been performed, or, a RAM write, is held. */
  complete(index: number): void {
    if (this.#store.field(index, L.E_STATE) === STATUS_DONE) return
    this.#w[at(index, L.E_STATE)] = STATUS_DONE
    if (this.pending === index) this.#w[L.H_PENDING] = 0
  }

  /** A device has been asked; the pass is to end with `retry`. One access waits at a time. */
  wait(index: number): void {
    const pending = this.pending
    if (pending >= 0 && pending !== index) {
      throw new ReplayError('ERR_STATE', `access #${index} cannot wait: #${pending} does already`)
    }
    const kind = this.kind(index)
    const device = kind >= AccessKind.PORT_READ && kind <= AccessKind.MMIO_WRITE
    if (!device || this.state(index) === STATUS_DONE) {
      throw new ReplayError('ERR_STATE', `access #${index} is not waiting for a device`)
    }
    this.#w[at(index, L.E_STATE)] = STATUS_RETRY
    this.#w[L.H_PENDING] = index + 1
  }

  /**
   * The writes to RAM and ROM that this pass has made, to be performed when the instruction retires.
   *
   * Guest-physical addresses: the caller translates them now, since the p2m may have changed while a device took its
   * time; a write to an address that is no longer RAM is dropped, as a late store of a processor would be.
   */
  forEachHeldWrite(visit: HeldWriteVisitor): void {
    visitHeldWrites(this.#store, visit)
  }

  /**
   * Overlays bytes of earlier deferred writes of this pass, so that an instruction reads its own writes.
   *
   * @param target - holds the bytes read from `hi:lo`, at `targetOffset`
   * @returns whether any byte was replaced
   */
  overlayOwnWrites(lo: number, hi: number, size: number, target: Uint8Array, targetOffset: number = 0): boolean {
    return overlayHeldWrites(this.#store, guestPhysical(lo, hi), size, target, targetOffset)
  }

  /** Starts the next page walk of this pass. Its number tells apart the values an entry had for different walks. */
  beginWalk(): void {
    if (!this.active) throw new ReplayError('ERR_STATE', 'a walk outside an instruction')
    this.#walks.begin()
  }

  /**
   * The recorded read of a page-table entry by address, for the walk begun last.
   *
   * @returns its index, whose data is the entry including A and D bits set by this instruction; −1: read the entry from
   * memory and call `recordWalkRead`
   */
  findWalkRead(lo: number, hi: number): number {
    return this.#walks.find(lo, hi)
  }

  /** Records a walk's read of a page-table entry of 4 or 8 bytes. */
  recordWalkRead(lo: number, hi: number, size: number, dataLo: number, dataHi: number): number {
    return this.#walks.record(lo, hi, size, dataLo, dataHi, 0)
  }

  /** Records that a walk's entry address has no memory: see {@link AccessLog.walkFoundNothing}. */
  recordNoEntry(lo: number, hi: number, size: number): number {
    return this.#walks.record(lo, hi, size, 0, 0, NO_ENTRY)
  }

  /** Whether the recorded read found no memory. */
  walkFoundNothing(index: number): boolean {
    return this.tag(index) === NO_ENTRY
  }

  /**
   * Records that A or D bits have been set in an entry. Later walks, of this pass and of later ones, read it with them
   * set, and so exchange nothing.
   */
  recordAdWrite(lo: number, hi: number, size: number, dataLo: number, dataHi: number): void {
    this.#walks.recordAdWrite(lo, hi, size, dataLo, dataHi)
  }

  /**
   * The A/D exchange of the walk begun last has failed, because the entry changed in memory: every entry this walk used
   * is read afresh, by it and by later walks. Earlier walks keep their entries, in every pass.
   */
  dropWalk(): void {
    this.#walks.drop()
  }

  /** Describes one record for messages. */
  describe(index: number): AccessDescription {
    if (!Number.isSafeInteger(index)) throw new ReplayError('ERR_STATE', `index ${String(index)}: expected an integer`)
    const size = this.size(index)
    const offset = this.dataOffset(index)
    const plain = {
      ordinal: index,
      kind: KIND_NAMES[this.kind(index)] ?? 'read',
      address: hexPair(this.addressLo(index), this.addressHi(index)),
      size,
      tag: this.tag(index) >>> 0,
      state: STATE_NAMES.get(this.state(index)) ?? 'new',
    }
    if (plain.state === 'new') return plain
    return { ...plain, data: hexBytes(this.bytes.slice(offset, offset + size)) }
  }

  /** Every record, for messages. */
  dump(): AccessDescription[] {
    return Array.from({ length: this.count }, (_, index) => this.describe(index))
  }

  /** The log as plain data, taken between two passes. */
  save(): SavedLog {
    return saveLog(this, (index) => this.#walks.walksOf(index))
  }

  /**
   * Restores a saved log, in the state after a waiting pass; the next call is `restart`, `cancel`, or a call of the
   * waiting pass.
   *
   * @throws ReplayError `ERR_SAVED`; then the log is idle
   */
  restore(saved: SavedLog): void {
    this.#store.reset()
    restoreLog(saved, {
      begin: () => this.begin(),
      abandon: () => this.#store.reset(),
      append: ({ kind, lo, hi, size, tag, state, data, born, died }) => {
        const entry = this.#store.append(kind, lo, hi, size, tag)
        this.bytes.set(data, this.dataOffset(entry))
        this.#w[at(entry, L.E_STATE)] = state
        if (state === STATUS_RETRY) {
          this.#w[L.H_PENDING] = entry + 1
          // A waiting pass may also continue with this entry.
          this.#w[L.H_CURSOR] = entry + 1
        }
        if (kind === AccessKind.WALK_READ) this.#walks.restore(entry, born, died)
      },
    })
  }

  /** Returns the index of the next ordered record; `count` at the end. Moves the cursor over walk entries. */
  #next(): number {
    const w = this.#w
    const count = w[L.H_COUNT]!
    let entry = w[L.H_CURSOR]!
    while (entry < count && isWalk(w[at(entry, L.E_KIND)]!)) entry++
    return entry
  }

  /**
   * Held writes take each pass's data: the last pass is the one that retires. A device that has been asked has seen the
   * data of its request; data of later passes is dropped.
   */
  #dataMayChange(index: number): boolean {
    const kind = this.kind(index)
    if (kind === AccessKind.PORT_WRITE || kind === AccessKind.MMIO_WRITE) return this.state(index) === STATUS_RESTART
    const held = kind === AccessKind.WRITE || kind === AccessKind.ROM_WRITE
    if (held || this.state(index) !== STATUS_DONE) return true
    throw new ReplayError('ERR_STATE', `access #${index} is a read that has its data already`)
  }
}

/** Tag of a walk read that found no memory. */
const NO_ENTRY = 1

function isWalk(kind: number): boolean {
  return kind === AccessKind.WALK_READ || kind === AccessKind.WALK_AD_WRITE
}
