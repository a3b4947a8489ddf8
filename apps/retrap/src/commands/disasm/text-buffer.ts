/**
 * Text on its way to a stream, as the bytes that the stream wants. A listing has a hundred characters a line; as strings,
 * which a stream would have to turn into bytes later, they would keep the collector busier than all else.
 */
import type { ByteSink } from '@retrap/x86-decoder'

const BLANK = 0x20
const LINE_FEED = 0x0a

/** The two digits of each byte, the first one in the low half. */
const DIGITS: Uint16Array = Uint16Array.from({ length: 256 }, (_, byte) => {
  const text = byte.toString(16).padStart(2, '0')
  return text.charCodeAt(0) | (text.charCodeAt(1) << 8)
})

const DIGIT: Uint8Array = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))
/** Numbers that V8 has without a heap object. */
const WORD_BITS = 28
/** Digits of 2^53 in hexadecimal. */
const MOST_DIGITS = 14

const encoder = new TextEncoder()

/** Digits of a number that fits in 32 bits. */
const digitsOf = (word: number): number => (35 - Math.clz32(word | 1)) >> 2

/** UTF-8 text that grows until `take`. */
export class TextBuffer implements ByteSink {
  /** The text, with room for more. */
  bytes: Uint8Array
  /** Bytes so far. */
  length: number

  constructor() {
    this.bytes = new Uint8Array(0)
    this.length = 0
  }

  /** Starts a text; `write` exceeds this size only for an extraordinary line. */
  start(bytes: number): void {
    this.bytes = new Uint8Array(bytes)
    this.length = 0
  }

  write(text: string): void {
    // Three bytes for a character are the most that UTF-8 needs.
    this.reserve(3 * text.length)
    const { bytes } = this
    let at = this.length
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      if (unit >= 0x80) {
        this.length = at + encoder.encodeInto(text.slice(i), bytes.subarray(at)).written
        return
      }
      bytes[at++] = unit
    }
    this.length = at
  }

  /** Adds two blanks, a byte in hexadecimal and a blank for each of some bytes, and blanks up to `width`. */
  writeColumns(source: Uint8Array, from: number, to: number, width: number): void {
    this.reserve(2 + 3 * (to - from) + width)
    const { bytes } = this
    let at = this.length
    const end = at + 2 + width
    bytes[at] = BLANK
    bytes[at + 1] = BLANK
    at += 2
    for (let i = from; i < to; i++) {
      const digits = DIGITS[source[i]!]!
      bytes[at] = digits
      bytes[at + 1] = digits >> 8
      bytes[at + 2] = BLANK
      at += 3
    }
    while (at < end) bytes[at++] = BLANK
    this.length = at
  }

  /** Adds three digits. */
  writeOffset(offset: number): void {
    this.reserve(3)
    const { bytes } = this
    const at = this.length
    bytes[at] = DIGIT[offset >> 8]!
    bytes[at + 1] = DIGIT[(offset >> 4) & 15]!
    bytes[at + 2] = DIGIT[offset & 15]!
    this.length = at + 3
  }

  /** Adds the digits of a number up to 2^53 in hexadecimal. */
  writeNumber(value: number): void {
    this.reserve(MOST_DIGITS)
    const high = Math.floor(value / 2 ** WORD_BITS)
    if (high === 0) this.#writeWord(value, digitsOf(value))
    else {
      this.#writeWord(high, digitsOf(high))
      this.#writeWord(value - high * 2 ** WORD_BITS, WORD_BITS / 4)
    }
  }

  /** Adds the unsigned 64-bit number of two words: `0x1f`. */
  writeWords(low: number, high: number): void {
    this.reserve(2 + 16)
    this.write('0x')
    if (high === 0) this.#writeWord(low, digitsOf(low))
    else {
      this.#writeWord(high, digitsOf(high))
      this.#writeWord(low, 8)
    }
  }

  /** Adds the last digits of a number of at most 32 bits. */
  #writeWord(word: number, digits: number): void {
    const { bytes } = this
    const end = this.length + digits
    let rest = word
    for (let at = end - 1; at >= this.length; at--) {
      bytes[at] = DIGIT[rest & 15]!
      rest >>>= 4
    }
    this.length = end
  }

  endLine(): void {
    this.reserve(1)
    this.bytes[this.length++] = LINE_FEED
  }

  /** Returns the bytes, and leaves the buffer empty without them. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.length)
    this.bytes = new Uint8Array(0)
    this.length = 0
    return taken
  }

  /** Makes room for this many bytes more. */
  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return
    const grown = new Uint8Array(2 * (this.length + more))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}
