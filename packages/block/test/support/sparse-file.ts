import { createServer, type Server } from 'node:http'

/** Bytes of a word that tells where it is. */
const WORD = 8

/** A file that no disk has room for: each of its words of 8 bytes is its own offset, but for parts that are given. */
export class SparseFile {
  readonly bytes: number
  readonly #parts: readonly (readonly [offset: number, data: Uint8Array])[]

  constructor(bytes: number, ...parts: readonly (readonly [offset: number, data: Uint8Array])[]) {
    this.bytes = bytes
    this.#parts = parts
  }

  /** Returns a range of it, up to and without `end`. */
  read(start: number, end: number): Uint8Array {
    const from = start - (start % WORD)
    const words = new Uint8Array(Math.ceil((end - from) / WORD) * WORD)
    const view = new DataView(words.buffer)
    for (let at = 0; at < words.length; at += WORD) view.setBigUint64(at, BigInt(from + at), true)
    for (const [offset, data] of this.#parts) {
      const [first, last] = [Math.max(offset, from), Math.min(offset + data.length, from + words.length)]
      if (first < last) words.set(data.subarray(first - offset, last - offset), first - from)
    }
    return words.subarray(start - from, end - from)
  }
}

/** Serves such files by ranges, and nothing else. */
export const serveSparse = (files: ReadonlyMap<string, SparseFile>): Server =>
  createServer(({ url = '', headers }, response) => {
    const file = files.get(url)
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
    if (file === undefined || first === undefined) return void response.writeHead(404).end()
    const end = Math.min(Number(last) + 1, file.bytes)
    response.writeHead(206, { 'content-range': `bytes ${first}-${end - 1}/${file.bytes}`, etag: '"one"' })
    response.end(file.read(Number(first), end))
  })
