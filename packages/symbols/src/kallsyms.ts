/**
 * The symbols that a Linux kernel keeps of itself in memory (CONFIG_KALLSYMS), in the layout that kernels since 4.6 have:
 *
 * - names: for each symbol a length (7 bits, or 14 in two bytes) and this many token numbers; the text begins with the type
 *   letter that nm(1) prints. In front of them the number of symbols, behind them markers: where each 256th name begins;
 * - 256 tokens, each ended by a zero, and where each begins. All digits are tokens of their own;
 * - for each symbol, in order of addresses, 32 bits to add to a base: signed where per-CPU symbols are among them, whose
 *   offsets are their addresses; others' are −1 − (distance from the base) then. The table is in front of the number of
 *   symbols, or since 6.5 behind the tokens.
 */
import { viewOf } from '@retrap/basics'
import { type GuestRam, type LinuxMemory, ramOf } from './guest-ram.ts'
import { type NamedPlace, offsetMark } from './symbol-table.ts'

/** A symbol of a Linux kernel, which reaches to the symbol after it. */
export interface LinuxSymbol extends NamedPlace {
  /** Whether the symbol is a function or another place in code. */
  readonly isCode: boolean
}

const TOKENS = 256
/** Names between two markers. */
const MARKED = 256
const DIGITS = new TextEncoder().encode([...'0123456789'].map((digit) => `${digit}\0`).join(''))
const ZERO = 0x30
const FEWEST_SYMBOLS = 1000
const MOST_SYMBOLS = 2_000_000
/** Bytes of names and markers. */
const MOST_NAME_BYTES = 32 << 20
/** Bytes of tokens and their index, on either side of '0'. */
const MOST_TOKEN_BYTES = 128 << 10
/** Most bytes of the addresses and their base. */
const MOST_ADDRESS_BYTES = 4 * MOST_SYMBOLS + 64
/** Bytes searched at once. */
const SEARCHED_BYTES = 1 << 20
const PAGE_BYTES = 4096
const NOTHING = new Uint8Array()
/** Type letters of code. */
const CODE_TYPES = 'tTwW'

/** Places of the tables, as offsets in the searched memory. */
interface Tokens {
  readonly start: number
  readonly end: number
  readonly texts: readonly string[]
}

/** A machine word and the alignment of the tables: 8 or 4 bytes. */
type Word = 4 | 8

const aligned = (at: number, to: Word): number => Math.ceil(at / to) * to

/** Returns the symbols of a running Linux kernel from its memory; empty if no kernel is found. */
export const linuxSymbols = (machine: LinuxMemory): LinuxSymbol[] => readKallsyms(ramOf(machine))

/**
 * Finds the kernel's symbols in guest RAM.
 *
 * @returns empty if no table is found
 */
export function readKallsyms(ram: GuestRam): LinuxSymbol[] {
  for (const { from, bytes } of ram.stretches) {
    for (let at = 0; at < bytes; at += SEARCHED_BYTES) {
      // A sequence that lies across two pieces is in both.
      const piece = ram.read(from + at, Math.min(SEARCHED_BYTES + DIGITS.length, bytes - at)) ?? NOTHING
      for (let zero = piece.indexOf(ZERO); zero >= 0; zero = piece.indexOf(ZERO, zero + 1)) {
        if (!DIGITS.every((byte, i) => piece[zero + i] === byte)) continue
        const symbols = symbolsAround(ram, from, bytes, at + zero)
        if (symbols !== undefined) return symbols
      }
    }
  }
  return []
}

/** Reads the tables around the token '0'. @param zero - from the beginning of a stretch */
function symbolsAround(ram: GuestRam, from: number, bytes: number, zero: number): LinuxSymbol[] | undefined {
  const window = (below: number, above: number): { readonly start: number; readonly piece: Uint8Array } => {
    const start = Math.max(0, zero - below) & -PAGE_BYTES
    return { start, piece: ram.read(from + start, Math.min(bytes, zero + above) - start) ?? NOTHING }
  }
  for (const word of [8, 4] as const) {
    const near = window(MOST_TOKEN_BYTES, MOST_TOKEN_BYTES)
    if (readTokens(near.piece, viewOf(near.piece), zero - near.start, word) === undefined) continue
    const far = window(MOST_NAME_BYTES + MOST_TOKEN_BYTES + MOST_ADDRESS_BYTES, MOST_TOKEN_BYTES + MOST_ADDRESS_BYTES)
    const tokens = readTokens(far.piece, viewOf(far.piece), zero - far.start, word)
    const symbols = tokens && readSymbols(viewOf(far.piece), tokens, word)
    if (symbols !== undefined) return symbols
  }
  return undefined
}

/** @param zero - offset of the token '0' */
function readTokens(ram: Uint8Array, bytes: DataView, zero: number, word: Word): Tokens | undefined {
  const texts: string[] = []
  let end = zero
  const next = (): string | undefined => {
    const from = end
    const to = ram.indexOf(0, from)
    if (to < 0 || to - from > MARKED) return undefined
    end = to + 1
    return String.fromCharCode(...ram.subarray(from, to))
  }
  for (let i = ZERO; i < TOKENS; i++) if (next() === undefined) return undefined
  const index = aligned(end, word)
  if (index + 2 * TOKENS > bytes.byteLength) return undefined
  const start = zero - bytes.getUint16(index + 2 * ZERO, true)
  if (start < 0 || start % word !== 0) return undefined
  end = start
  for (let i = 0; i < TOKENS; i++) {
    if (bytes.getUint16(index + 2 * i, true) !== end - start) return undefined
    const text = next()
    if (text === undefined) return undefined
    texts.push(text)
  }
  return { start, end: index + 2 * TOKENS, texts }
}

function readSymbols(bytes: DataView, tokens: Tokens, word: Word): LinuxSymbol[] | undefined {
  const least = Math.max(0, tokens.start - MOST_NAME_BYTES)
  for (let at = tokens.start - word; at >= least; at -= word) {
    const count = bytes.getUint32(at, true)
    if (count < FEWEST_SYMBOLS || count > MOST_SYMBOLS) continue
    if (word === 8 && bytes.getUint32(at + 4, true) !== 0) continue
    const names = readNames(bytes, at + word, count, tokens, word)
    if (names === undefined) continue
    const before = at - word - aligned(4 * count, word)
    const addresses =
      readAddresses(bytes, before, count, word) ?? readAddresses(bytes, aligned(tokens.end, word), count, word)
    return addresses === undefined ? undefined : placesOf(names, addresses)
  }
  return undefined
}

/** @returns undefined unless markers follow that fit the names */
function readNames(bytes: DataView, start: number, count: number, tokens: Tokens, word: Word): string[] | undefined {
  const names: string[] = []
  const marks: number[] = []
  let at = start
  for (let i = 0; i < count; i++) {
    if (i % MARKED === 0) marks.push(at - start)
    if (at + 1 >= tokens.start) return undefined
    let length = bytes.getUint8(at++)
    if (length >= 0x80) length = (length & 0x7f) | (bytes.getUint8(at++) << 7)
    if (length === 0 || at + length > tokens.start) return undefined
    let name = ''
    for (const to = at + length; at < to; at++) name += tokens.texts[bytes.getUint8(at)]!
    names.push(name)
  }
  const markers = aligned(at, word)
  if (markers + 4 * marks.length > tokens.start) return undefined
  return marks.every((mark, i) => bytes.getUint32(markers + 4 * i, true) === mark) ? names : undefined
}

/** @returns undefined unless they are a table of addresses, in order */
function readAddresses(bytes: DataView, at: number, count: number, word: Word): bigint[] | undefined {
  const baseAt = aligned(at + 4 * count, word)
  if (at < 0 || baseAt + word > bytes.byteLength) return undefined
  const base = word === 8 ? bytes.getBigUint64(baseAt, true) : BigInt(bytes.getUint32(baseAt, true))
  // Kernels are in the upper half of the address space, or above the first GiB.
  if (base < (word === 8 ? 1n << 63n : 1n << 30n)) return undefined
  const offsets = Array.from({ length: count }, (_, i) => bytes.getInt32(at + 4 * i, true))
  const hasPerCpu = word === 8 && offsets.filter((offset) => offset < 0).length > count / 2
  const addresses = offsets.map((offset) => {
    if (hasPerCpu) return offset < 0 ? base - 1n - BigInt(offset) : BigInt(offset)
    return base + BigInt(offset >>> 0)
  })
  return addresses.every((address, i) => i === 0 || addresses[i - 1]! <= address) ? addresses : undefined
}

function placesOf(names: readonly string[], addresses: readonly bigint[]): LinuxSymbol[] {
  const symbols: LinuxSymbol[] = []
  let end = addresses.at(-1)!
  for (let i = names.length - 1; i >= 0; i--) {
    const address = addresses[i]!
    const type = names[i]![0]!
    const above = addresses[i + 1]
    if (above !== undefined && above > address) end = above
    const rank = type === type.toUpperCase() ? 1 : 0
    const isCode = CODE_TYPES.includes(type)
    const mark = offsetMark(address, addresses.at(-1)!)
    symbols.push({ name: names[i]!.slice(1), address, size: end - address, rank, isCode, ...mark })
  }
  return symbols
}
