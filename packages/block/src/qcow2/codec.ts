import { decompress } from '@retrap/basics'
import { BlockError } from '@retrap/device'
import { ImageError } from '../image.ts'

/** Compression methods of a host. Each may be absent. */
export interface Codec {
  /**
   * Decompresses data without zlib's header up to `bytes`; trailing input is ignored.
   *
   * @returns the decompressed bytes, at most `bytes`
   */
  inflate?(data: Uint8Array, bytes: number): Promise<Uint8Array>
  /** Decompresses zstd, like `inflate`. */
  unzstd?(data: Uint8Array, bytes: number): Promise<Uint8Array>
  /** Compresses without zlib's header, with references over at most 4 KiB: other readers of qcow2 allow no more. */
  deflate?(data: Uint8Array): Promise<Uint8Array>
}

/** The compression that browsers and Node both have. Source: WHATWG, Compression Streams. */
export const STREAMS_CODEC: Codec = {
  async inflate(data, bytes) {
    const found = await decompress('deflate-raw', data, bytes)
    if (found === undefined) throw new BlockError('ERR_MEDIUM', 'this host cannot decompress')
    return found
  },
}

/** @throws ImageError `ERR_UNSUPPORTED` where the host lacks a method that the image needs */
export function decompressorOf(codec: Codec, type: 'zlib' | 'zstd'): NonNullable<Codec['inflate']> {
  if (type === 'zlib' && codec.inflate !== undefined) return (data, bytes) => codec.inflate!(data, bytes)
  if (type === 'zstd' && codec.unzstd !== undefined) return (data, bytes) => codec.unzstd!(data, bytes)
  throw new ImageError('ERR_UNSUPPORTED', `the qcow2 image is compressed with ${type}, which this host cannot read`)
}
