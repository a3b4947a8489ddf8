import { plainLine } from '@retrap/basics'

const decoder = new TextDecoder()
/** ASCII without control characters. */
const FIRST_PRINTABLE = 0x20
const LAST_PRINTABLE = 0x7e
/** A longer name is left to the decoder. */
const MAX_PLAIN = 1000
/** Names may share bytes of the file, but together have at most this many times its bytes. */
const MOST_SHARED = 16
const LEAST_TEXT_BYTES = 1 << 20

/** Reads names that end with a zero byte. They are for a terminal, which no file may give orders to. */
export class NameReader {
  readonly #bytes: Uint8Array
  readonly #damaged: (what: string) => Error
  /** Total bytes of all names so far. */
  #textBytes = 0

  /** @param damaged - makes the error that is thrown for a file whose names share too many bytes */
  constructor(bytes: Uint8Array, damaged: (what: string) => Error) {
    this.#bytes = bytes
    this.#damaged = damaged
  }

  /** Reads the name at `at`, which lies in the bytes: up to a zero, or `limit` bytes. */
  text(at: number, limit: number = Number.MAX_SAFE_INTEGER): string {
    const bytes = this.#bytes
    const last = Math.min(bytes.length, at + limit)
    const lastPlain = Math.min(last, at + MAX_PLAIN)
    let end = at
    let byte = 0
    // Nearly all names are short and plain, and a decoder takes ten times as long for those.
    while (end < lastPlain && (byte = bytes[end]!) >= FIRST_PRINTABLE && byte <= LAST_PRINTABLE) end++
    const isPlain = end === last || (end < lastPlain && byte === 0)
    if (!isPlain) {
      const zero = bytes.subarray(end, last).indexOf(0)
      end = zero < 0 ? last : end + zero
    }
    this.#textBytes += end - at
    if (this.#textBytes > Math.max(LEAST_TEXT_BYTES, MOST_SHARED * bytes.length))
      throw this.#damaged('its names lie upon one another')
    if (isPlain) return String.fromCharCode(...bytes.subarray(at, end))
    return plainLine(decoder.decode(bytes.subarray(at, end)), Infinity)
  }
}
