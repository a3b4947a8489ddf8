import { ReplayError } from './errors.ts'
import { STATUS_RESTART, STATUS_RETRY } from './status.ts'
import * as L from './layout.ts'
import { at } from './layout.ts'

/** Offset of the first record. */
const FIRST = at(0, 0)

/** A log's storage: header words, records and their data. The parts of {@link AccessLog} work on it. */
export class LogStore {
  readonly words: Int32Array
  readonly bytes: Uint8Array
  /** View of `bytes` as words. */
  readonly #data: Int32Array

  /** @throws ReplayError `ERR_STORAGE` */
  constructor(storage: ArrayBuffer | SharedArrayBuffer, byteOffset: number) {
    const isStorage =
      storage instanceof ArrayBuffer ||
      (typeof SharedArrayBuffer === 'function' && storage instanceof SharedArrayBuffer)
    if (!isStorage || !Number.isSafeInteger(byteOffset)) {
      throw new ReplayError('ERR_STORAGE', 'a log needs a buffer and an offset in bytes')
    }
    if (byteOffset % 8 !== 0 || byteOffset < 0 || byteOffset + L.LOG_BYTES > storage.byteLength) {
      throw new ReplayError('ERR_STORAGE', `a log needs ${L.LOG_BYTES} bytes at a multiple of 8, not at ${byteOffset}`)
    }
    this.words = new Int32Array(storage, byteOffset, L.DATA_BYTE / 4)
    this.bytes = new Uint8Array(storage, byteOffset + L.DATA_BYTE, L.LOG_DATA_BYTES)
    this.#data = new Int32Array(storage, byteOffset + L.DATA_BYTE, L.LOG_DATA_BYTES / 4)
  }

  /** Forgets every record. */
  reset(): void {
    const w = this.words
    for (let i = 0; i < L.HEADER_WORDS; i++) w[i] = 0
  }

  /** Returns a field of a record. @throws ReplayError `ERR_STATE` for an unknown record */
  field(index: number, field: number): number {
    if (!(index >= 0 && index < this.words[L.H_COUNT]!)) {
      throw new ReplayError('ERR_STATE', `there is no access #${index}`)
    }
    return this.words[at(index, field)]!
  }

  /**
   * Makes a log of one access of up to 8 bytes, in its first pass, that waits for a device. The call does the work of `begin`,
   * `access`, `setData` and `wait` in one, for accesses that a guest may make again and again.
   *
   * @throws ReplayError `ERR_SIZE`
   */
  appendFirst(kind: number, lo: number, hi: number, size: number, tag: number, dataLo: number, dataHi: number): void {
    if (!(size > 0 && size <= 8)) throw new ReplayError('ERR_SIZE', `a device access of ${size} bytes`)
    const w = this.words
    w[L.H_ACTIVE] = 1
    w[L.H_COUNT] = 1
    w[L.H_CURSOR] = 1
    w[L.H_DATA_USED] = 8
    w[L.H_PASS] = 1
    w[L.H_WALK] = 0
    w[L.H_PENDING] = 1
    w[L.H_LAST_WALK] = 0
    w[FIRST + L.E_KIND] = kind
    w[FIRST + L.E_STATE] = STATUS_RETRY
    w[FIRST + L.E_SIZE] = size
    w[FIRST + L.E_TAG] = tag
    w[FIRST + L.E_LO] = lo
    w[FIRST + L.E_HI] = hi
    w[FIRST + L.E_DATA] = 0
    w[FIRST + L.E_BORN] = 0
    w[FIRST + L.E_DIED] = 0
    w[FIRST + L.E_NEXT] = -1
    w[FIRST + L.E_USED] = 0
    this.#data[0] = size < 4 ? dataLo & ((1 << (8 * size)) - 1) : dataLo
    this.#data[1] = size <= 4 ? 0 : size < 8 ? dataHi & ((1 << (8 * (size - 4))) - 1) : dataHi
  }

  /** Adds a record in state STATUS_RESTART with zeroed data. @throws ReplayError `ERR_STATE`, `ERR_SIZE`, `ERR_CAPACITY` */
  append(kind: number, lo: number, hi: number, size: number, tag: number): number {
    const w = this.words
    const entry = w[L.H_COUNT]!
    const data = w[L.H_DATA_USED]!
    if (w[L.H_ACTIVE] === 0) throw new ReplayError('ERR_STATE', 'an access outside an instruction')
    if (!(size > 0 && size <= L.MAX_ACCESS_BYTES))
      throw new ReplayError('ERR_SIZE', `an access of ${size} bytes; expected 1 to ${L.MAX_ACCESS_BYTES}`)
    const room = (size + 7) & ~7
    if (entry >= L.LOG_ENTRIES || data + room > L.LOG_DATA_BYTES) {
      throw new ReplayError('ERR_CAPACITY', `more than ${L.LOG_ENTRIES} accesses or ${L.LOG_DATA_BYTES} bytes of data`)
    }
    w[at(entry, L.E_KIND)] = kind
    w[at(entry, L.E_STATE)] = STATUS_RESTART
    w[at(entry, L.E_SIZE)] = size
    w[at(entry, L.E_TAG)] = tag
    w[at(entry, L.E_LO)] = lo
    w[at(entry, L.E_HI)] = hi
    w[at(entry, L.E_DATA)] = data
    w[at(entry, L.E_BORN)] = 0
    w[at(entry, L.E_DIED)] = 0
    w[at(entry, L.E_NEXT)] = -1
    w[at(entry, L.E_USED)] = 0
    for (let i = data >>> 2; i < (data + room) >>> 2; i++) this.#data[i] = 0
    w[L.H_DATA_USED] = data + room
    w[L.H_COUNT] = entry + 1
    return entry
  }

  dataLo(index: number): number {
    return this.#data[this.field(index, L.E_DATA) >>> 2]! >>> 0
  }

  dataHi(index: number): number {
    if (this.field(index, L.E_SIZE) <= 4) return 0
    return this.#data[(this.field(index, L.E_DATA) >>> 2) + 1]! >>> 0
  }

  /** Sets the data of a record of up to 8 bytes; bits beyond its size become zero. */
  setData(index: number, lo: number, hi: number): void {
    const word = this.field(index, L.E_DATA) >>> 2
    const size = this.field(index, L.E_SIZE)
    this.#data[word] = size < 4 ? lo & ((1 << (8 * size)) - 1) : lo
    this.#data[word + 1] = size <= 4 ? 0 : size < 8 ? hi & ((1 << (8 * (size - 4))) - 1) : hi
  }
}
