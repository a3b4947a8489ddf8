import * as zlib from 'node:zlib'
import type { Codec } from '../index.ts'

/** Other readers of qcow2 keep this much: 2^12 bytes. */
const WINDOW_BITS = 12

/** The compression of Node: Zstandard from Node 22.15 on. */
export const NODE_CODEC: Codec = {
  inflate: (data, bytes) => collect(zlib.createInflateRaw(), data, bytes),
  ...(typeof zlib.createZstdDecompress === 'function' && {
    unzstd: (data: Uint8Array, bytes: number) => collect(zlib.createZstdDecompress(), data, bytes),
  }),
  deflate: (data) =>
    new Promise((resolve, reject) => {
      zlib.deflateRaw(data, { windowBits: WINDOW_BITS }, (error, result) => {
        if (error === null) resolve(result)
        else reject(error)
      })
    }),
}

/** A zlib stream, as far as used here. */
interface Transform {
  on(event: 'data', listener: (chunk: Uint8Array) => void): unknown
  on(event: 'error' | 'end', listener: () => void): unknown
  end(data: Uint8Array): unknown
  destroy(): unknown
}

/** Decompresses until enough bytes are available. Later errors concern trailing bytes, and are ignored. */
function collect(stream: Transform, data: Uint8Array, bytes: number): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const into = new Uint8Array(bytes)
    let done = 0
    const finish = (): void => {
      resolve(into.subarray(0, done))
      stream.destroy()
    }
    stream.on('error', finish)
    stream.on('end', finish)
    stream.on('data', (chunk) => {
      const part = chunk.subarray(0, bytes - done)
      into.set(part, done)
      done += part.length
      if (done === bytes) finish()
    })
    stream.end(data)
  })
}
