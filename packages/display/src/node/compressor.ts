import { constants, createDeflate } from 'node:zlib'
import type { Compressor } from '../vnc/update-sender.ts'

/** A screen is redrawn many times a second: speed matters more than the last per cent. */
const LEVEL = 3

/** Makes a zlib stream that continues across calls, on Node's thread pool. */
export function zlibCompressor(): Compressor {
  const deflate = createDeflate({ level: LEVEL })
  let parts: Buffer[] = []
  let fail: (error: Error) => void = () => {}
  deflate.on('data', (part: Buffer) => parts.push(part))
  deflate.on('error', (error) => fail(error))
  return {
    compress(bytes) {
      return new Promise((resolve, reject) => {
        fail = reject
        deflate.write(bytes)
        deflate.flush(constants.Z_SYNC_FLUSH, () => {
          const all = Buffer.concat(parts)
          parts = []
          resolve(all)
        })
      })
    },
    close: () => deflate.close(),
  }
}
