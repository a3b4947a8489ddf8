/**
 * Headers of tar archives. Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
 * "Basic Tar Format"; libarchive, tar(5).
 */
import { OciError } from './errors.ts'

/** Bytes of a header; contents are padded to a multiple of it. */
export const BLOCK = 512

/** Places and lengths of a header's fields. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  sum: [148, 8],
  link: [157, 100],
  magic: [257, 6],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const

type Field = keyof typeof FIELDS

const KIND_AT = 156
const SPACE = 0x20
/** The first byte of a number that is binary, not octal (GNU tar manual, "Basic Tar Format"). */
const BINARY = 0x80

const decoder = new TextDecoder()

/** A tar header, parsed in place. */
export class TarHeader {
  readonly #block: Uint8Array
  readonly #file: string
  readonly #at: number

  /** @throws OciError `ERR_DAMAGED` where the sum is wrong */
  constructor(block: Uint8Array, file: string, at: number) {
    this.#block = block
    this.#file = file
    this.#at = at
    const sum = this.number('sum')
    let [unsigned, signed] = [0, 0]
    const [from, length] = FIELDS.sum
    for (let i = 0; i < BLOCK; i++) {
      const byte = i >= from && i < from + length ? SPACE : block[i]!
      unsigned += byte
      signed += (byte << 24) >> 24
    }
    // Some old programs took bytes as signed ones.
    if (sum !== unsigned && sum !== signed) throw this.damaged('the sum of a header is wrong; it is no tar archive')
  }

  /** The kind of the entry: a character. */
  get kind(): string {
    return String.fromCharCode(this.#block[KIND_AT]!)
  }

  /** Name of the entry; in POSIX's format with the prefix that stands apart. */
  get name(): string {
    const name = this.text('name')
    // GNU tar has times in this field, under another magic.
    const prefix = this.text('magic') === 'ustar' ? this.text('prefix') : ''
    return prefix === '' ? name : `${prefix}/${name}`
  }

  /** A text that ends with a zero or with its field. */
  text(field: Field): string {
    const [from, length] = FIELDS[field]
    return textOf(this.#block.subarray(from, from + length))
  }

  /** A number: octal digits, or binary behind a mark. @throws OciError `ERR_DAMAGED` */
  number(field: Field): number {
    const [from, length] = FIELDS[field]
    const first = this.#block[from]!
    if ((first & BINARY) !== 0) return this.#binary(field, first)
    let value = 0
    let at = from
    const end = from + length
    while (at < end && this.#block[at] === SPACE) at++
    for (; at < end; at++) {
      const byte = this.#block[at]!
      if (byte === 0 || byte === SPACE) break
      const digit = byte - 0x30
      if (digit < 0 || digit > 7) throw this.damaged(`the ${field} of a header is no number`)
      value = value * 8 + digit
    }
    return value
  }

  #binary(field: Field, first: number): number {
    const [from, length] = FIELDS[field]
    // Two's complement, without the mark.
    let value = (first & 0x40) === 0 ? first & 0x3f : (first & 0x7f) - 0x80
    for (let at = from + 1; at < from + length; at++) value = value * 256 + this.#block[at]!
    if (!Number.isSafeInteger(value)) throw this.damaged(`the ${field} of a header is too large`)
    return value
  }

  /** A mistake of this header. */
  damaged(reason: string): OciError {
    return new OciError('ERR_DAMAGED', this.#file, `${reason}, at byte ${this.#at}`)
  }
}

/** The text in front of the first zero. */
export function textOf(bytes: Uint8Array): string {
  const zero = bytes.indexOf(0)
  return decoder.decode(zero < 0 ? bytes : bytes.subarray(0, zero))
}

/**
 * The records of a pax header: `LENGTH KEY=VALUE`, with a newline at the end.
 *
 * @returns undefined for damaged records
 */
export function paxRecords(bytes: Uint8Array): ReadonlyMap<string, string> | undefined {
  const records = new Map<string, string>()
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(SPACE, at)
    const digits = space < 0 || space - at > 9 ? '' : decoder.decode(bytes.subarray(at, space))
    const end = at + Number(digits)
    if (!/^\d+$/.test(digits) || end > bytes.length || end <= space + 1 || bytes[end - 1] !== 0x0a) return undefined
    const text = decoder.decode(bytes.subarray(space + 1, end - 1))
    const equals = text.indexOf('=')
    if (equals < 1) return undefined
    records.set(text.slice(0, equals), text.slice(equals + 1))
    at = end
  }
  return records
}
