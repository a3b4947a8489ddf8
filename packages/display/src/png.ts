import { concatenate, crc32 } from '@retrap/basics'

/** The compression of browsers and Node. */
interface CompressionHost {
  readonly CompressionStream: new (format: 'deflate') => {
    readonly writable: { getWriter(): { write(bytes: Uint8Array): Promise<void>; close(): Promise<void> } }
    readonly readable: {
      getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array }> }
    }
  }
}

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
const BITS_PER_SAMPLE = 8
const TRUECOLOUR = 2
/** The difference of each byte from the byte above: repeated rows become zeros. */
const FILTER_UP = 2

/**
 * Encodes a picture as PNG.
 *
 * @param pixels - one word 0x00RRGGBB a pixel, row by row; bits 31:24 are ignored
 *
 * Source: W3C, Portable Network Graphics (PNG) Specification, second edition.
 */
export async function encodePng(width: number, height: number, pixels: Uint32Array): Promise<Uint8Array> {
  const rows = filteredRows(width, height, pixels)
  const header = new Uint8Array(13)
  const view = new DataView(header.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  header[8] = BITS_PER_SAMPLE
  header[9] = TRUECOLOUR
  return concatenate([
    Uint8Array.from(SIGNATURE),
    chunk('IHDR', header),
    chunk('IDAT', await deflate(rows)),
    chunk('IEND', new Uint8Array(0)),
  ])
}

function filteredRows(width: number, height: number, pixels: Uint32Array): Uint8Array {
  const out = new Uint8Array(height * (1 + 3 * width))
  let to = 0
  for (let y = 0; y < height; y++) {
    out[to++] = FILTER_UP
    for (let x = 0; x < width; x++) {
      const at = y * width + x
      const pixel = pixels[at]!
      const above = y === 0 ? 0 : pixels[at - width]!
      out[to++] = (pixel >>> 16) - (above >>> 16)
      out[to++] = (pixel >>> 8) - (above >>> 8)
      out[to++] = pixel - above
    }
  }
  return out
}

/** Makes a zlib stream (RFC 1950), the format of PNG's data chunks. */
async function deflate(bytes: Uint8Array): Promise<Uint8Array> {
  const { CompressionStream } = globalThis as unknown as CompressionHost
  const stream = new CompressionStream('deflate')
  const writer = stream.writable.getWriter()
  const written = writer.write(bytes).then(() => writer.close())
  const reader = stream.readable.getReader()
  const parts: Uint8Array[] = []
  for (;;) {
    const { done, value } = await reader.read()
    if (done || value === undefined) break
    parts.push(value)
  }
  await written
  return concatenate(parts)
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length)
  const view = new DataView(out.buffer)
  view.setUint32(0, data.length)
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i)
  out.set(data, 8)
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)))
  return out
}
