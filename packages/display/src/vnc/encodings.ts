import type { DisplayRectangle } from '@retrap/device'
import type { ByteWriter } from './byte-writer.ts'
import { compactBytes, pixelConverter, type PixelLayout } from './pixel-format.ts'

/** Pixels of a picture, one word 0x00RRGGBB each; pixels outside are black. */
export interface Picture {
  readonly width: number
  readonly height: number
  readonly pixels: Uint32Array
}

const TILE = 64
const MOST_PACKED = 16
const MOST_PALETTE = 127
const RAW = 0
const SOLID = 1
const RUNS = 128

/** Writes rectangles of a picture in one pixel format. */
export class RectangleEncoder {
  readonly #layout: PixelLayout
  readonly #convert: (pixel: number) => number
  readonly #compact: { readonly first: number; readonly count: number }
  readonly #tile = new Uint32Array(TILE * TILE)

  constructor(layout: PixelLayout) {
    this.#layout = layout
    this.#convert = pixelConverter(layout)
    this.#compact = compactBytes(layout)
  }

  /** RFC 6143, section 7.7.1, "Raw Encoding". */
  raw(out: ByteWriter, picture: Picture, area: DisplayRectangle): void {
    const { bytes, bigEndian } = this.#layout
    for (let y = area.y; y < area.y + area.height; y++) {
      for (let x = area.x; x < area.x + area.width; x++) {
        out.pixel(this.#convert(pixelAt(picture, x, y)), bytes, bigEndian)
      }
    }
  }

  /** RFC 6143, section 7.7.6, "ZRLE", before it is compressed. */
  zrle(out: ByteWriter, picture: Picture, area: DisplayRectangle): void {
    for (let y = area.y; y < area.y + area.height; y += TILE) {
      for (let x = area.x; x < area.x + area.width; x += TILE) {
        const width = Math.min(TILE, area.x + area.width - x)
        const height = Math.min(TILE, area.y + area.height - y)
        let count = 0
        for (let row = y; row < y + height; row++) {
          for (let column = x; column < x + width; column++) {
            this.#tile[count++] = this.#convert(pixelAt(picture, column, row))
          }
        }
        this.#writeTile(out, width, count)
      }
    }
  }

  #pixel(out: ByteWriter, pixel: number): void {
    const { bytes, bigEndian } = this.#layout
    out.pixel(pixel, bytes, bigEndian, this.#compact.first, this.#compact.count)
  }

  #writeTile(out: ByteWriter, width: number, count: number): void {
    const tile = this.#tile
    const palette = new Map<number, number>()
    let runs = 0
    for (let i = 0; i < count; i++) {
      const pixel = tile[i]!
      if (i > 0 && pixel === tile[i - 1]) continue
      runs++
      if (palette.size <= MOST_PALETTE && !palette.has(pixel)) palette.set(pixel, palette.size)
    }
    if (palette.size === 1) {
      out.u8(SOLID)
      this.#pixel(out, tile[0]!)
      return
    }
    const size = this.#compact.count
    // A run in a palette takes two bytes mostly; one of a single pixel takes one.
    const indexed = palette.size <= MOST_PALETTE ? palette.size * size + 2 * runs : Infinity
    const plain = runs * (size + 1)
    const packed =
      palette.size <= MOST_PACKED ? palette.size * size + Math.ceil(count / (8 / packedBits(palette))) : Infinity
    const raw = count * size
    const least = Math.min(indexed, plain, packed, raw)
    if (least === packed) this.#writePacked(out, palette, width, count)
    else if (least === indexed) this.#writeRuns(out, count, palette)
    else if (least === plain) this.#writeRuns(out, count, null)
    else {
      out.u8(RAW)
      for (let i = 0; i < count; i++) this.#pixel(out, tile[i]!)
    }
  }

  #writePacked(out: ByteWriter, palette: ReadonlyMap<number, number>, width: number, count: number): void {
    out.u8(palette.size)
    for (const pixel of palette.keys()) this.#pixel(out, pixel)
    const bits = packedBits(palette)
    // Each row begins at a byte boundary.
    for (let row = 0; row < count; row += width) {
      let byte = 0
      let filled = 0
      for (let i = row; i < row + width; i++) {
        byte = (byte << bits) | palette.get(this.#tile[i]!)!
        filled += bits
        if (filled === 8) {
          out.u8(byte)
          byte = 0
          filled = 0
        }
      }
      if (filled > 0) out.u8(byte << (8 - filled))
    }
  }

  #writeRuns(out: ByteWriter, count: number, palette: ReadonlyMap<number, number> | null): void {
    const tile = this.#tile
    out.u8(RUNS + (palette?.size ?? 0))
    if (palette !== null) for (const pixel of palette.keys()) this.#pixel(out, pixel)
    for (let i = 0; i < count;) {
      const pixel = tile[i]!
      let length = 1
      while (i + length < count && tile[i + length] === pixel) length++
      i += length
      if (palette === null) this.#pixel(out, pixel)
      else {
        out.u8(palette.get(pixel)! | (length === 1 ? 0 : 0x80))
        if (length === 1) continue
      }
      for (length--; length >= 255; length -= 255) out.u8(255)
      out.u8(length)
    }
  }
}

/** Returns a pixel of a picture; black outside. */
export function pixelAt({ width, height, pixels }: Picture, x: number, y: number): number {
  return x < width && y < height ? pixels[y * width + x]! : 0
}

function packedBits(palette: ReadonlyMap<number, number>): 1 | 2 | 4 {
  if (palette.size <= 2) return 1
  return palette.size <= 4 ? 2 : 4
}
