/**
 * Decompresses DEFLATE at once, for sources of pages in web pages, which have no call of their own for that.
 *
 * Source: RFC 1951, "DEFLATE Compressed Data Format Specification".
 */

/** Lengths and distances: the least of each code, and how many further bits it has. RFC 1951, section 3.2.5. */
const LENGTHS = table(29, 4, 3)
const DISTANCES = table(30, 2, 1)
/** The order in which lengths of code-length codes come. Section 3.2.7. */
const ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
const END_OF_BLOCK = 256
const LONGEST_CODE = 15

/** The codes of section 3.2.5 double their ranges each `step` codes, after the first two groups. */
function table(count: number, step: number, first: number): { readonly least: Uint16Array; readonly more: Uint8Array } {
  const least = new Uint16Array(count)
  const more = new Uint8Array(count)
  let next = first
  for (let i = 0; i < count; i++) {
    least[i] = next
    more[i] = Math.max(0, Math.floor(i / step) - 1)
    next += 2 ** more[i]!
  }
  // The longest length has a code without further bits.
  if (count === 29) {
    least[28] = 258
    more[28] = 0
  }
  return { least, more }
}

/** A canonical Huffman code, by the bits that come next: `symbol << 4 | length`; 0: no code begins so. Section 3.2.2. */
interface Code {
  /** Bits of the longest code. */
  readonly bits: number
  readonly entries: Uint16Array
}

/** @throws RangeError for lengths that make more codes than there are */
function codeOf(lengths: Uint8Array): Code {
  const counts = new Uint16Array(LONGEST_CODE + 1)
  for (const length of lengths) counts[length]!++
  counts[0] = 0
  const next = new Uint16Array(LONGEST_CODE + 2)
  let bits = 0
  let left = 1
  for (let length = 1; length <= LONGEST_CODE; length++) {
    left = 2 * left - counts[length]!
    if (left < 0) throw invalid()
    next[length + 1] = 2 * (next[length]! + counts[length]!)
    if (counts[length]! > 0) bits = length
  }
  const entries = new Uint16Array(2 ** bits)
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!
    if (length === 0) continue
    // The first bit of a code is the lowest of those that come next.
    const first = reversed(next[length]!++, length)
    for (let at = first; at < entries.length; at += 2 ** length) entries[at] = (symbol << 4) | length
  }
  return { bits, entries }
}

function reversed(code: number, length: number): number {
  let found = 0
  for (let i = 0; i < length; i++) found |= ((code >> i) & 1) << (length - 1 - i)
  return found
}

/** The codes of blocks that bring none. Section 3.2.6. */
const FIXED = {
  literals: codeOf(Uint8Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8))),
  distances: codeOf(new Uint8Array(30).fill(5)),
}

const invalid = (): RangeError => new RangeError('the data are no valid DEFLATE')

class Inflater {
  readonly #data: Uint8Array
  readonly #into: Uint8Array
  #at = 0
  #bits = 0
  #count = 0
  #done = 0

  constructor(data: Uint8Array, most: number) {
    this.#data = data
    this.#into = new Uint8Array(most)
  }

  run(): Uint8Array {
    for (let last = 0; last === 0;) {
      last = this.#take(1)
      const type = this.#take(2)
      if (type === 0) this.#stored()
      else if (type === 1) this.#block(FIXED.literals, FIXED.distances)
      else if (type === 2) this.#dynamic()
      else throw invalid()
    }
    return this.#into.subarray(0, this.#done)
  }

  #take(count: number): number {
    while (this.#count < count) {
      if (this.#at === this.#data.length) throw invalid()
      this.#bits |= this.#data[this.#at++]! << this.#count
      this.#count += 8
    }
    const value = this.#bits & (2 ** count - 1)
    this.#bits >>>= count
    this.#count -= count
    return value
  }

  #stored(): void {
    this.#bits = this.#count = 0
    const [low, high, notLow, notHigh] = this.#data.subarray(this.#at, this.#at + 4)
    const length = low! | (high! << 8)
    this.#at += 4
    if (length !== (~(notLow! | (notHigh! << 8)) & 0xffff)) throw invalid()
    const bytes = this.#data.subarray(this.#at, this.#at + length)
    if (bytes.length < length || this.#done + length > this.#into.length) throw invalid()
    this.#into.set(bytes, this.#done)
    this.#at += length
    this.#done += length
  }

  /** Section 3.2.7. */
  #dynamic(): void {
    const literals = this.#take(5) + 257
    const distances = this.#take(5) + 1
    const given = this.#take(4) + 4
    const own = new Uint8Array(19)
    for (let i = 0; i < given; i++) own[ORDER[i]!] = this.#take(3)
    const code = codeOf(own)
    const lengths = new Uint8Array(literals + distances)
    for (let i = 0; i < lengths.length;) {
      const symbol = this.#symbol(code)
      if (symbol < 16) {
        lengths[i++] = symbol
        continue
      }
      if (symbol === 16 && i === 0) throw invalid()
      const value = symbol === 16 ? lengths[i - 1]! : 0
      const times = symbol === 16 ? 3 + this.#take(2) : symbol === 17 ? 3 + this.#take(3) : 11 + this.#take(7)
      if (i + times > lengths.length) throw invalid()
      lengths.fill(value, i, i + times)
      i += times
    }
    this.#block(codeOf(lengths.subarray(0, literals)), codeOf(lengths.subarray(literals)))
  }

  #block(literals: Code, distances: Code): void {
    const into = this.#into
    for (;;) {
      const symbol = this.#symbol(literals)
      if (symbol === END_OF_BLOCK) return
      if (symbol < END_OF_BLOCK) {
        if (this.#done === into.length) throw invalid()
        into[this.#done++] = symbol
        continue
      }
      const length = this.#value(LENGTHS, symbol - 257)
      const distance = this.#value(DISTANCES, this.#symbol(distances))
      if (distance > this.#done || this.#done + length > into.length) throw invalid()
      // The copy may read bytes that it has just written.
      for (let i = 0; i < length; i++, this.#done++) into[this.#done] = into[this.#done - distance]!
    }
  }

  #value({ least, more }: typeof LENGTHS, code: number): number {
    if (code >= least.length) throw invalid()
    return least[code]! + this.#take(more[code]!)
  }

  #symbol({ bits, entries }: Code): number {
    while (this.#count < bits && this.#at < this.#data.length) {
      this.#bits |= this.#data[this.#at++]! << this.#count
      this.#count += 8
    }
    const entry = entries[this.#bits & (2 ** bits - 1)]!
    const length = entry & 15
    if (length === 0 || length > this.#count) throw invalid()
    this.#bits >>>= length
    this.#count -= length
    return entry >> 4
  }
}

/**
 * Decompresses what `deflate` has made, and any other raw DEFLATE, without a turn of the event loop.
 *
 * @param most - bytes that it may become
 * @throws RangeError for data that are not valid, or become more
 */
export const inflateNow = (data: Uint8Array, most: number): Uint8Array => new Inflater(data, most).run()
