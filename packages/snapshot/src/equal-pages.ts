import { crc32 as sum } from '@retrap/basics'

/** Bytes of a page in a file: the smallest page of a guest. */
export const PAGE_BYTES = 4096
const WORDS = PAGE_BYTES / 4

/** The pages of a snapshot, with each content once. */
interface DistinctPages {
  /** Number of each page's content. */
  readonly contents: Uint32Array
  /** The first page of each distinct content. */
  readonly firsts: readonly number[]
}

/** Finds pages of equal contents. @param bytes - whole pages */
export function distinctPages(bytes: Uint8Array): DistinctPages {
  const count = bytes.length / PAGE_BYTES
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  const words = new Int32Array(aligned.buffer, aligned.byteOffset, count * WORDS)
  const contents = new Uint32Array(count)
  const firsts: number[] = []
  /** Distinct contents by hash. */
  const known = new Map<number, number[]>()
  for (let page = 0; page < count; page++) {
    const hash = hashOf(words, page * WORDS)
    const candidates = known.get(hash)
    const same = candidates?.find((content) => isEqual(words, firsts[content]! * WORDS, page * WORDS))
    if (same !== undefined) {
      contents[page] = same
      continue
    }
    contents[page] = firsts.length
    if (candidates === undefined) known.set(hash, [firsts.length])
    else candidates.push(firsts.length)
    firsts.push(page)
  }
  return { contents, firsts }
}

/** A page of one hash that differs costs a comparison: a guest that makes many gains nothing but its own time. */
function hashOf(words: Int32Array, at: number): number {
  let a = 0x9e37_79b1 | 0
  let b = 0x85eb_ca6b | 0
  for (let i = at; i < at + WORDS; i += 2) {
    a = Math.imul(a ^ words[i]!, 0x01b8_73d9)
    a ^= a >>> 15
    b = Math.imul(b ^ words[i + 1]!, 0x2c1b_3c6d)
    b ^= b >>> 13
  }
  return (a >>> 0) * 0x20_0000 + ((b >>> 0) & 0x1f_ffff)
}

function isEqual(words: Int32Array, one: number, other: number): boolean {
  for (let i = 0; i < WORDS; i++) if (words[one + i] !== words[other + i]) return false
  return true
}

/** CRC-32 as zlib and PNG have it. */
export function crc32(bytes: Uint8Array): number {
  return sum(bytes)
}
