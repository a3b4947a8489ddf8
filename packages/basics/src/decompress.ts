import { concatenate } from './bytes.ts'

/** The part of the Compression Streams standard used here, which browsers and Node share. */
interface Streams {
  readonly DecompressionStream?: new (format: CompressedFormat) => {
    readonly writable: { getWriter(): { write(chunk: Uint8Array): Promise<void>; close(): Promise<void> } }
    readonly readable: {
      getReader(): {
        read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }>
        cancel(): Promise<void>
      }
    }
  }
}

/** Compressed with gzip's header, with zlib's, or without any. */
export type CompressedFormat = 'gzip' | 'deflate' | 'deflate-raw'

/**
 * Decompresses data by functions that browsers and Node share. Source: WHATWG, Compression Streams.
 *
 * @param most - bytes wanted; later ones are ignored
 * @returns the bytes before an error in the data; undefined: this host cannot decompress
 */
export async function decompress(
  format: CompressedFormat,
  data: Uint8Array,
  most: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { DecompressionStream } = globalThis as Streams
  if (DecompressionStream === undefined) return undefined
  const stream = new DecompressionStream(format)
  const writer = stream.writable.getWriter()
  // Bytes that follow the data are an error to the stream, after it has given everything.
  const written = writer.write(data).then(() => writer.close())
  written.catch(() => {})
  const reader = stream.readable.getReader()
  const parts: Uint8Array[] = []
  let done = 0
  while (done < most) {
    const { value } = await reader.read().catch(() => ({ value: undefined }))
    if (value === undefined) break
    const part = value.subarray(0, most - done)
    parts.push(part)
    done += part.length
  }
  await reader.cancel().catch(() => {})
  return concatenate(parts)
}
