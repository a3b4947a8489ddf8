/** Hexadecimal digits for a listing, which consists mostly of them. `toString(16)` takes several times as long. */

import type { TextBuffer } from './text-buffer.ts'

/** A page of addresses, within which the last three digits alone change. */
const PAGE_SHIFT = 12
const PAGE_DIGITS = 3
const PAGE_MASK = 0xfff

/** The digits of offsets, computed on first use. */
const offsets: string[] = []

/** Three digits. */
function pageOffset(offset: number): string {
  return (offsets[offset] ??= offset.toString(16).padStart(PAGE_DIGITS, '0'))
}

const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER)
const PAGE_BYTES = 1 << PAGE_SHIFT

/** All digits of an address, without zeros before them. */
export function hexOf(address: bigint): string {
  if (address > MAX_EXACT) return address.toString(16)
  let rest = Number(address)
  let text = ''
  for (; rest >= PAGE_BYTES; rest = Math.floor(rest / PAGE_BYTES)) text = pageOffset(rest % PAGE_BYTES) + text
  return rest.toString(16) + text
}

/** Eight digits. */
export function hexOfWord(word: number): string {
  return pageOffset(word >>> 20) + pageOffset((word >>> 8) & PAGE_MASK) + pageOffset(word & 0xff).slice(1)
}

/** The addresses at the start of a listing's lines, with an equal number of digits. */
export class AddressColumn {
  readonly #base: bigint
  readonly #digits: number
  readonly #inFirstPage: number
  #page: number
  #digitsOfPage: string

  /**
   * @param base - the address of offset 0
   * @param last - no address has more digits
   */
  constructor(base: bigint, last: bigint) {
    this.#base = base
    this.#digits = Math.max(4, last.toString(16).length)
    this.#inFirstPage = Number(base & BigInt(PAGE_MASK))
    this.#page = -1
    this.#digitsOfPage = ''
  }

  /** The digits of an offset's address. */
  text(at: number): string {
    return this.#pageText(at) + pageOffset((this.#inFirstPage + at) & PAGE_MASK)
  }

  /** Adds the digits of an offset's address to a text. */
  write(out: TextBuffer, at: number): void {
    out.write(this.#pageText(at))
    out.writeOffset((this.#inFirstPage + at) & PAGE_MASK)
  }

  /** Returns the leading digits of an offset's address, without its last three digits. */
  #pageText(at: number): string {
    const page = (this.#inFirstPage + at) >>> PAGE_SHIFT
    if (page !== this.#page) {
      this.#page = page
      const first = (this.#base + BigInt(at)) >> BigInt(PAGE_SHIFT)
      this.#digitsOfPage = first.toString(16).padStart(this.#digits - PAGE_DIGITS, '0')
    }
    return this.#digitsOfPage
  }
}
