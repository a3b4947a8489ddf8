/** Compressed blocks: those of the format's own program, and bytes that nobody has compressed. */
import { execFileSync } from 'node:child_process'
import { numbers } from '@retrap/tooling/random'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { describe, expect, test } from 'vitest'
import { BLOCK_BYTES, Codec } from '../src/codec.ts'

const codec = new Codec()

/** Bytes of which some are those of before: by short and long matches and literals, near and far. */
function sample(seed: number, bytes: number): Uint8Array {
  const below = numbers(seed)
  const found = new Uint8Array(bytes)
  for (let at = 0; at < bytes;) {
    const length = Math.min(bytes - at, below(4) === 0 ? below(2000) : below(40))
    const back = 1 + below(below(2) === 0 ? 12 : 70_000)
    const isMatch = below(3) > 0 && back <= at
    for (const end = at + length; at < end; at++) found[at] = isMatch ? found[at - back]! : below(256)
  }
  return found
}

const SIZES = [0, 1, 4, 5, 11, 12, 13, 16, 17, 255, 4096, 65_535, 65_536, 65_537, 200_000]

describe('bytes', () => {
  test.each(SIZES)('%i are what they were, of any contents', (bytes) => {
    for (let seed = 0; seed < (bytes > 60_000 ? 4 : 20); seed++) {
      const contents = sample(seed, bytes)
      const packed = codec.compress(contents)
      expect(packed.length).toBeLessThanOrEqual(bytes + 4 * Math.ceil(bytes / BLOCK_BYTES))
      expect(Buffer.compare(codec.decompress(packed, bytes)!, contents)).toBe(0)
      if (bytes > 0) expect(codec.decompress(packed, bytes - 1)).toBeUndefined()
      expect(codec.decompress(packed, bytes + 1)).toBeUndefined()
    }
    const zeros = new Uint8Array(bytes)
    expect(Buffer.compare(codec.decompress(codec.compress(zeros), bytes)!, zeros)).toBe(0)
  })

  test('of a kind become a small part', () => {
    expect(codec.compress(new Uint8Array(65_536)).length).toBeLessThan(300)
    const text = new TextEncoder().encode('the same words, again and again: '.repeat(1000))
    expect(codec.compress(text).length).toBeLessThan(300)
  })
})

/** The legacy frame: the magic number, then blocks, each with its length in front. */
const frame = (block: Uint8Array): Uint8Array => Uint8Array.of(0x02, 0x21, 0x4c, 0x18, ...block)

describe(`blocks and the program lz4${skipNote(hasProgram('lz4'), 'lz4 is not installed')}`, () => {
  const options = { maxBuffer: 1 << 24, stdio: ['pipe', 'pipe', 'ignore'] as ['pipe', 'pipe', 'ignore'] }

  test.skipIf(!hasProgram('lz4'))('it decompresses ours', () => {
    for (const [seed, bytes] of [64, 1000, 4096, 30_000, 65_536].entries()) {
      const contents = sample(seed, bytes).map((byte) => byte & 15)
      const packed = codec.compress(contents)
      expect(packed[3]! & 0x80).toBe(0)
      const found = execFileSync('lz4', ['-d', '-c'], { ...options, input: frame(packed) })
      expect(new Uint8Array(found)).toEqual(contents)
    }
  })

  test.skipIf(!hasProgram('lz4'))('we decompress its own, of any level', () => {
    for (const level of [1, 9, 12])
      for (const [seed, bytes] of [64, 4096, 65_536].entries()) {
        const contents = sample(seed, bytes).map((byte) => byte & 15)
        const packed = execFileSync('lz4', [`-${level}`, '-l', '-c'], { ...options, input: contents })
        expect(codec.decompress(new Uint8Array(packed.subarray(4)), bytes)).toEqual(contents)
      }
  })
})

describe('bytes that nobody has compressed', () => {
  const block = (...bytes: number[]): Uint8Array => Uint8Array.of(bytes.length, 0, 0, 0, ...bytes)

  test.each<[string, Uint8Array, number]>([
    ['nothing', new Uint8Array(), 1],
    ['no length', Uint8Array.of(1, 0), 1],
    ['a length beyond the end', Uint8Array.of(5, 0, 0, 0, 0x10, 1), 1],
    ['an empty block', block(), 1],
    ['literals beyond the end', block(0x20, 1), 2],
    ['a length without an end', block(0xf0, 255, 255), 600],
    ['half a distance', block(0x10, 1, 1), 5],
    ['a distance of none', block(0x10, 1, 0, 0, 0x50, 1, 2, 3, 4, 5), 10],
    ['a match from before the block', block(0x10, 1, 2, 0, 0x50, 1, 2, 3, 4, 5), 10],
    ['a match beyond what it becomes', block(0x1f, 1, 1, 0, 200, 0x50, 1, 2, 3, 4, 5), 30],
    ['a plain block of another length', Uint8Array.of(1, 0, 0, 0x80, 7), 2],
    ['something behind its end', Uint8Array.of(2, 0, 0, 0, 0x10, 1, 9), 1],
    ['more than any bytes become', block(0x10, 1), 2 ** 30],
  ])('%s is refused', (_what, packed, bytes) => {
    expect(codec.decompress(packed, bytes)).toBeUndefined()
  })

  test('become what they say, or are refused', () => {
    const below = numbers(7)
    let refused = 0
    for (let i = 0; i < 2000; i++) {
      const contents = sample(i, 300)
      const packed = codec.compress(contents.map((byte) => byte & 3))
      packed[4 + below(packed.length - 4)]! ^= 1 << below(8)
      const found = codec.decompress(packed, 300)
      if (found === undefined) refused++
      else expect(found.length).toBe(300)
    }
    expect(refused).toBeGreaterThan(100)
    // The same codec goes on.
    expect(codec.decompress(codec.compress(sample(1, 5000)), 5000)).toEqual(sample(1, 5000))
  })
})

describe('hashes of pages', () => {
  const hash = (page: Uint8Array, with_ = codec): string => {
    with_.open.set(page, 8192)
    return with_.hash(8192).join(' ')
  }

  test('differ where any bit does', () => {
    const page = sample(3, 4096)
    const known = new Set([hash(page)])
    for (let at = 0; at < 4096; at += 7)
      for (const bit of [0, 7]) {
        const other = page.slice()
        other[at]! ^= 1 << bit
        known.add(hash(other))
      }
    expect(known.size).toBe(1 + 2 * Math.ceil(4096 / 7))
    expect(hash(page)).toBe(hash(page.slice()))
    // Each codec has random keys: no guest can work out two pages with the same hash.
    expect(hash(page, new Codec())).not.toBe(hash(page))
  })

  test('have keys of their own: words change places, and the hash does not stay', () => {
    const page = sample(4, 4096)
    const words = new Uint32Array(page.slice().buffer)
    const swapped = words.slice()
    ;[swapped[2], swapped[3]] = [words[3]!, words[2]!]
    expect(hash(new Uint8Array(swapped.buffer))).not.toBe(hash(page))
    ;[swapped[2], swapped[3], swapped[0], swapped[1]] = [words[0]!, words[1]!, words[2]!, words[3]!]
    expect(hash(new Uint8Array(swapped.buffer))).not.toBe(hash(page))
  })
})
