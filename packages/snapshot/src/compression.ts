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

/** The part of Node's zlib used here: synchronous, unlike streams, which take turns of the event loop. */
interface Zlib {
  inflateRawSync(data: Uint8Array, options: { readonly maxOutputLength: number }): Uint8Array
}
const { process } = globalThis as {
  readonly process?: { getBuiltinModule?(name: 'node:zlib'): Zlib | undefined }
}
const zlib = process?.getBuiltinModule?.('node:zlib')
/** Larger data is decompressed asynchronously. */
const MOST_AT_ONCE = 16 << 20

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

/** Bytes of a stored block. */
const BLOCK_BYTES = 0xffff
const BLOCK_HEAD_BYTES = 5

/** Bytes as DEFLATE that is not compressed: stored blocks, which any reader copies (RFC 1951, 3.2.4). */
export function store(bytes: Uint8Array): Uint8Array {
  const count = Math.ceil(bytes.length / BLOCK_BYTES)
  const stored = new Uint8Array(bytes.length + count * BLOCK_HEAD_BYTES)
  const view = new DataView(stored.buffer)
  for (let i = 0, at = 0; i < count; i++) {
    const block = bytes.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
    stored[at] = i === count - 1 ? 1 : 0
    view.setUint16(at + 1, block.length, true)
    view.setUint16(at + 3, ~block.length, true)
    stored.set(block, at + BLOCK_HEAD_BYTES)
    at += BLOCK_HEAD_BYTES + block.length
  }
  return stored
}

/**
 * Decompresses the result of {@link deflate}.
 *
 * @param expected - bytes that it must become: a file cannot make the host hold more
 * @returns undefined for invalid data, or data of another length
 */
export async function inflate(bytes: Uint8Array, expected: number): Promise<Uint8Array | undefined> {
  if (zlib !== undefined && expected <= MOST_AT_ONCE) return inflateAtOnce(zlib, bytes, expected)
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

function inflateAtOnce(host: Zlib, bytes: Uint8Array, expected: number): Uint8Array | undefined {
  try {
    const { buffer, byteOffset, length } = host.inflateRawSync(bytes, { maxOutputLength: expected })
    // Convert to a plain Uint8Array, because a Buffer's methods differ.
    return length === expected ? new Uint8Array(buffer, byteOffset, length) : undefined
  } catch {
    return undefined
  }
}

/** @param most - bytes after which reading ends */
async function pass({ readable, writable }: ByteTransform, bytes: Uint8Array, most: number): Promise<Uint8Array> {
  const writer = writable.getWriter()
  // Write errors appear when the other end is read.
  const written = writer.write(bytes).then(
    () => writer.close(),
    () => undefined,
  )
  written.catch(() => undefined)
  const pieces: Uint8Array[] = []
  let length = 0
  const reader = readable.getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done || value === undefined) break
    pieces.push(value)
    length += value.length
    if (length > most) break
  }
  return concatenate(pieces)
}
