import type { DisplayRectangle } from '@retrap/device'
import { ByteWriter } from './byte-writer.ts'
import { type Picture, pixelAt } from './encodings.ts'
import { pixelConverter, type PixelLayout } from './pixel-format.ts'

/** A rectangle of the Tight encoding, with data for one of its zlib streams. */
export interface TightRectangle {
  /** The bytes before the data. */
  readonly head: Uint8Array
  /** The bytes, compressed unless they are few; empty for a single colour. */
  readonly data: Uint8Array
  /** The zlib stream for `data`: one for each kind of data, as similar data compresses best together. */
  readonly stream: number
}

/** Bytes from which on data is compressed; shorter data is sent as it is, without a length. */
export const LEAST_COMPRESSED = 12

const FILL = 0x80
const FILTERED = 0x40
const STREAM_SHIFT = 4
const PALETTE_FILTER = 1
const MOST_COLOURS = 256
const [PIXELS, TWO_COLOURS, INDICES] = [0, 1, 2] as const

/**
 * Writes rectangles of a picture by the encoding Tight: a single colour, indices of a palette, or pixels. It uses no JPEG
 * and no gradients, so that every pixel arrives as it is.
 *
 * Source: rfbproto, "Tight Encoding".
 */
export class TightEncoder {
  readonly #layout: PixelLayout
  readonly #convert: (pixel: number) => number
  /** Pixels are three bytes: red, green, blue. */
  readonly #short: boolean
  #pixels = new Uint32Array(0)

  constructor(layout: PixelLayout) {
    const { bytes, depth, trueColour, max } = layout
    this.#layout = layout
    this.#short = bytes === 4 && depth === 24 && trueColour && max.every((value) => value === 255)
    this.#convert = this.#short ? (pixel) => pixel & 0xff_ffff : pixelConverter(layout)
  }

  encode(picture: Picture, area: DisplayRectangle): TightRectangle {
    const count = this.#read(picture, area)
    const palette = this.#palette(count)
    const head = new ByteWriter()
    if (palette === null) {
      const data = new ByteWriter(4 * count)
      for (let i = 0; i < count; i++) this.#pixel(data, this.#pixels[i]!)
      return { head: head.u8(PIXELS << STREAM_SHIFT).take(), data: data.take(), stream: PIXELS }
    }
    if (palette.size === 1) {
      head.u8(FILL)
      this.#pixel(head, this.#pixels[0]!)
      return { head: head.take(), data: new Uint8Array(0), stream: PIXELS }
    }
    const stream = palette.size === 2 ? TWO_COLOURS : INDICES
    head
      .u8(FILTERED | (stream << STREAM_SHIFT))
      .u8(PALETTE_FILTER)
      .u8(palette.size - 1)
    for (const pixel of palette.keys()) this.#pixel(head, pixel)
    const data = stream === TWO_COLOURS ? this.#bits(palette, area.width, count) : this.#indices(palette, count)
    return { head: head.take(), data, stream }
  }

  /** Reads an area in the client's format. @returns how many pixels it has */
  #read(picture: Picture, area: DisplayRectangle): number {
    const size = area.width * area.height
    if (this.#pixels.length < size) this.#pixels = new Uint32Array(size)
    let count = 0
    for (let y = area.y; y < area.y + area.height; y++) {
      for (let x = area.x; x < area.x + area.width; x++) this.#pixels[count++] = this.#convert(pixelAt(picture, x, y))
    }
    return count
  }

  /** Returns the colours with their indices; null if there are too many. */
  #palette(count: number): ReadonlyMap<number, number> | null {
    const palette = new Map<number, number>()
    let before = -1
    for (let i = 0; i < count; i++) {
      const pixel = this.#pixels[i]!
      if (pixel === before) continue
      before = pixel
      if (palette.has(pixel)) continue
      if (palette.size === MOST_COLOURS) return null
      palette.set(pixel, palette.size)
    }
    return palette
  }

  /** Encodes one bit for each pixel; rows begin at byte boundaries. */
  #bits(palette: ReadonlyMap<number, number>, width: number, count: number): Uint8Array {
    const rowBytes = Math.ceil(width / 8)
    const data = new Uint8Array((rowBytes * count) / width)
    for (let i = 0; i < count; i++) {
      const column = i % width
      const at = ((i - column) / width) * rowBytes + (column >> 3)
      if (palette.get(this.#pixels[i]!) === 1) data[at]! |= 0x80 >> (column & 7)
    }
    return data
  }

  #indices(palette: ReadonlyMap<number, number>, count: number): Uint8Array {
    const data = new Uint8Array(count)
    for (let i = 0; i < count; i++) data[i] = palette.get(this.#pixels[i]!)!
    return data
  }

  #pixel(out: ByteWriter, pixel: number): void {
    if (this.#short)
      out
        .u8(pixel >>> 16)
        .u8((pixel >>> 8) & 0xff)
        .u8(pixel & 0xff)
    else out.pixel(pixel, this.#layout.bytes, this.#layout.bigEndian)
  }
}

/** Writes a length of up to 22 bits: seven bits a byte, the lowest first, eight in the third. */
export function compactLength(out: ByteWriter, length: number): ByteWriter {
  if (length < 1 << 7) return out.u8(length)
  out.u8((length & 0x7f) | 0x80)
  if (length < 1 << 14) return out.u8(length >> 7)
  return out.u8(((length >> 7) & 0x7f) | 0x80).u8(length >> 14)
}
