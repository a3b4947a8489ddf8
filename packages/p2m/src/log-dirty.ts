import { describeArgument } from '@retrap/basics'
import { checkP2m, checkRange } from './checks.ts'
import { P2mError } from './errors.ts'
import { P2mEntry } from './radix-table.ts'
import type { P2m } from './p2m.ts'

/**
 * Log-dirty mode for a range of guest frames: a bit for each that has been written since it was last asked, for
 * migration and for screens.
 *
 * RAM_RW becomes RAM_LOGDIRTY, and stays so: who writes it asks `P2m.translateLogged` where it is, or tells `P2m.dirtied`,
 * and the frame's bit is set. A translation may be kept for further writes until `take` says that these frames are
 * watched anew (`WriteLogs.onWatched`), so neither writes nor takes change a leaf. A frame whose mapping changes is dirty.
 */
export class LogDirty {
  /** The map whose writes are logged. */
  readonly p2m: P2m
  /** First guest frame. */
  readonly gfn: number
  /** Number of logged guest frames. */
  readonly count: number
  /** Bit `i % 32` of word `i / 32` is guest frame `gfn + i`. */
  readonly #bits: Uint32Array
  readonly #entry = new P2mEntry()
  readonly #unsubscribe: () => void
  /** The changes now are this object's own. */
  #own = false
  /** Whether leaves were changed outside the log: some dirty frames may be RAM_RW. */
  #changed = false
  #running = true

  /**
   * Begins to log. Nothing is dirty at first.
   *
   * @param bits - memory for the bits, such as machine memory; default new memory
   * @throws P2mError `ERR_RANGE` for a range that is invalid, or for which `bits` are too few; `ERR_NO_MEMORY` where a leaf
   * that is only partly in the range cannot be broken up: nothing is logged then
   */
  constructor(p2m: P2m, gfn: number, count: number, bits?: Uint32Array) {
    checkP2m(p2m)
    checkRange(gfn, count)
    if (bits !== undefined && !(bits instanceof Uint32Array && bits.length * 32 >= count)) {
      const given = bits instanceof Uint32Array ? `${bits.length * 32} bits` : describeArgument(bits)
      throw new P2mError(
        'ERR_RANGE',
        `${given} to log ${describeArgument(count)} guest frames: expected a bit for each`,
        { gfn, count },
      )
    }
    this.p2m = p2m
    this.gfn = gfn
    this.count = count
    this.#bits = bits ?? new Uint32Array(Math.ceil(count / 32))
    this.#bits.fill(0)
    try {
      this.#retype(gfn, count, p2m.types.ram, p2m.types.logged)
    } catch (error) {
      // Leaves at the edges that could not be broken up have not changed; the frames between go back whole.
      this.#retype(gfn, count, p2m.types.logged, p2m.types.ram)
      throw error
    }
    const stopChanges = p2m.onChange((first, frames) => {
      if (this.#own || first >= gfn + count || first + frames <= gfn) return
      this.#changed = true
      this.#set(first, frames)
    })
    const stopWrites = p2m.writeLogs.add(gfn, count, (first, frames) => this.mark(first, frames))
    // Frames that another log has had before may be in TLBs for writing.
    p2m.writeLogs.watch(gfn, count, new Uint32Array(this.#words()).fill(~0))
    this.#unsubscribe = () => {
      stopChanges()
      stopWrites()
    }
  }

  /** Notes that RAM is written: frames that are not in the range, or not RAM that can be written, are passed over. */
  mark(gfn: number, count: number = 1): void {
    const end = Math.min(gfn + count, this.gfn + this.count)
    const entry = this.#entry
    for (let at = Math.max(gfn, this.gfn); at < end; at++) {
      // The bit is set already: device models often write the same frames repeatedly.
      if (this.isDirty(at)) continue
      const type = this.p2m.lookup(at, entry)
      if (this.p2m.isRam(type) && type !== this.p2m.types.rom) this.#set(at, 1)
    }
  }

  /** Tells whether a guest frame was written since it was last cleaned. */
  isDirty(gfn: number): boolean {
    const bit = gfn - this.gfn
    return bit >= 0 && bit < this.count && ((this.#bits[bit >>> 5]! >>> (bit & 31)) & 1) !== 0
  }

  /**
   * Copies the bits without clearing them.
   *
   * @param into - as many words as `count` needs
   * @returns number of dirty frames
   */
  peek(into: Uint32Array): number {
    let dirty = 0
    for (let word = 0; word < this.#words(); word++) {
      const bits = Atomics.load(this.#bits, word)
      into[word] = bits
      dirty += ones(bits)
    }
    return dirty
  }

  /**
   * Copies and clears the bits, and logs these frames again. Later writes set the bits again; contents read after the
   * return include all writes that the returned bits report.
   *
   * @returns number of dirty frames before the call
   * @throws P2mError `ERR_NO_MEMORY` if a leaf at the edge of the range, mapped after the log began, cannot be split:
   * dirty frames stay dirty
   */
  take(into: Uint32Array): number {
    const dirty = this.#exchange(into)
    if (dirty === 0 || !this.#running) return dirty
    try {
      if (this.#changed) this.#logAnew(into)
      this.#changed = false
    } catch (error) {
      for (let word = 0; word < this.#words(); word++) Atomics.or(this.#bits, word, into[word]!)
      throw error
    }
    this.p2m.writeLogs.watch(this.gfn, this.count, into)
    return dirty
  }

  #exchange(into: Uint32Array): number {
    let dirty = 0
    for (let word = 0; word < this.#words(); word++) {
      const bits = Atomics.exchange(this.#bits, word, 0)
      into[word] = bits
      dirty += ones(bits)
    }
    return dirty
  }

  /** Makes RAM_LOGDIRTY of frames whose bits are set; neighbours together, so that a leaf that has come as a whole stays whole. */
  #logAnew(taken: Uint32Array): void {
    let from = -1
    for (let at = 0; at <= this.count; at++) {
      const set = at < this.count && ((taken[at >>> 5]! >>> (at & 31)) & 1) !== 0
      if (set && from < 0) from = at
      if (set || from < 0) continue
      this.#retype(this.gfn + from, at - from, this.p2m.types.ram, this.p2m.types.logged)
      from = -1
    }
  }

  /** Ends the log: everything may be written again, and leaves that were broken up are put together. */
  stop(): void {
    if (!this.#running) return
    this.#running = false
    this.#unsubscribe()
    this.#retype(this.gfn, this.count, this.p2m.types.logged, this.p2m.types.ram)
    this.p2m.coalesce(this.gfn, this.count)
  }

  #words(): number {
    return Math.ceil(this.count / 32)
  }

  #retype(gfn: number, count: number, from: number, to: number): void {
    this.#own = true
    try {
      this.p2m.setType(gfn, count, to, from)
    } finally {
      this.#own = false
    }
  }

  #set(gfn: number, count: number): void {
    const end = Math.min(gfn + count, this.gfn + this.count) - this.gfn
    for (let bit = Math.max(gfn - this.gfn, 0); bit < end; bit++) Atomics.or(this.#bits, bit >>> 5, 1 << (bit & 31))
  }
}

function ones(word: number): number {
  let left = word - ((word >>> 1) & 0x5555_5555)
  left = (left & 0x3333_3333) + ((left >>> 2) & 0x3333_3333)
  return Math.imul((left + (left >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
