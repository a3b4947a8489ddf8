import * as L from './layout.ts'
import { IoreqError } from './errors.ts'
import type { IoRequest } from './request.ts'

/*
 * A slot's header word: type 7:0, pad 8, dir 9, size code 11:10, address 31:12. The second word is data.
 */
const DIR_SHIFT = 9
const SIZE_SHIFT = 10
const ADDRESS_SHIFT = 12

const SIZE_CODES: ReadonlyMap<number, number> = new Map([
  [1, 0],
  [2, 1],
  [4, 2],
  [8, 3],
])

const U32 = 0xffff_ffffn

/**
 * The page of buffered requests: writes that need no answer.
 *
 * The pointers count slots and never step back, except that 511 is no power of two: a 32-bit wrap would jump from one
 * slot to an unrelated one. In `ATOMIC` mode the producer therefore takes multiples of 511 off both pointers once the
 * read pointer has passed 511, and both sides treat the pair as one 64-bit word; the consumer *adds* to the read
 * pointer, so that a subtraction in between is not lost.
 */
export class BufferedRing {
  readonly #words: Int32Array
  readonly #pair: BigInt64Array
  readonly #atomic: boolean

  /**
   * @param mode - `HVM_IOREQSRV_BUFIOREQ_LEGACY` or `…_ATOMIC`
   * @throws IoreqError `ERR_INVALID` for another mode, or if the page does not fit
   */
  constructor(
    mode: number = L.HVM_IOREQSRV_BUFIOREQ_ATOMIC,
    buffer: ArrayBufferLike = new ArrayBuffer(L.IOREQ_PAGE_BYTES),
    byteOffset = 0,
  ) {
    if (mode !== L.HVM_IOREQSRV_BUFIOREQ_LEGACY && mode !== L.HVM_IOREQSRV_BUFIOREQ_ATOMIC) {
      throw new IoreqError('ERR_INVALID', `buffered-request mode ${mode}: expected 1 (legacy) or 2 (atomic)`)
    }
    if (byteOffset % 8 !== 0 || byteOffset < 0 || byteOffset + L.IOREQ_PAGE_BYTES > buffer.byteLength) {
      throw new IoreqError(
        'ERR_INVALID',
        `ring page at ${byteOffset}: expected a multiple of 8 with 4096 bytes inside a buffer of ${buffer.byteLength}`,
      )
    }
    this.#words = new Int32Array(buffer, byteOffset, L.IOREQ_PAGE_BYTES / 4)
    this.#pair = new BigInt64Array(buffer, byteOffset, 1)
    this.#atomic = mode === L.HVM_IOREQSRV_BUFIOREQ_ATOMIC
  }

  // The pair is always accessed as 64 bits: mixing widths would leave the accesses unordered.
  #pointers(): bigint {
    return BigInt.asUintN(64, Atomics.load(this.#pair, 0))
  }

  /** Slots consumed so far, modulo 2^32. */
  get readPointer(): number {
    return Number(this.#pointers() & U32)
  }

  /** Slots produced so far, modulo 2^32. */
  get writePointer(): number {
    return Number(this.#pointers() >> 32n)
  }

  /**
   * Puts a write into the ring.
   *
   * @returns false where the ring is full or cannot hold the request (address above 20 bits, pointer data, several
   * elements, a read, an odd size): it then goes through the request page
   */
  produce(request: IoRequest): boolean {
    const code = SIZE_CODES.get(request.size)
    if (
      code === undefined ||
      request.count !== 1 ||
      request.dataIsPointer ||
      request.addressHi !== 0 ||
      request.addressLo > L.IOREQ_BUFFER_MAX_ADDRESS
    ) {
      return false
    }
    const slots = request.size === 8 ? 2 : 1
    const pointers = this.#pointers()
    const read = Number(pointers & U32)
    const write = Number(pointers >> 32n)
    // Unsigned 32-bit distance: right across a wrap in LEGACY mode too.
    if ((write - read) >>> 0 >= L.IOREQ_BUFFER_SLOTS - (slots - 1)) return false

    const header =
      (request.type & 0xff) |
      (request.direction << DIR_SHIFT) |
      (code << SIZE_SHIFT) |
      (request.addressLo << ADDRESS_SHIFT)
    this.#put(write, header, request.dataLo)
    if (slots === 2) this.#put((write + 1) >>> 0, header, request.dataHi)
    // Publishing is an addition, for the consumer may be adding to the other half at this moment.
    this.#add(0, slots)
    if (this.#atomic) this.#canonicalise()
    return true
  }

  /** Takes the oldest request into `into`; false if the ring is empty. */
  consume(into: IoRequest): boolean {
    const pointers = this.#pointers()
    const read = Number(pointers & U32)
    const write = Number(pointers >> 32n)
    if (read === write) return false
    const at = 2 + 2 * (read % L.IOREQ_BUFFER_SLOTS)
    const header = this.#words[at]!
    into.type = header & 0xff
    into.direction = (header >>> DIR_SHIFT) & 1
    into.size = 1 << ((header >>> SIZE_SHIFT) & 3)
    into.addressLo = header >>> ADDRESS_SHIFT
    into.addressHi = 0
    into.dataLo = this.#words[at + 1]! >>> 0
    into.dataHi = 0
    into.count = 1
    into.df = false
    into.dataIsPointer = false
    let slots = 1
    if (into.size === 8) {
      slots = 2
      // A producer that announces a qword but publishes one slot has a second half that is not there yet: zero.
      if ((write - read) >>> 0 >= 2) {
        into.dataHi = this.#words[2 + 2 * (((read + 1) >>> 0) % L.IOREQ_BUFFER_SLOTS) + 1]! >>> 0
      } else {
        slots = 1
      }
    }
    this.#add(slots, 0)
    return true
  }

  #put(pointer: number, header: number, data: number): void {
    const at = 2 + 2 * (pointer % L.IOREQ_BUFFER_SLOTS)
    this.#words[at] = header
    this.#words[at + 1] = data
  }

  #add(toRead: number, toWrite: number): void {
    let old = Atomics.load(this.#pair, 0)
    for (;;) {
      const unsigned = BigInt.asUintN(64, old)
      const read = ((unsigned & U32) + BigInt(toRead)) & U32
      const write = ((unsigned >> 32n) + BigInt(toWrite)) & U32
      const seen = Atomics.compareExchange(this.#pair, 0, old, BigInt.asIntN(64, (write << 32n) | read))
      if (seen === old) return
      old = seen
    }
  }

  #canonicalise(): void {
    let old = Atomics.load(this.#pair, 0)
    // A consumer can make an attempt fail by advancing, which it can do only as often as there are slots.
    for (let attempt = 0; attempt < L.IOREQ_BUFFER_SLOTS; attempt++) {
      const unsigned = BigInt.asUintN(64, old)
      const read = unsigned & U32
      if (read < BigInt(L.IOREQ_BUFFER_SLOTS)) return
      const whole = (read / BigInt(L.IOREQ_BUFFER_SLOTS)) * BigInt(L.IOREQ_BUFFER_SLOTS)
      const write = ((unsigned >> 32n) - whole) & U32
      const seen = Atomics.compareExchange(this.#pair, 0, old, BigInt.asIntN(64, (write << 32n) | (read - whole)))
      if (seen === old) return
      old = seen
    }
  }
}
