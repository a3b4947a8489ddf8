import { concatenate } from '@retrap/basics'
import {
  BLOCK_BYTES,
  type CodecExports,
  codecModule,
  HASH,
  KEY_WORDS,
  KEYS,
  MEMORY_PAGES,
  OPEN,
  PACKED,
  PLAIN,
} from './codec-module.ts'

export { BLOCK_BYTES }

/** The top bit of a block's length marks uncompressed bytes. */
const AS_IT_WAS = 0x8000_0000
/** A block becomes no more than this many times its compressed bytes. */
const MOST_RATIO = 256
const LENGTH_BYTES = 4

/** Globals that the common type declarations of pages, Workers and Node lack. */
interface RandomHost {
  readonly crypto: { getRandomValues(into: Uint32Array): void }
}

let compiled: WebAssembly.Module | undefined

/**
 * Compresses bytes in independent blocks of 64 KiB, each after a word with its length. Hashes pages with secret keys: two
 * pages collide with a probability of 2^-64, whatever a guest writes.
 */
export class Codec {
  /** Room for bytes that are to be compressed as a block; `compress` overwrites it. */
  readonly open: Uint8Array
  readonly #u8: Uint8Array
  readonly #hash: Uint32Array
  readonly #exports: CodecExports

  constructor() {
    compiled ??= new WebAssembly.Module(codecModule() as Uint8Array<ArrayBuffer>)
    const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES })
    const { exports } = new WebAssembly.Instance(compiled, { codec: { memory } })
    this.#exports = exports as unknown as CodecExports
    this.#u8 = new Uint8Array(memory.buffer)
    this.open = this.#u8.subarray(OPEN, OPEN + BLOCK_BYTES)
    this.#hash = new Uint32Array(memory.buffer, HASH, 4)
    const { crypto } = globalThis as unknown as RandomHost
    crypto.getRandomValues(new Uint32Array(memory.buffer, KEYS, KEY_WORDS))
  }

  /** Hashes a page of the open block. @returns four words, which the next call overwrites */
  hash(offset: number): Uint32Array {
    this.#exports.hash(OPEN + offset)
    return this.#hash
  }

  /** Compresses the first bytes of the open block. */
  compressOpen(bytes: number): Uint8Array {
    const length = this.#exports.compress(bytes)
    const isLess = length < bytes
    const found = new Uint8Array(LENGTH_BYTES + (isLess ? length : bytes))
    new DataView(found.buffer).setUint32(0, isLess ? length : (bytes | AS_IT_WAS) >>> 0, true)
    const from = isLess ? PACKED : OPEN
    found.set(this.#u8.subarray(from, from + found.length - LENGTH_BYTES), LENGTH_BYTES)
    return found
  }

  compress(bytes: Uint8Array): Uint8Array {
    const blocks: Uint8Array[] = []
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const block = bytes.subarray(at, at + BLOCK_BYTES)
      this.#u8.set(block, OPEN)
      blocks.push(this.compressOpen(block.length))
    }
    if (blocks.length === 1) return blocks[0]!
    return concatenate(blocks)
  }

  /** Decompresses bytes. @returns undefined for invalid data, or data of another length */
  decompress(packed: Uint8Array, bytes: number): Uint8Array | undefined {
    if (bytes > packed.length * MOST_RATIO) return undefined
    const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
    const all = new Uint8Array(bytes)
    let from = 0
    for (let at = 0; at < bytes; at += BLOCK_BYTES) {
      const expected = Math.min(BLOCK_BYTES, bytes - at)
      if (from + LENGTH_BYTES > packed.length) return undefined
      const word = view.getUint32(from, true)
      const [isPlain, length] = [word >= AS_IT_WAS, word % AS_IT_WAS]
      from += LENGTH_BYTES
      if (length > expected || from + length > packed.length || (isPlain && length !== expected)) return undefined
      const block = packed.subarray(from, from + length)
      from += length
      if (isPlain) {
        all.set(block, at)
        continue
      }
      this.#u8.set(block, PACKED)
      if (this.#exports.decompress(length, expected) === 0) return undefined
      all.set(this.#u8.subarray(PLAIN, PLAIN + expected), at)
    }
    return from === packed.length ? all : undefined
  }
}
