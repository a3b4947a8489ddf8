import { SLOW_WRITE } from '../state/host.ts'

/** Writes that one instruction may have in its queue: FXSAVE, XSAVE and a call through a gate with 31 parameters fit. */
const QUEUE_ENTRIES = 128
const Q_LO = 0
const Q_HI = 1
const Q_FLAGS = 2
const Q_DATA_LO = 3
const Q_DATA_HI = 4
const Q_WORDS = 5
/** The largest access there is. */
export const BLOCK_BYTES = 64

/** The writes of one instruction that have been checked and wait to be made. */
export class WriteQueue {
  readonly #words: Uint32Array = new Uint32Array(QUEUE_ENTRIES * Q_WORDS)
  /** Data of the one queued write that is longer than 8 bytes. */
  readonly block: Uint8Array = new Uint8Array(BLOCK_BYTES)
  #blockQueued = false
  /** Writes that wait. */
  count = 0

  /** A write of more than 8 bytes waits, and there is no room for a second one. */
  get blockQueued(): boolean {
    return this.#blockQueued
  }

  /** Adds a write of up to 8 bytes. `flags`: the size, and `SLOW_*`. */
  add(lo: number, hi: number, flags: number, dataLo: number, dataHi: number): void {
    const at = this.count * Q_WORDS
    const words = this.#words
    if (at >= words.length) throw new RangeError('more writes than an instruction can have')
    words[at + Q_LO] = lo
    words[at + Q_HI] = hi
    words[at + Q_FLAGS] = flags | SLOW_WRITE
    words[at + Q_DATA_LO] = dataLo
    words[at + Q_DATA_HI] = dataHi
    this.count++
  }

  /** Adds a write of up to 64 bytes within one page. */
  addBlock(lo: number, hi: number, flags: number, bytes: Uint8Array, from: number): void {
    const size = flags & 0xff
    for (let i = 0; i < size; i++) this.block[i] = bytes[from + i]!
    if (size > 8) this.#blockQueued = true
    this.add(lo, hi, flags, wordOf(this.block, 0), wordOf(this.block, 4))
  }

  addressLo(entry: number): number {
    return this.#words[entry * Q_WORDS + Q_LO]!
  }

  addressHi(entry: number): number {
    return this.#words[entry * Q_WORDS + Q_HI]!
  }

  /** Size and `SLOW_*`. */
  flags(entry: number): number {
    return this.#words[entry * Q_WORDS + Q_FLAGS]!
  }

  dataLo(entry: number): number {
    return this.#words[entry * Q_WORDS + Q_DATA_LO]!
  }

  dataHi(entry: number): number {
    return this.#words[entry * Q_WORDS + Q_DATA_HI]!
  }

  /** The data are in {@link block}. */
  isBlock(entry: number): boolean {
    return (this.flags(entry) & 0xff) > 8
  }

  /** The byte that the last write to a linear address will leave there, or -1. */
  byteAt(lo: number, hi: number): number {
    for (let entry = this.count - 1; entry >= 0; entry--) {
      const start = this.addressLo(entry)
      const distance = (lo - start) >>> 0
      if (distance >= (this.flags(entry) & 0xff)) continue
      if ((this.addressHi(entry) + (lo < start ? 1 : 0)) >>> 0 !== hi) continue
      if (this.isBlock(entry)) return this.block[distance]!
      const word = distance < 4 ? this.dataLo(entry) : this.dataHi(entry)
      return (word >>> ((distance & 3) * 8)) & 0xff
    }
    return -1
  }

  clear(): void {
    this.count = 0
    this.#blockQueued = false
  }
}

function wordOf(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
