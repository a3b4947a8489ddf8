/**
 * Text on its way to a stream, as the bytes that the stream wants. A listing has a hundred characters a line; as strings,
 * which a stream would have to turn into bytes later, they would keep the collector busier than all else.
 */

const BLANK = 0x20
const LINE_FEED = 0x0a

/** The digits of a byte, the first one in the low half. */
const DIGITS: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  const text = byte.toString(16).padStart(2, '0')
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8)
})

const DIGIT: Uint8Array = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
/** Of a number up to 2^53. */
const MOST_DIGITS = 14

const encoder = new TextEncoder()

/** UTF-8 text that grows until it is taken. */
export class TextBuffer {
  #bytes: Uint8Array
  #length: number

  constructor() {
    this.#bytes = new Uint8Array(0)
    this.#length = 0
  }

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  /** Starts a text; `write` makes it longer than this only where a line is extraordinary. */
  reserve(bytes: number): void {
    this.#bytes = new Uint8Array(bytes)
    this.#length = 0
  }

  /** Adds text. */
  write(text: string): void {
    // Three bytes for a character are the most that UTF-8 needs.
    this.#ensure(3 * text.length)
    const bytes = this.#bytes
    let at = this.#length
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit >= 0x80) {
        this.#length = at + encoder.encodeInto(text.slice(i), bytes.subarray(at)).written
        return
      }
      bytes[at++] = unit
    }
    this.#length = at
  }

  /** Adds a byte in hexadecimal and a blank for each of some bytes, and blanks up to `width`. */
  writeHex(source: Uint8Array, from: number, to: number, width: number): void {
    this.#ensure(3 * (to - from) + width)
    const bytes = this.#bytes
    const end = this.#length + width
    let at = this.#length
    for (let i = from; i < to; i++) {
      const digits = DIGITS[source[i]!]!
      bytes[at] = digits
      bytes[at + 1] = digits >> 8
      bytes[at + 2] = BLANK
      at += 3
    }
    while (at < end) bytes[at++] = BLANK
    this.#length = at
  }

  /** Copies bytes. */
  copy(source: Uint8Array, from: number, to: number): void {
    this.#ensure(to - from)
    const bytes = this.#bytes
    let at = this.#length
    for (let i = from; i < to; i++) bytes[at++] = source[i]!
    this.#length = at
  }

  /** The digits of an address in hexadecimal: `base` and a distance from it, whose sum is not negative. */
  writeNumber(base: bigint, distance: number): void {
    const sum = Number(base) + distance
    if (sum > Number.MAX_SAFE_INTEGER) this.write((base + BigInt(distance)).toString(16))
    else {
      this.#ensure(MOST_DIGITS)
      const bytes = this.#bytes
      let digits = 1
      for (let rest = sum; rest >= 16; rest = Math.floor(rest / 16)) digits++
      this.#length += digits
      let high = Math.floor(sum / 2 ** 24)
      let low = sum % 2 ** 24
      for (let at = this.#length - 1, i = 0; i < digits; i++, at--) {
        if (i === 6) {
          low = high % 2 ** 24
          high = Math.floor(high / 2 ** 24)
        } else if (i === 12) low = high
        bytes[at] = DIGIT[low & 15]!
        low >>>= 4
      }
    }
  }

  /** The buffer that the text is in, as it is now. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Ends a line. */
  endLine(): void {
    this.#ensure(1)
    this.#bytes[this.#length++] = LINE_FEED
  }

  /** The bytes; the buffer is empty afterwards, and has none of them. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = new Uint8Array(0)
    this.#length = 0
    return taken
  }

  #ensure(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const grown = new Uint8Array(2 * (this.#length + more))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}
