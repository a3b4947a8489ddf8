import { BlockError } from '@retrap/device'
import { ImageError } from '../image.ts'

/** Compression methods of a host. Each may be absent. */
export interface Codec {
  /**
   * Decompresses data without zlib's header until `bytes` are there; what follows in `data` is ignored.
   *
   * @returns what there is, at most `bytes`
   */
  inflate?(data: Uint8Array, bytes: number): Promise<Uint8Array>
  /** The same for zstd. */
  unzstd?(data: Uint8Array, bytes: number): Promise<Uint8Array>
  /** Compresses without zlib's header, with references over at most 4 KiB: other readers of qcow2 allow no more. */
  deflate?(data: Uint8Array): Promise<Uint8Array>
}

/** The part of the Compression Streams standard that is used here. */
interface Streams {
  readonly DecompressionStream?: new (format: 'deflate-raw') => {
    readonly writable: { getWriter(): { write(chunk: Uint8Array): Promise<void>; close(): Promise<void> } }
    readonly readable: {
      getReader(): {
        read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }>
        cancel(): Promise<void>
      }
    }
  }
}

/** The compression that browsers and Node both have. Source: WHATWG, Compression Streams. */
export const STREAMS_CODEC: Codec = {
  async inflate(data, bytes) {
    const { DecompressionStream } = globalThis as Streams
    if (DecompressionStream === undefined) throw new BlockError('ERR_MEDIUM', 'this host cannot decompress')
    const stream = new DecompressionStream('deflate-raw')
    const writer = stream.writable.getWriter()
    // Data that follows is an error to the stream, after it has given everything.
    const written = writer.write(data).then(() => writer.close())
    written.catch(() => {})
    const reader = stream.readable.getReader()
    const into = new Uint8Array(bytes)
    let done = 0
    while (done < bytes) {
      // oxlint-disable-next-line no-await-in-loop -- a stream has an order
      const { value } = await reader.read().catch(() => ({ value: undefined }))
      if (value === undefined) break
      const part = value.subarray(0, bytes - done)
      into.set(part, done)
      done += part.length
    }
    await reader.cancel().catch(() => {})
    return into.subarray(0, done)
  },
}

/** @throws ImageError `ERR_UNSUPPORTED` where the host lacks a method that the image needs */
export function decompressorOf(codec: Codec, type: 'zlib' | 'zstd'): NonNullable<Codec['inflate']> {
  if (type === 'zlib' && codec.inflate !== undefined) return (data, bytes) => codec.inflate!(data, bytes)
  if (type === 'zstd' && codec.unzstd !== undefined) return (data, bytes) => codec.unzstd!(data, bytes)
  throw new ImageError('ERR_UNSUPPORTED', `the qcow2 image is compressed with ${type}, which this host cannot read`)
}
