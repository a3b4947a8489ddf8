import { PAGE_BYTES } from '@retrap/snapshot'
import { Codec } from './codec.ts'

/** A run of bytes in the stream of contents: where it begins, and how long it is. */
export type Run = readonly [at: number, bytes: number]

/** Least bytes of a piece; a piece has at most a page. */
const LEAST_PIECE_BYTES = 256
/** A piece ends where this many bits are 0: after 1 KiB, about. */
const END_BITS = 10

/** A number for each byte, with bits that look random: the finalizer of MurmurHash3. */
const MIXED = Uint32Array.from({ length: 256 }, (_, byte) => {
  let x = byte + 1
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35)
  return x ^ (x >>> 16)
})

/**
 * Cuts bytes into pieces. Each end follows from the 32 bytes before it, so that equal bytes have equal pieces, whatever is in front
 * of them.
 */
export function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  let begin = 0
  let mixed = 0
  for (let at = 0; at < bytes.length; at++) {
    mixed = ((mixed << 1) + MIXED[bytes[at]!]!) | 0
    const length = at + 1 - begin
    const isEnd = length >= LEAST_PIECE_BYTES && mixed >>> (32 - END_BITS) === 0
    if (!isEnd && length < PAGE_BYTES) continue
    yield bytes.subarray(begin, at + 1)
    begin = at + 1
  }
  if (begin < bytes.length) yield bytes.subarray(begin)
}

/** Cuts bytes into pages. */
export function* pagesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) yield bytes.subarray(at, at + PAGE_BYTES)
}

/** Finds pieces that are in the stream of contents. */
export class ContentPlaces {
  readonly #codec = new Codec()
  /** Places by hash and length. */
  readonly #known = new Map<string, number>()

  /**
   * Looks a piece up, and remembers it.
   *
   * @param piece - at most a page of bytes
   * @param at - place of the piece if it is new
   * @returns its place
   */
  place(piece: Uint8Array, at: number): number {
    const { open } = this.#codec
    open.fill(0, piece.length, PAGE_BYTES)
    open.set(piece)
    const key = `${piece.length} ${this.#codec.hash(0).join(' ')}`
    const known = this.#known.get(key)
    if (known === undefined) this.#known.set(key, at)
    return known ?? at
  }
}
