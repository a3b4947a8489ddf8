import type { SymbolsError } from './errors.ts'
import { damaged } from './file-source.ts'

/** LEB128 numbers have at most this many bits: 64 in groups of 7. */
const MOST_LEB_BITS = 70

/** Reads consecutive numbers of a section, within its bounds. */
export class ByteCursor {
  readonly bytes: Uint8Array
  /** Offset of the next byte. */
  at: number
  /** Offset behind the last byte that may be read. */
  end: number
  readonly #view: DataView
  readonly #section: string

  constructor(bytes: Uint8Array, section: string, at: number = 0, end: number = bytes.length) {
    this.bytes = bytes
    this.at = at
    this.end = Math.min(end, bytes.length)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#section = section
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  /** An unsigned LEB128 number; rounded from 2^53 on. */
  uleb(): number {
    return this.#leb(false)
  }

  /** A signed LEB128 number; rounded from 2^53 on. */
  sleb(): number {
    return this.#leb(true)
  }

  #leb(isSigned: boolean): number {
    let value = 0
    for (let shift = 0; shift < MOST_LEB_BITS; shift += 7) {
      const byte = this.u8()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return isSigned && (byte & 0x40) !== 0 ? value - 2 ** (shift + 7) : value
    }
    throw this.damaged(`a number of more than ${MOST_LEB_BITS} bits`)
  }

  /** Skips bytes. @returns their start */
  skip(count: number): number {
    return this.#take(count)
  }

  /** Skips a text with its terminating zero. @returns its start */
  skipText(): number {
    const zero = this.bytes.subarray(this.at, this.end).indexOf(0)
    if (zero < 0) throw this.damaged('a text has no end')
    return this.#take(zero + 1)
  }

  /** A mistake at the next byte. */
  damaged(what: string): SymbolsError {
    return damaged(`${this.#section}, offset 0x${this.at.toString(16)}: ${what}`)
  }

  #take(count: number): number {
    const at = this.at
    if (!(at + count <= this.end)) throw this.damaged('it ends too early')
    this.at = at + count
    return at
  }
}
