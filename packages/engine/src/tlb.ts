import { PAGE_BYTES, PAGE_SHIFT, type MachineMemory } from '@retrap/memory'
import { ExecuteViews } from './execute-views.ts'
import type { FrameWriters } from './frame-writers.ts'
import { PARKED_WORDS, ParkedEntries, type ParkedSpace } from './parked-entries.ts'
import type { TlbPage } from './tlb-layout.ts'
import * as L from './tlb-layout.ts'
import { TlbJournal } from './tlb-journal.ts'
import { WritableEntries } from './writable-entries.ts'

/** Most entries parked for an address space; older ones are dropped. */
const MOST_PARKED = 8192
const NO_WORDS = new Uint32Array(0)
/** No address of a frame. */
const ANY_FRAME = -1

const TABLES: number = L.TLB_SET_BYTES / L.TLB_TABLE_BYTES
const TABLE_SHIFT: number = 31 - Math.clz32(L.TLB_TABLE_BYTES)
/** Bits of a linear address that are an entry's index. */
const INDEX_BITS = (L.TLB_ENTRIES - 1) * PAGE_BYTES

/** The parts of a TLB whose sets get a place later. */
export interface TlbParts {
  /** Machine address of the 32-bit count of changes. */
  readonly changes: number
  /** Machine address of a set without entries, which several TLBs may have: see {@link clearTlbSet}. */
  readonly missSet: number
  /** Knows which TLBs may have write entries of a frame. */
  readonly writers?: FrameWriters | undefined
}

/** Makes a set without entries. @param at - machine address of {@link TLB_SET_BYTES} zeros, 16-byte aligned */
export function clearTlbSet({ u32 }: MachineMemory, at: number): void {
  clearSet(u32, at)
}

function clearSet(u32: Uint32Array, at: number): void {
  // Zeros stand for page 0, which only the first entry of a table can hold: all others are invalid as they are.
  for (let table = 0; table < TABLES; table++) u32[(at + table * L.TLB_TABLE_BYTES) >>> 2] = PAGE_BYTES
}

/**
 * A software TLB in machine memory, for generated code and TypeScript.
 *
 * It has a set for each access mode: all that selects an access's permissions beside the guest's tables, such as the privilege
 * level. A set has three direct-mapped tables (read, write, execute) of 16384 entries of 16 bytes: 64-bit tag (linear address of
 * the page), 32-bit machine address of the page (read, write) or of the code page's slot table (execute), and a word of flags, of
 * which generated code reads the key at most. Generated code subtracts the tag from an address and compares the distance with the
 * page size. An invalid tag lies in a page with other index bits, so that the distance is always larger.
 *
 * A *slow* entry says that its page was walked, and where it is, to the slow path alone: generated code is to come there, as writes
 * are to be seen, or the code is to be looked up.
 *
 * One more set, the miss set, never holds an entry: with it every access takes the slow path.
 */
export class Tlb {
  /** Number of the set that holds nothing. */
  readonly missSet: number
  readonly #u32: Uint32Array
  readonly #codeBits: Uint8Array
  /** Machine address of the sets that hold entries; 0 as long as they have no place. */
  #base = 0
  /** Machine address of the miss set. */
  readonly #missAt: number
  /** Index of the count of changes. */
  readonly #changes: number
  /** Possibly valid global entries. */
  readonly #globals: TlbJournal
  /** Possibly valid non-global entries. */
  readonly #locals: TlbJournal
  readonly #writable: WritableEntries
  /** Protection keys of the entries made since everything was dropped, one bit each. */
  #keys = 0
  /** An entry was made since everything was dropped. */
  #filled = false
  readonly #parked = new ParkedEntries()
  readonly #views: ExecuteViews
  /** Bits of the high word of an address that tell pages apart. */
  readonly #pageBits: number

  /**
   * @param at - machine address of {@link tlbBytes} bytes of zeros, 16-byte aligned; or where its parts are that it always
   *   needs: nothing is kept before {@link Tlb.place} then
   * @param modes - access modes: sets that hold entries
   * @param ignored - bits of the high word of a linear address that name no page, such as a tag: entries that differ in
   *   them alone are dropped together
   * @param writers - used only if `at` is an address: `TlbParts` have their own
   */
  constructor(memory: MachineMemory, at: number | TlbParts, modes: number, ignored = 0, writers?: FrameWriters) {
    this.#u32 = memory.u32
    this.#views = new ExecuteViews(memory.u32)
    this.#codeBits = memory.codeBits
    this.#pageBits = ~ignored
    this.missSet = modes
    const isWhole = typeof at === 'number'
    this.#missAt = isWhole ? at + modes * L.TLB_SET_BYTES : at.missSet
    this.#changes = (isWhole ? at + L.tlbChangesOffset(modes) : at.changes) >>> 2
    this.#u32[this.#changes] = 0
    const entries = modes * 3 * L.TLB_ENTRIES
    this.#globals = new TlbJournal(entries)
    this.#locals = new TlbJournal(entries)
    this.#writable = new WritableEntries(memory.frameCount, {
      u32: this.#u32,
      journals: [this.#globals, this.#locals],
      parked: this.#parked,
      isWrite: (entry) => this.#tableOf(entry) === L.TLB_WRITE,
      makeSlow: (words, at) => L.makeSlow(words, at, this.#u32, false),
      makeLogged: (words, at) => L.makeLogged(words, at, this.#u32),
      writers: isWhole ? writers : at.writers,
    })
    if (!isWhole) return
    clearTlbSet(memory, this.#missAt)
    this.place(at)
  }

  /** Unregisters the TLB from the frames' writers. */
  close(): void {
    this.#writable.close()
  }

  /** Drops all entries, and takes their place away: as before {@link Tlb.place}. */
  leave(): void {
    this.flush(true)
    this.#views.clear()
    this.#writable.forget()
    this.#base = 0
  }

  /** Gives the sets that hold entries a place, where they have none. @param at - machine address of zeros, 16-byte aligned */
  place(at: number): void {
    this.#base = at
    for (let set = 0; set < this.missSet; set++) clearSet(this.#u32, at + set * L.TLB_SET_BYTES)
  }

  /** Counts calls that may have dropped an entry; for validating copies of translations kept outside. 32 bits. */
  get changes(): number {
    return this.#u32[this.#changes]!
  }

  /** Returns the machine address of a set, for generated code. */
  setAddress(set: number): number {
    return set === this.missSet || this.#base === 0 ? this.#missAt : this.#base + set * L.TLB_SET_BYTES
  }

  #invalidate(entry: number): void {
    const index = ((entry - this.#base) % L.TLB_TABLE_BYTES) >>> 4
    const word = entry >>> 2
    this.#u32[word] = ((index + 1) & (L.TLB_ENTRIES - 1)) << 12
    this.#u32[word + 1] = 0
    this.#u32[word + 3]! &= L.FLAG_NOTED
  }

  /**
   * Makes an entry. One for writes of a frame whose writes must be seen is for the slow path only.
   *
   * @param set - access mode
   * @param table - {@link TLB_READ}, {@link TLB_WRITE} or {@link TLB_EXECUTE}
   * @param lo - linear address, low word; any byte of the page
   * @param hi - high word
   * @param target - machine address of the page's first byte, or of its slot table
   */
  fill(set: number, table: number, lo: number, hi: number, target: number, page: TlbPage): void {
    if (this.#base === 0) return
    const entry = this.#base + set * L.TLB_SET_BYTES + table + ((lo >>> 8) & L.TLB_INDEX_MASK)
    this.#keys |= 1 << page.key
    let flags = L.pageFlags(page)
    if (table === L.TLB_EXECUTE) this.#views.note(entry)
    else if (table === L.TLB_WRITE) {
      const isDirect = this.mayWrite(target)
      this.#writable.note(entry, target, isDirect)
      if (!isDirect) flags |= L.FLAG_SLOW
    }
    this.#write(entry, lo & ~0xfff, hi, target, flags)
  }

  /** Returns whether generated code may write a page by itself now: its writes need not be seen. @param target - as {@link Tlb.fill} */
  mayWrite(target: number): boolean {
    const frame = target >>> PAGE_SHIFT
    if (this.#codeBits[frame] !== 0) return false
    // A thread that watches writes has set its bit of the frame, or finds this TLB in its list.
    this.#writable.announce(frame)
    return this.#codeBits[frame] === 0
  }

  #write(entry: number, lo: number, hi: number, target: number, flags: number): void {
    const word = entry >>> 2
    const u32 = this.#u32
    this.#filled = true
    u32[word] = (flags & L.FLAG_SLOW) === 0 ? lo : lo + PAGE_BYTES
    u32[word + 1] = hi
    u32[word + 2] = target
    const global = (flags & L.FLAG_GLOBAL) !== 0
    const journal = global ? this.#globals : this.#locals
    const note = global ? L.FLAG_NOTED_GLOBAL : L.FLAG_NOTED_LOCAL
    const noted = u32[word + 3]! & L.FLAG_NOTED
    if ((noted & note) === 0) journal.add(entry)
    u32[word + 3] = flags | L.FLAG_VALID | noted | note
    if ((flags & L.FLAG_SIZE) !== 0) journal.noteLarge(lo, (hi & this.#pageBits) >>> 0, flags)
  }

  /** Returns the target of the entry that generated code finds for a linear address, or -1. */
  lookup(set: number, table: number, lo: number, hi: number): number {
    const word = (this.setAddress(set) + table + ((lo >>> 8) & L.TLB_INDEX_MASK)) >>> 2
    const hit = this.#u32[word] === (lo & ~0xfff) >>> 0 && this.#u32[word + 1] === hi >>> 0
    return hit ? this.#u32[word + 2]! : -1
  }

  /**
   * Finds an entry that generated code may not use, or has not: whose page need not be walked for. A guest sees walks by accessed
   * bits, and which entries generated code may use depends on what the host does: on its caches, or on frames that move.
   *
   * @returns whether there is an entry: `into` describes its page
   */
  find(set: number, table: number, lo: number, hi: number, into: L.TranslatedPage): boolean {
    const word = (this.setAddress(set) + table + ((lo >>> 8) & L.TLB_INDEX_MASK)) >>> 2
    // Small enough for V8 to inline: nearly all that is looked for is not there.
    return (this.#u32[word + 3]! & L.FLAG_VALID) !== 0 && this.#describe(word, table, lo, hi, into)
  }

  #describe(word: number, table: number, lo: number, hi: number, into: L.TranslatedPage): boolean {
    const u32 = this.#u32
    if (((u32[word + 1]! ^ hi) | ((L.pageOfEntry(u32, word) ^ lo) & -PAGE_BYTES)) !== 0) return false
    const flags = u32[word + 3]!
    const target = u32[word + 2]!
    const isCode = table === L.TLB_EXECUTE && (flags & L.FLAG_SLOW) === 0
    const page = isCode ? L.frameOfSlots(u32, target) : target
    const writable = table === L.TLB_WRITE && (flags & L.FLAG_LOGGED) === 0
    L.describePage(into, page + (lo & (PAGE_BYTES - 1)), flags, writable)
    return true
  }

  /**
   * Finds a page whose writes must be seen: {@link Tlb.find} for the store of a program whose stack lies beside its code.
   *
   * @param at - machine address of the set
   * @param lo - and `hi`: signed or not
   * @returns machine address of the page; 0 if it has no entry for writes, or generated code may use that now
   */
  findSeen(at: number, lo: number, hi: number): number {
    const u32 = this.#u32
    const word = (at + L.TLB_WRITE + ((lo >>> 8) & L.TLB_INDEX_MASK)) >>> 2
    if ((u32[word + 3]! & (L.FLAG_SLOW | L.FLAG_LOGGED)) !== L.FLAG_SLOW || ((u32[word + 1]! ^ hi) | 0) !== 0) return 0
    const target = u32[word + 2]!
    const isPage = ((u32[word]! - PAGE_BYTES) ^ lo) & -PAGE_BYTES
    return isPage === 0 && this.#codeBits[target >>> PAGE_SHIFT] !== 0 ? target : 0
  }

  /**
   * Drops entries of the current address space.
   *
   * @param all - also global entries, and entries of all other address spaces
   */
  flush(all: boolean): void {
    this.#u32[this.#changes]!++
    // A change of the guest's memory map flushes the TLB of every vCPU, also of halted vCPUs.
    if (!this.#filled) return
    this.#dropLocals(undefined)
    if (!all) return
    this.#filled = false
    this.#writable.clear()
    this.#keys = 0
    this.#parked.clear()
    const u32 = this.#u32
    const { entries, count } = this.#globals
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      this.#invalidate(entry)
      u32[(entry >>> 2) + 3] = 0
    }
    this.#globals.clear()
  }

  /** Drops all non-global entries, and copies the newest valid ones `to` a store. */
  #dropLocals(to: ParkedSpace | undefined): void {
    const u32 = this.#u32
    const { entries, count } = this.#locals
    const words = to?.words ?? NO_WORDS
    const firstKept = to === undefined ? count : count - MOST_PARKED
    let at = 0
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      const word = entry >>> 2
      const flags = u32[word + 3]!
      if ((flags & (L.FLAG_VALID | L.FLAG_GLOBAL)) !== L.FLAG_VALID) {
        u32[word + 3] = flags & ~L.FLAG_NOTED_LOCAL
        continue
      }
      const lo = u32[word]!
      if (i >= firstKept) {
        words[at] = entry
        words[at + 1] = lo
        words[at + 2] = u32[word + 1]!
        words[at + 3] = u32[word + 2]!
        words[at + 4] = flags
        at += PARKED_WORDS
      }
      // Invalidated as in #invalidate: the address of a valid entry has the entry's index, or the next.
      u32[word] = (lo + PAGE_BYTES) & INDEX_BITS
      u32[word + 1] = 0
      u32[word + 3] = flags & L.FLAG_NOTED_GLOBAL
    }
    if (to !== undefined) to.length = at
    this.#locals.clear()
  }

  /**
   * Changes the address space and keeps the entries of the old one.
   *
   * The entries of `from` are put aside; the entries of `to` are restored, if they were put aside before. Global
   * entries stay. Eight address spaces are kept, each with the entries that were made last.
   *
   * @param from - number (x86: PCID, Arm: ASID) of the address space that was current
   * @param to - number of the new address space
   */
  exchange(from: number, to: number): void {
    this.#u32[this.#changes]!++
    this.#writable.addressSpaceChanged()
    const next = this.#parked.take(to)
    this.#dropLocals(this.#parked.park(from, Math.min(this.#locals.count, MOST_PARKED)))
    if (next !== undefined) {
      this.#bringBack(next)
      this.#parked.recycle(next)
    }
    this.#parked.limit()
  }

  /** Restores an address space's entries, which are not global. The TLB has no other local ones. */
  #bringBack({ words, length, staleExecute }: ParkedSpace): void {
    const u32 = this.#u32
    const locals = this.#locals
    locals.reserve(length / PARKED_WORDS)
    const { entries } = locals
    let count = 0
    for (let at = 0; at < length; at += PARKED_WORDS) {
      const entry = words[at]!
      if ((words[at + 4]! & L.FLAG_VALID) === 0) continue
      if (this.#tableOf(entry) === L.TLB_EXECUTE) {
        if (staleExecute) L.makeSlow(words, at + 1, u32, true)
        else this.#views.note(entry)
      }
      const flags = words[at + 4]!
      const word = entry >>> 2
      const hi = words[at + 2]!
      u32[word] = words[at + 1]!
      u32[word + 1] = hi
      u32[word + 2] = words[at + 3]!
      u32[word + 3] = (flags & L.FLAG_PAGE) | L.FLAG_VALID | L.FLAG_NOTED_LOCAL | (u32[word + 3]! & L.FLAG_NOTED_GLOBAL)
      entries[count++] = entry
      if ((flags & L.FLAG_SIZE) !== 0) locals.noteLarge(L.pageOfEntry(u32, word), (hi & this.#pageBits) >>> 0, flags)
    }
    locals.count = count
    if (count > 0) this.#filled = true
  }

  /** Drops the entries of an address space that is not the current one. */
  dropParked(space: number): void {
    this.#parked.drop(space)
  }

  /** Drops the entries of all address spaces but the current one. */
  dropAllParked(): void {
    this.#parked.clear()
  }

  /**
   * Drops a page's entries in all access modes, global ones too.
   *
   * If the page belongs to a larger one of the guest's tables, all entries of that are dropped.
   */
  invalidatePage(lo: number, hi: number): void {
    this.#u32[this.#changes]!++
    const region = (hi & this.#pageBits) >>> 0
    if (this.#globals.mayHaveFragments(lo, region)) this.#dropFragments(this.#globals, lo, hi)
    if (this.#locals.mayHaveFragments(lo, region)) this.#dropFragments(this.#locals, lo, hi)
    if (this.#base === 0) return
    const page = (lo & ~0xfff) >>> 0
    for (let set = 0; set < this.missSet; set++) {
      for (let table = 0; table < 3; table++) {
        const entry = this.#base + set * L.TLB_SET_BYTES + table * L.TLB_TABLE_BYTES + ((lo >>> 8) & L.TLB_INDEX_MASK)
        const word = entry >>> 2
        if (L.pageOfEntry(this.#u32, word) === page && this.#isSamePage(word, hi)) this.#invalidate(entry)
      }
    }
  }

  /** Whether an entry's address has a high word that names the same page. */
  #isSamePage(word: number, hi: number): boolean {
    return ((this.#u32[word + 1]! ^ hi) & this.#pageBits) === 0
  }

  #dropFragments({ entries, count }: TlbJournal, lo: number, hi: number): void {
    const u32 = this.#u32
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      const word = entry >>> 2
      const size = u32[word + 3]! & L.FLAG_SIZE
      if (size === 0 || !this.#isSamePage(word, hi)) continue
      const distance = (L.pageOfEntry(u32, word) ^ lo) >>> (PAGE_SHIFT + (size >>> L.SIZE_SHIFT))
      if (distance === 0) this.#invalidate(entry)
    }
  }

  /**
   * Drops the read and write entries of pages with some protection keys, in all address spaces.
   *
   * To be called when the keys have lost rights.
   *
   * @param keys - one bit for each {@link TlbPage.key}
   */
  dropKeys(keys: number): void {
    this.#u32[this.#changes]!++
    // Nearly all pages have key 0, whose rights rarely change.
    if ((this.#keys & keys) === 0) return
    this.#dropKeysOf(this.#globals, keys)
    this.#dropKeysOf(this.#locals, keys)
    for (const { words, length } of this.#parked.spaces) {
      for (let at = 0; at < length; at += PARKED_WORDS) {
        if (this.#isDataOf(words[at]!, words[at + 4]!, keys)) words[at + 4] = 0
      }
    }
  }

  #dropKeysOf({ entries, count }: TlbJournal, keys: number): void {
    for (let i = 0; i < count; i++) {
      const entry = entries[i]!
      if (this.#isDataOf(entry, this.#u32[(entry >>> 2) + 3]!, keys)) this.#invalidate(entry)
    }
  }

  /** Returns whether an entry is for reads or writes, of a page with one of some keys. Keys do not restrict fetches. */
  #isDataOf(entry: number, flags: number, keys: number): boolean {
    return L.hasKey(flags, keys) && this.#tableOf(entry) !== L.TLB_EXECUTE
  }

  #tableOf(entry: number): number {
    return (((entry - this.#base) >>> TABLE_SHIFT) % TABLES) * L.TLB_TABLE_BYTES
  }

  /**
   * Makes all execute entries slow: slot tables move, or the code of the pages decodes to something else. To be called while each
   * slot table still has its frame.
   */
  flushExecute(): void {
    this.#views.clear()
    this.#flushCurrentExecute()
    this.#leaveParkedSlots(ANY_FRAME)
  }

  #flushCurrentExecute(): void {
    this.#views.forgetCurrent()
    this.#leaveCurrentSlots(ANY_FRAME)
    this.#parked.flushExecute()
  }

  /**
   * Changes the view: the decoding of pages' code, and the executable pages.
   *
   * The execute entries of `from` are put aside and made slow; the entries of `to` that were put aside before are restored, where
   * the slow entry of the page still stands. A view whose number stands for another one from now on is forgotten with
   * {@link Tlb.dropView} first.
   *
   * @param from - the current view, 0 to {@link EXECUTE_VIEWS} − 1
   * @param to - the new one
   */
  exchangeView(from: number, to: number): void {
    if (this.#views.park(from)) this.#parked.flushExecute()
    else this.#flushCurrentExecute()
    this.#views.restore(to)
  }

  /** Drops the kept execute entries of a view that is not current. */
  dropView(view: number): void {
    this.#views.drop(view)
  }

  /**
   * The contents of a frame are in another one, which may be written; nobody writes the old one. Entries get the new frame's
   * address, in all address spaces, as if they had always had it: a dropped one would have the guest's tables walked
   * again, which a guest sees by accessed bits. Neither frame has write entries. Execute entries are made slow.
   *
   * @param from - machine address of the old frame
   * @param to - machine address of the new frame
   * @param hasSlots - whether there are slot tables of the old frame
   */
  moveFrame(from: number, to: number, hasSlots: boolean): void {
    const u32 = this.#u32
    if (hasSlots) {
      this.#leaveCurrentSlots(from)
      this.#leaveParkedSlots(from)
    }
    for (const { entries, count } of [this.#globals, this.#locals]) {
      for (let i = 0; i < count; i++) {
        const target = (entries[i]! >>> 2) + 2
        if (u32[target] === from) u32[target] = to
      }
    }
    for (const { words, length } of this.#parked.spaces)
      for (let at = 3; at < length; at += PARKED_WORDS) if (words[at] === from) words[at] = to
  }

  /** Makes execute entries of the current address space slow. @param frameMa - of this frame, or of {@link ANY_FRAME} */
  #leaveCurrentSlots(frameMa: number): void {
    for (const { entries, count } of [this.#globals, this.#locals])
      for (let i = 0; i < count; i++) this.#leaveSlots(this.#u32, entries[i]! >>> 2, entries[i]!, frameMa)
  }

  /** As {@link Tlb.#leaveCurrentSlots}, of the other address spaces. */
  #leaveParkedSlots(frameMa: number): void {
    for (const { words, length } of this.#parked.spaces)
      for (let at = 0; at < length; at += PARKED_WORDS) this.#leaveSlots(words, at + 1, words[at]!, frameMa)
  }

  /** @param words - with the entry's words, at `at` */
  #leaveSlots(words: Uint32Array, at: number, entry: number, frameMa: number): void {
    const isOf = frameMa === ANY_FRAME || L.frameOfSlots(this.#u32, words[at + 2]!) === frameMa
    if (isOf && this.#tableOf(entry) === L.TLB_EXECUTE) L.makeSlow(words, at, this.#u32, true)
  }

  /**
   * Makes all write entries of a frame slow, in all address spaces: its writes must be seen from now on.
   *
   * @param frameMa - machine address of the frame
   */
  dropWritable(frameMa: number): void {
    this.#writable.drop(frameMa)
  }

  /**
   * Makes all write entries of many frames slow, in one pass over all entries: the host is asked before their next writes.
   *
   * @param frames - numbers of machine frames, of which the first `count` are used
   */
  dropWritableFrames(frames: Uint32Array, count: number): void {
    this.#writable.logFrames(frames, count)
  }
}
