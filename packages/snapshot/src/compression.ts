import { concatenate } from '@retrap/basics'
import { SnapshotError } from './errors.ts'

/** A stream that changes bytes, as browsers, Workers and Node have them. */
interface ByteTransform {
  readonly readable: AsyncIterable<Uint8Array> & {
    getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }> }
  }
  readonly writable: {
    getWriter(): { write(bytes: Uint8Array): Promise<void>; close(): Promise<void> }
  }
}

/** Streams that are missing from the common type declarations. */
interface Streams {
  readonly CompressionStream?: new (format: 'deflate-raw') => ByteTransform
  readonly DecompressionStream?: new (format: 'deflate-raw') => ByteTransform
}

/** Compresses bytes by DEFLATE (RFC 1951), as pages and Node both can. */
export async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const { CompressionStream } = globalThis as Streams
  if (CompressionStream === undefined)
    throw new SnapshotError('ERR_HOST', 'this host cannot compress: it has no CompressionStream')
  return pass(new CompressionStream('deflate-raw'), bytes, Infinity)
}

/**
 * Decompresses what {@link deflate} has made.
 *
 * @param expected - bytes that it must become: a file cannot make the host hold more
 * @returns undefined where it does not become this many, or is not valid
 */
export async function inflate(bytes: Uint8Array, expected: number): Promise<Uint8Array | undefined> {
  const { DecompressionStream } = globalThis as Streams
  if (DecompressionStream === undefined)
    throw new SnapshotError('ERR_HOST', 'this host cannot decompress: it has no DecompressionStream')
  try {
    const found = await pass(new DecompressionStream('deflate-raw'), bytes, expected)
    return found.length === expected ? found : undefined
  } catch (error) {
    if (error instanceof SnapshotError) throw error
    return undefined
  }
}

/** @param most - bytes after which reading ends */
async function pass({ readable, writable }: ByteTransform, bytes: Uint8Array, most: number): Promise<Uint8Array> {
  const writer = writable.getWriter()
  // An error of the write shows when the other end is read.
  const written = writer.write(bytes).then(
    () => writer.close(),
    () => undefined,
  )
  written.catch(() => undefined)
  const pieces: Uint8Array[] = []
  let length = 0
  const reader = readable.getReader()
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- piece by piece
    const { done, value } = await reader.read()
    if (done || value === undefined) break
    pieces.push(value)
    length += value.length
    if (length > most) break
  }
  return concatenate(pieces)
}
