import type { IoRequest } from './request.ts'
import { IOREQ_BYTES } from './layout.ts'

/** Words of an `ioreq_t`. */
export const IOREQ_WORDS: number = IOREQ_BYTES / 4
export const ADDR_LO = 0
export const ADDR_HI = 1
export const DATA_LO = 2
export const DATA_HI = 3
export const COUNT = 4
export const SIZE = 5
const VP_EPORT = 6
/** pad, state, data_is_ptr, dir, df, type: one word, only ever accessed as one word (see `IoreqSlot.updateState`). */
export const FLAGS = 7

export const DATA_IS_PTR: number = 1 << 20
export const DIR_SHIFT = 21
export const DF: number = 1 << 22
export const TYPE_SHIFT = 24

/** The fields of an `ioreq_t` in memory that threads may share. Only the word with type, direction, df and `state` is accessed atomically. */
export class IoreqFields implements IoRequest {
  /** The words of the page, and where these fields begin. */
  words: Int32Array
  /** First word of the fields. */
  readonly base: number
  readonly #shared: boolean

  constructor(words: Int32Array, base: number) {
    this.words = words
    this.base = base
    // A page that is not cross-origin isolated has no SharedArrayBuffer to compare with.
    this.#shared = !(words.buffer instanceof ArrayBuffer)
  }

  /** Sets a word. */
  protected set(index: number, value: number): void {
    this.words[this.base + index] = value
  }
  /** The word that is accessed as one. */
  protected flags(): number {
    const at = this.base + FLAGS
    return this.#shared ? Atomics.load(this.words, at) : this.words[at]!
  }
  /** Stores `value` if the word is still `old`; returns what it was. */
  protected exchangeFlags(old: number, value: number): number {
    const at = this.base + FLAGS
    if (this.#shared) return Atomics.compareExchange(this.words, at, old, value)
    const seen = this.words[at]!
    if (seen === old) this.words[at] = value
    return seen
  }
  /** Sets some bits of the word. */
  protected setFlagBits(mask: number, bits: number): void {
    let old = this.flags()
    for (;;) {
      const seen = this.exchangeFlags(old, (old & ~mask) | (bits & mask))
      if (seen === old) return
      old = seen
    }
  }

  /** Bits 31:0 of the address. */
  get addressLo(): number {
    return this.words[this.base + ADDR_LO]! >>> 0
  }
  set addressLo(value: number) {
    this.set(ADDR_LO, value)
  }
  /** Bits 63:32 of the address. */
  get addressHi(): number {
    return this.words[this.base + ADDR_HI]! >>> 0
  }
  set addressHi(value: number) {
    this.set(ADDR_HI, value)
  }
  /** Bits 31:0 of the data. */
  get dataLo(): number {
    return this.words[this.base + DATA_LO]! >>> 0
  }
  set dataLo(value: number) {
    this.set(DATA_LO, value)
  }
  /** Bits 63:32 of the data. */
  get dataHi(): number {
    return this.words[this.base + DATA_HI]! >>> 0
  }
  set dataHi(value: number) {
    this.set(DATA_HI, value)
  }
  /** Elements of a string. */
  get count(): number {
    return this.words[this.base + COUNT]! >>> 0
  }
  set count(value: number) {
    this.set(COUNT, value)
  }
  /** Bytes of an element. */
  get size(): number {
    return this.words[this.base + SIZE]! >>> 0
  }
  set size(value: number) {
    this.set(SIZE, value)
  }
  /** Event channel port of the vCPU; written when the server is enabled. */
  get eventPort(): number {
    return this.words[this.base + VP_EPORT]! >>> 0
  }
  set eventPort(value: number) {
    this.set(VP_EPORT, value)
  }
  /** Whether the data is a guest-physical address. */
  get dataIsPointer(): boolean {
    return (this.flags() & DATA_IS_PTR) !== 0
  }
  set dataIsPointer(value: boolean) {
    this.setFlagBits(DATA_IS_PTR, value ? DATA_IS_PTR : 0)
  }
  /** `IOREQ_READ` or `IOREQ_WRITE`. */
  get direction(): number {
    return (this.flags() >>> DIR_SHIFT) & 1
  }
  set direction(value: number) {
    this.setFlagBits(1 << DIR_SHIFT, value << DIR_SHIFT)
  }
  /** Whether the string goes down. */
  get df(): boolean {
    return (this.flags() & DF) !== 0
  }
  set df(value: boolean) {
    this.setFlagBits(DF, value ? DF : 0)
  }
  /** `IOREQ_TYPE_*`. */
  get type(): number {
    return this.flags() >>> TYPE_SHIFT
  }
  set type(value: number) {
    this.setFlagBits(0xff << TYPE_SHIFT, value << TYPE_SHIFT)
  }

  /** Copies the fields, whatever the state. */
  readInto(into: IoRequest): void {
    const { words, base } = this
    const flags = this.flags()
    into.type = flags >>> TYPE_SHIFT
    into.direction = (flags >>> DIR_SHIFT) & 1
    into.addressLo = words[base + ADDR_LO]! >>> 0
    into.addressHi = words[base + ADDR_HI]! >>> 0
    into.dataLo = words[base + DATA_LO]! >>> 0
    into.dataHi = words[base + DATA_HI]! >>> 0
    into.count = words[base + COUNT]! >>> 0
    into.size = words[base + SIZE]! >>> 0
    into.df = (flags & DF) !== 0
    into.dataIsPointer = (flags & DATA_IS_PTR) !== 0
  }
}
