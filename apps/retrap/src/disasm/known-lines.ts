/**
 * Lines that need not be formatted again. A program has few instructions that differ in more than where they lead to, and
 * each of them often; to copy an earlier line costs a tenth of formatting it.
 */
import { type Instruction, REGISTER_RIP } from '@retrap/x86-decoder'
import type { SymbolTable } from './symbols.ts'
import type { TextBuffer } from './text-buffer.ts'

const PLACE_BITS = 14
/** Words of a place: bytes, how many there are, and the text; the gap is before `SPLIT`. */
const LOW = 0
const HIGH = 1
const LENGTH = 2
const KIND = 3
const START = 4
const SPLIT = 5
const END = 6
const PLACE_WORDS = 8
/** The longest instruction that has a place, without its displacement: two words. */
const LONGEST = 8
/** Room for the texts; when it is full, all places are given up. */
const ARENA_BYTES = 1 << 20

/**
 * A line has a gap for an address. Its text is known for an address with a symbol; without one, a branch has the address
 * there, and memory the displacement, whose sign stands in place of the last character before the gap or is a minus of
 * its own. Plain lines have no bit.
 */
const WITH_SYMBOL = 1
const WITH_NUMBER = 2
const WITH_DISPLACEMENT = 4
const SIGN_BEFORE = 8

/** Stands for a symbol. No name has it: names end before the first zero byte. */
export const MARK = '\0'

/** A line as the formatter writes it: in place of a symbol a {@link MARK}, and with the symbols that there are. */
export interface Formatted {
  readonly marked: string
  readonly unnamed: string
  /** The address for which the formatter asked for a symbol. */
  readonly asked: bigint
}

/** The known lines of a listing. */
export class KnownLines {
  readonly #bits: 16 | 32 | 64
  #base = 0n
  #symbols: SymbolTable | null = null
  /** Distances from the section's beginning whose addresses exist. */
  #first = 0
  #last = 0
  /** By instruction code: whether it is a branch whose immediate is a displacement. */
  readonly #isBranch: Uint8Array = new Uint8Array(1 << 13)
  readonly #places = new Int32Array(PLACE_WORDS << PLACE_BITS)
  readonly #texts = new Uint8Array(ARENA_BYTES)
  #used = 0
  /** The instruction that was asked for last: its place as an index of words, or -1, its bytes, and which of them are a displacement. */
  #place = -1
  #askedLow = 0
  #askedHigh = 0
  #askedLength = 0
  #isKnown = false
  #gap = 0
  #gapBytes = 0

  /** @param bits - mode of the code */
  constructor(bits: 16 | 32 | 64) {
    this.#bits = bits
  }

  /** Goes on with another section: its address, and its symbols by their distance from that. */
  enter(base: bigint, symbols: SymbolTable): void {
    this.#base = base
    this.#symbols = symbols
    this.#first = -Number(base)
    this.#last = Number((1n << BigInt(this.#bits)) - base)
  }

  /** Writes the line of an instruction behind its address, if it is known. */
  write(out: TextBuffer, code: Uint8Array, at: number, insn: Instruction, bytesWidth: number, sign: string): boolean {
    const next = at + insn.length
    if (!this.#find(code, at, next, insn)) return false
    const place = this.#place
    const places = this.#places
    const kind = places[place + KIND]!
    const start = places[place + START]!
    const split = places[place + SPLIT]!
    const end = places[place + END]!
    if (kind === 0) {
      out.copy(this.#texts, start, end)
      return true
    }
    const isBranch = insn.isMemory === 0
    const target = next + (isBranch ? insn.immLo : insn.dispLo)
    if (target < this.#first || target >= this.#last) return false
    const symbols = this.#symbols!
    const index = symbols.indexOf(target)
    const displacement = insn.dispLo
    if (index < 0 && (isBranch ? (kind & WITH_NUMBER) === 0 : (kind & WITH_DISPLACEMENT) === 0 || displacement === 0))
      return false
    out.write('  ')
    out.writeHex(code, at, next, bytesWidth)
    out.copy(this.#texts, start, index < 0 && (kind & SIGN_BEFORE) !== 0 ? split - 1 : split)
    if (index >= 0) {
      out.write(symbols.name(index))
      const offset = target - symbols.at(index)
      if (offset !== 0) {
        out.write('+0x')
        out.writeNumber(0n, offset)
      }
    } else if (isBranch) {
      out.write('0x')
      out.writeNumber(this.#base, target)
    } else {
      out.write(signOf(displacement, (kind & SIGN_BEFORE) !== 0))
      out.writeNumber(0n, Math.abs(displacement))
    }
    out.copy(this.#texts, split, end)
    if (index >= 0 || !isBranch) {
      out.write(sign)
      out.writeNumber(this.#base, target)
    }
    out.endLine()
    return true
  }

  /** Keeps a line that follows from the bytes alone, of the instruction that was asked for last. */
  keepPlain(out: TextBuffer, from: number): void {
    if (this.#place < 0 || this.#gapBytes !== 0) return
    this.#keep(0, out.bytes, from, out.length, 0)
  }

  /** Keeps a line that has the address of a branch or of memory in it, of the instruction that was asked for last. */
  keepGap(insn: Instruction, at: number, format: () => Formatted): void {
    const isMemory = insn.isMemory !== 0
    if (this.#gapBytes === 0) {
      // A branch of a kind that has not been met before; the next one is found by its bytes without the displacement.
      if (!isMemory && insn.immSize !== 0 && insn.immOffset + insn.immSize === insn.length && this.#bits !== 16)
        this.#isBranch[insn.code] = 1
      return
    }
    // Where it is known, the line at hand is an exception.
    if (this.#place < 0 || this.#isKnown) return
    const { marked, unnamed, asked } = format()
    const target = at + insn.length + (isMemory ? insn.dispLo : insn.immLo)
    const mark = marked.indexOf(MARK)
    if (asked !== this.#base + BigInt(target) || mark < 0 || mark !== marked.lastIndexOf(MARK)) return
    const head = marked.slice(0, mark)
    const tail = marked.slice(mark + 1)
    let kind = WITH_SYMBOL
    if (!isMemory) {
      if (unnamed === `${head}0x${asked.toString(16)}${tail}`) kind |= WITH_NUMBER
    } else {
      const isBefore = head.endsWith('+')
      const before = isBefore ? head.slice(0, -1) : head
      const displacement = `${signOf(insn.dispLo, isBefore)}${Math.abs(insn.dispLo).toString(16)}`
      if (unnamed === before + displacement + tail) kind |= WITH_DISPLACEMENT | (isBefore ? SIGN_BEFORE : 0)
    }
    // What formatters write beside symbols is plain ASCII.
    const text = Uint8Array.from(head + tail, (character) => character.charCodeAt(0))
    this.#keep(kind, text, 0, text.length, head.length)
  }

  #find(code: Uint8Array, at: number, next: number, insn: Instruction): boolean {
    this.#gap = 0
    this.#gapBytes = 0
    if (insn.isMemory !== 0) {
      if (insn.base === REGISTER_RIP && insn.addressSize === 64) {
        this.#gap = insn.dispOffset
        this.#gapBytes = insn.dispSize
      }
    } else if (this.#isBranch[insn.code] !== 0 && insn.operandSize !== 16) {
      this.#gap = insn.immOffset
      this.#gapBytes = insn.immSize
    }
    const length = next - at - this.#gapBytes
    this.#place = -1
    if (length > LONGEST) return false
    const gap = this.#gapBytes === 0 ? LONGEST : this.#gap
    let low = 0
    let high = 0
    for (let i = 0; i < length; i++) {
      const byte = code[at + (i < gap ? i : i + this.#gapBytes)]!
      if (i < 4) low |= byte << (8 * i)
      else high |= byte << (8 * i - 32)
    }
    // Bytes in all, and how many of them are the displacement.
    const kind = length | (this.#gapBytes << 4)
    const hash = Math.imul(low ^ Math.imul(high, 0x9e37_79b1) ^ kind, 0x85eb_ca6b) >>> (32 - PLACE_BITS)
    const place = PLACE_WORDS * hash
    const places = this.#places
    this.#place = place
    this.#askedLow = low
    this.#askedHigh = high
    this.#askedLength = kind
    this.#isKnown = places[place + LENGTH] === kind && places[place + LOW] === low && places[place + HIGH] === high
    return this.#isKnown
  }

  #keep(kind: number, source: Uint8Array, from: number, to: number, split: number): void {
    const place = this.#place
    if (this.#used + to - from > ARENA_BYTES) {
      this.#places.fill(0)
      this.#used = 0
    }
    const texts = this.#texts
    for (let i = from; i < to; i++) texts[this.#used + i - from] = source[i]!
    const places = this.#places
    places[place + LOW] = this.#askedLow
    places[place + HIGH] = this.#askedHigh
    places[place + LENGTH] = this.#askedLength
    places[place + KIND] = kind
    places[place + START] = this.#used
    places[place + SPLIT] = this.#used + split
    this.#used += to - from
    places[place + END] = this.#used
  }
}

/** What stands before the digits of a displacement. */
function signOf(displacement: number, isBefore: boolean): string {
  if (displacement < 0) return '-0x'
  return isBefore ? '+0x' : '0x'
}
