import { EngineError } from './errors.ts'
import { PAGE_BYTES, type MachineMemory, type Neighbour } from '@retrap/memory'
import { CodeKiller } from './code-killer.ts'
import { CodePage, type Traps, type UnitPart, WrittenFrames } from './code-page.ts'
import { RETURNS_BYTES } from './loop-state.ts'
import * as R from './record.ts'
import { SLOTS_FRAME } from './tlb-layout.ts'
import { type RecordDecoder } from './record.ts'

/** Decoders count in 31 bits, and count past the end of a page that ends at 2 GiB. */
const HALF = 0x7fff_f000
/** A slot for each byte offset: the machine address of the record that starts at this offset, or 0. */
const SLOT_BYTES = PAGE_BYTES * 4
/** The room of a slot table, with that of a record before it, in which {@link SLOTS_FRAME} lies. */
const TABLE_BYTES = R.RECORD_BYTES + SLOT_BYTES
/** Instructions decoded at once. Most instructions after a branch are never executed. */
const RUN_LIMIT = 32

/** Bytes of the smallest arena, 64 KiB: an instruction in two pages takes two slot tables and its records. */
export const MINIMUM_ARENA_BYTES: number = 64 << 10

/** Records that take the room of a unit's words. */
const recordsOf = (words: readonly number[]): number => Math.ceil((4 * words.length) / R.RECORD_BYTES)

/** A processor, which is notified when records move. */
export interface CodeCacheClient {
  /** Drops the known places of code pages, because all records are gone. */
  flushExecute(): void
  /** Forgets that a frame may be written directly: it holds code from now on, and its writes must be seen. */
  dropWritable(frameMa: number): void
}

/**
 * Decoded instructions, cached by frame and mode in an arena of machine memory.
 *
 * All processors of a machine share one: records name registers relative to a processor's state. A write to
 * decoded bytes kills their records, and the units that were made from them: each gets {@link OP_DEAD}, so that a run that
 * is being executed looks up its next instruction anew. When the arena is full everything is dropped.
 */
export class CodeCache {
  readonly #memory: MachineMemory
  /** Machine memory from {@link HALF} on. */
  readonly #upperHalf: Uint8Array
  readonly #decoder: RecordDecoder
  readonly #start: number
  readonly #end: number
  #next: number
  readonly #pages = new Map<number, CodePage>()
  /** Whether this cache is an owner of the frame in `codeBits`. */
  readonly #held: Uint8Array
  /** The last frame looked up, and its pages: a guest that stores next to code repeats such stores. */
  #lastFrame = -1
  #lastPages: CodePage[] = []
  readonly #pagesBySlots = new Map<number, CodePage>()
  /** Processors, each with the address of its ring of return addresses. */
  readonly #clients = new Map<CodeCacheClient, number | undefined>()
  /** The bytes of an instruction in two pages, side by side. */
  readonly #crossing: Uint8Array
  readonly #killer: CodeKiller
  readonly #writes = new WrittenFrames()
  /** This thread, where others execute code of the memory with caches of their own. */
  neighbour: Neighbour | undefined = undefined
  /** Called with each decoded instruction at a place from which it may be executed. */
  onDecoded: ((page: CodePage, offset: number, record: number) => void) | undefined = undefined
  /** Count of instructions decoded. */
  decoded = 0
  /** Count of times that everything was dropped. */
  flushes = 0
  /** Count of writes that have ended records, and of frames whose records were dropped after many writes. */
  invalidations = 0

  /**
   * Makes an empty cache.
   *
   * @param bytes - size of the arena; at least {@link MINIMUM_ARENA_BYTES}
   * @throws EngineError `ERR_ARENA_SIZE` for a smaller arena
   * @throws MemoryError if machine memory has no room for the arena
   */
  constructor(memory: MachineMemory, decoder: RecordDecoder, bytes: number) {
    if (!(bytes >= MINIMUM_ARENA_BYTES)) {
      throw new EngineError(
        'ERR_ARENA_SIZE',
        `the code cache is ${bytes} bytes: expected ${MINIMUM_ARENA_BYTES} or more`,
      )
    }
    this.#memory = memory
    this.#upperHalf = memory.u8.subarray(HALF)
    this.#held = new Uint8Array(memory.frameCount)
    this.#decoder = decoder
    this.#crossing = new Uint8Array(2 * decoder.longestBytes)
    this.#killer = new CodeKiller(memory, decoder.longestBytes, decoder.tag)
    this.#start = memory.allocate(bytes, 64, 'decoded instructions')
    this.#end = this.#start + bytes
    this.#next = this.#start
    memory.onCodeWrite((frame, first, last) => this.#written(frame, first, last))
  }

  /**
   * Adds a processor whose TLB drops write entries of frames with code.
   *
   * @param returns - machine address of the client's ring of return addresses, which point to records; absent: no ring
   */
  addClient(client: CodeCacheClient, returns?: number): void {
    this.#clients.set(client, returns)
  }

  /** Takes a processor out that executes no more. */
  removeClient(client: CodeCacheClient): void {
    this.#clients.delete(client)
  }

  /** Returns the code page of a frame, made if need be. From now on, writes to the frame are seen. */
  page(frame: number, mode: number): CodePage {
    const key = this.#key(frame, mode)
    let page = this.#pages.get(key)
    if (page === undefined) {
      if (this.#next + TABLE_BYTES > this.#end) this.flush()
      page = new CodePage(frame, mode, this.#next + R.RECORD_BYTES)
      this.#memory.u32.fill(0, page.slots >>> 2, (page.slots + SLOT_BYTES) >>> 2)
      this.#memory.u32[(page.slots + SLOTS_FRAME) >>> 2] = frame * PAGE_BYTES
      this.#next += TABLE_BYTES
      this.#pages.set(key, page)
      this.#lastFrame = -1
      this.#pagesBySlots.set(page.slots, page)
    }
    if (this.#held[frame] === 0) this.#hold(frame)
    return page
  }

  /** Makes all later writes to a frame take the slow path, before its first byte is decoded. */
  #hold(frame: number): void {
    this.#held[frame] = 1
    for (const client of this.#clients.keys()) client.dropWritable(frame * PAGE_BYTES)
    if (this.neighbour === undefined) this.#memory.frameBits.addOwner(frame)
    else this.neighbour.hold(frame)
  }

  #release(frame: number): void {
    if (this.#held[frame] === 0) return
    this.#held[frame] = 0
    if (this.neighbour === undefined) this.#memory.frameBits.removeOwner(frame)
    else this.neighbour.release(frame)
  }

  #key(frame: number, mode: number): number {
    return frame * this.#decoder.modes + mode
  }

  /** Breakpoints have changed: pages take them over when their instructions are fetched. Processors flush their TLBs. */
  breakpointsChanged(): void {
    for (const page of this.#pages.values()) {
      if (page.traps === undefined) continue
      this.#killer.killPage(page)
      page.traps = undefined
    }
  }

  /**
   * Has instructions of a page be executed alone until breakpoints change: they get no slots, so that control that comes to one
   * looks it up.
   *
   * @param offsets - offsets of the breakpoints
   */
  trap(page: CodePage, offsets: Iterable<number>): void {
    const traps: Traps = page.traps ?? new Map()
    const before = traps.size
    for (const offset of offsets)
      for (const at of [offset, offset | (this.#decoder.tag ?? 0)]) if (!traps.has(at)) traps.set(at, 0)
    if (traps.size === before) return
    this.#killer.killPage(page)
    page.traps = traps
  }

  /** Returns the code page that a slot table belongs to. */
  pageOfSlots(slots: number): CodePage | undefined {
    return this.#pagesBySlots.get(slots)
  }

  /**
   * Has a unit execute the code that begins with an instruction.
   *
   * A write to any of the bytes that the unit was made from ends that, as it kills their records.
   *
   * @param parts - parts of the unit's code; first the page with the unit's first instruction
   * @param record - record of the instruction
   * @param entry - the unit's entry in the function table
   * @param words - machine addresses that its code loads from `R_WORDS`
   * @returns machine address of the unit's record; 0 if the arena is full
   */
  addUnit(
    parts: readonly UnitPart[],
    offset: number,
    record: number,
    entry: number,
    words: readonly number[] = [],
  ): number {
    const { u16, u32 } = this.#memory
    const [first] = parts
    if (first === undefined || !this.hasRoom(1 + recordsOf(words))) return 0
    const at = this.#next
    this.#next += R.RECORD_BYTES
    this.#writePseudo(at, R.OP_UNIT, offset)
    u32[(at + R.R_LINK) >>> 2] = record
    this.changeUnit(at, entry, words)
    const slot = first.page.slots + 4 * offset
    u32[slot >>> 2] = at
    u16[(record + R.R_OP) >>> 1]! |= R.OP_HEAD
    const unit = { record: at, slot, parts: [] }
    this.#killer.units.set(at, unit)
    this.extendUnit(at, parts)
    return at
  }

  /**
   * Makes a unit execute other code.
   *
   * @returns false if the arena is full: the unit is as it was
   */
  changeUnit(at: number, entry: number, words: readonly number[]): boolean {
    const { u16, u32 } = this.#memory
    if (!this.hasRoom(recordsOf(words))) return false
    u32.set(words, this.#next >>> 2)
    u32[(at + R.R_WORDS) >>> 2] = this.#next
    u16[(at + R.R_FUNCTION) >>> 1] = entry
    this.#next += recordsOf(words) * R.RECORD_BYTES
    return true
  }

  /** Returns whether the arena has room for this many more records. */
  hasRoom(records: number): boolean {
    return this.#next + records * R.RECORD_BYTES <= this.#end
  }

  /** Has a unit depend on further bytes, or pages. @param at - machine address of the unit's record */
  extendUnit(at: number, parts: readonly UnitPart[]): void {
    const unit = this.#killer.units.get(at)
    if (unit === undefined) return
    for (const part of parts) {
      unit.parts.push(part)
      // Mark bytes decoded through another frame, whose own code may have been dropped: writes to them must be noticed.
      for (let i = 0; i < part.ranges.length; i += 2) part.page.mark(part.ranges[i]!, part.ranges[i + 1]!)
      part.page.units.add(unit)
      this.page(part.page.frame, part.page.mode)
    }
  }

  /**
   * Makes the interpreter execute the code of a unit again, as after a write to the code.
   *
   * @param at - machine address of the unit's record
   */
  removeUnit(at: number): void {
    const unit = this.#killer.units.get(at)
    if (unit !== undefined) this.#killer.killUnit(unit, 0)
  }

  /** Count of units that have not ended. */
  get unitCount(): number {
    return this.#killer.units.size
  }

  /** Drops everything. */
  flush(): void {
    for (const page of this.#pages.values()) this.#release(page.frame)
    this.#pages.clear()
    this.#lastFrame = -1
    this.#pagesBySlots.clear()
    this.#writes.frames.clear()
    this.#killer.units.clear()
    this.#next = this.#start
    this.flushes++
    for (const [client, returns] of this.#clients) {
      client.flushExecute()
      if (returns !== undefined) this.#memory.u8.fill(0, returns, returns + RETURNS_BYTES)
    }
  }

  /** Bytes of a frame with code have been written. */
  #written(frame: number, first: number, last: number): void {
    if (this.#held[frame] === 0) return
    let isKilled = false
    for (const page of this.#pagesOf(frame))
      if (page.holds(first, last) && this.#killer.killBytes(page, first, last)) isKilled = true
    if (isKilled) this.invalidations++
    if (this.#writes.note(frame, isKilled)) this.invalidateFrame(frame)
  }

  /** Returns the code pages of a frame, in all modes. */
  #pagesOf(frame: number): readonly CodePage[] {
    if (frame === this.#lastFrame) return this.#lastPages
    this.#lastPages = []
    for (let mode = 0; mode < this.#decoder.modes; mode++) {
      const page = this.#pages.get(this.#key(frame, mode))
      if (page !== undefined) this.#lastPages.push(page)
    }
    this.#lastFrame = frame
    return this.#lastPages
  }

  /** Kills the records of a frame in all modes: its bytes have changed. */
  invalidateFrame(frame: number): void {
    this.invalidations++
    for (const page of this.#pagesOf(frame)) this.#killer.killPage(page)
    // Execute tables may go on pointing to the slot tables, which are empty: the next fetch marks the frame again.
    this.#release(frame)
  }

  /**
   * The contents of a frame are in another one, of a guest that may have executed it: a processor that executes its code looks up the
   * next instruction.
   *
   * @param slots - slot table of the processor's present code page
   * @returns whether TLB entries may lead to slot tables of the frame
   */
  frameMoved(frame: number, slots: number): boolean {
    const pages = this.#pagesOf(frame)
    if (pages.some((page) => page.slots === slots)) this.invalidateFrame(frame)
    return pages.length > 0
  }

  /** Kills all records: any bytes may have changed. References stay valid, unlike after {@link CodeCache.flush}. */
  invalidateAll(): void {
    for (const { frame } of this.#pages.values()) if (this.#held[frame] !== 0) this.invalidateFrame(frame)
  }

  /**
   * Returns the record of the instruction at an offset of a page; decodes it, and following ones, if necessary.
   *
   * @returns its machine address; 0 if the instruction crosses into the next page: then {@link CodeCache.crossing}
   */
  record(page: CodePage, offset: number): number {
    const known = this.#memory.u32[(page.slots >>> 2) + offset]! || (page.traps?.get(offset) ?? 0)
    return known !== 0 ? known : this.#decodeRun(page, offset)
  }

  #reserve(records: number): boolean {
    if (this.hasRoom(records)) return true
    this.flush()
    return false
  }

  #decodeRun(given: CodePage, start: number): number {
    this.#reserve(RUN_LIMIT + 1)
    // A flush has dropped the requested page. Its frame may hold no code any more, while TLB entries for execution still lead to it.
    const page = this.page(given.frame, given.mode)
    if (page !== given) this.trap(page, given.traps?.keys() ?? [])
    const { u32 } = this.#memory
    const decoder = this.#decoder
    const upper = page.frame * PAGE_BYTES >= HALF
    const bytes = upper ? this.#upperHalf : this.#memory.u8
    const frame = page.frame * PAGE_BYTES - (upper ? HALF : 0)
    const first = this.#next
    const slots = page.slots >>> 2
    let at = first
    let offset = start
    let marked = start
    const isTrap = page.traps?.has(start) === true
    for (let n = 0; n < RUN_LIMIT && offset < PAGE_BYTES; n++) {
      if (u32[slots + offset] !== 0 || (n > 0 && (isTrap || page.traps?.has(offset) === true))) break
      const length = decoder.decode(bytes, frame + offset, frame + PAGE_BYTES, page.mode, at, offset)
      if (length === 0) break
      this.#enter(page, offset, at)
      this.decoded++
      if (!isTrap) this.onDecoded?.(page, offset, at)
      at += R.RECORD_BYTES
      marked = offset + decoder.extentBytes
      offset += length
      if (decoder.endsRun) break
    }
    // The instruction at `start` itself crosses the page.
    if (at === first) return 0
    page.mark(start, marked)
    this.#writePseudo(at, R.OP_NEXT, offset)
    at += R.RECORD_BYTES
    this.#writes.noteDecoding(page.frame)
    this.#next = at
    return first
  }

  /**
   * Makes the records of an instruction that lies in two pages.
   *
   * They are a check that the second page is still mapped, the instruction, and a continuation. A write to either frame
   * kills them.
   *
   * @returns machine address of the first; 0 if the arena is full
   */
  crossing(page: CodePage, offset: number, second: CodePage): number {
    this.page(second.frame, second.mode)
    const { u8, i32 } = this.#memory
    const { longestBytes, tag = 0 } = this.#decoder
    const begin = offset & ~tag
    const head = PAGE_BYTES - begin
    if (this.#next + 3 * R.RECORD_BYTES > this.#end) return 0
    const bytes = this.#crossing
    for (let i = 0; i < head; i++) bytes[i] = u8[page.frame * PAGE_BYTES + begin + i]!
    for (let i = 0; i < longestBytes; i++) bytes[head + i] = u8[second.frame * PAGE_BYTES + i]!
    const first = this.#next
    this.#writePseudo(first, R.OP_CROSS, offset)
    i32[(first + R.R_LINK) >>> 2] = second.slots
    this.#decoder.decode(bytes, offset & tag, head + longestBytes, page.mode, first + R.RECORD_BYTES, offset)
    const length = u8[first + R.RECORD_BYTES + R.R_LENGTH]!
    this.#writePseudo(first + 2 * R.RECORD_BYTES, R.OP_NEXT, offset + length)
    this.#next = first + 3 * R.RECORD_BYTES
    page.mark(offset, PAGE_BYTES)
    second.mark(0, longestBytes)
    second.crossings.add({ record: first, slot: page.slots + 4 * offset })
    this.#enter(page, offset, first)
    this.decoded++
    return first
  }

  /** Makes a record the one that control finds at its offset. */
  #enter({ slots, traps }: CodePage, offset: number, record: number): void {
    if (traps?.has(offset) === true) traps.set(offset, record)
    else this.#memory.u32[(slots >>> 2) + offset] = record
  }

  /** Returns whether an {@link OP_CROSS} record was made from this second page. */
  crossesInto(record: number, second: CodePage): boolean {
    const { u16, i32 } = this.#memory
    // The walk to the second page may have killed it.
    return u16[(record + R.R_OP) >>> 1] === R.OP_CROSS && i32[(record + R.R_LINK) >>> 2]! >>> 0 === second.slots
  }

  /** Kills an {@link OP_CROSS} record whose second page was replaced, and clears its slot. */
  dropCrossing(page: CodePage, record: number): void {
    this.#enter(page, this.#memory.u16[(record + R.R_OFFSET) >>> 1]!, 0)
    this.#killer.killCrossing(record)
  }

  /**
   * Decodes one instruction from bytes that are not a page's, into a record outside the cache.
   *
   * @returns the instruction's length; more than `count` if further bytes are needed; 1 for an invalid instruction
   */
  decodeBytes(at: number, bytes: Uint8Array, count: number, mode: number, offset: number): number {
    const length = this.#decoder.decode(bytes, 0, count, mode, at, offset)
    return length === 0 ? count + 1 : length
  }

  /**
   * Returns whether a record is that of some bytes, however it has been marked and linked since; false if the arena is full.
   *
   * @param bytes - bytes of one instruction
   * @param isLinked - whether the record is a branch that may have {@link R_LINK}
   */
  isDecodedFrom(record: number, bytes: Uint8Array, mode: number, isLinked: boolean): boolean {
    const { u16, u32 } = this.#memory
    const at = this.#next
    if (!this.hasRoom(1)) return false
    const offset = u16[(record + R.R_OFFSET) >>> 1]!
    // Fields that the instruction does not use are not written.
    u32.copyWithin(at >>> 2, record >>> 2, (record + R.RECORD_BYTES) >>> 2)
    if (this.#decoder.decode(bytes, 0, bytes.length, mode, at, offset) !== bytes.length) return false
    u16[(at + R.R_OP) >>> 1]! |= u16[(record + R.R_OP) >>> 1]! & (R.OP_COLD | R.OP_HEAD)
    const isFar = this.#decoder.isFarBranch === true
    for (let i = 0; i < R.RECORD_BYTES; i += 4) {
      const decoded = u32[(at + i) >>> 2]!
      if (decoded === u32[(record + i) >>> 2]!) continue
      const mayDiffer = i === R.R_LINK ? (isLinked || isFar) && decoded === 0 : isFar && i === R.R_LINK_SLOTS
      if (!mayDiffer) return false
    }
    return true
  }

  #writePseudo(at: number, op: number, offset: number): void {
    const { u16, u32 } = this.#memory
    u32.fill(0, at >>> 2, (at + R.RECORD_BYTES) >>> 2)
    u16[(at + R.R_OP) >>> 1] = op
    u16[(at + R.R_OFFSET) >>> 1] = offset
  }

  /** Bytes of the arena in use. */
  get usedBytes(): number {
    return this.#next - this.#start
  }
}
