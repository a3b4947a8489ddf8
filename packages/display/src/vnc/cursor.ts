import type { CursorImage } from '@retrap/device'
import type { ByteWriter } from './byte-writer.ts'
import { pixelConverter, type PixelLayout } from './pixel-format.ts'

const OPAQUE = 0x80

/**
 * The pointer of a client whose guest has no hardware cursor: a dot, black with a white border. It says where the client's
 * own pointer is, and hides nothing of a pointer that the guest draws.
 */
export const DOT: CursorImage = dot(['.....', '.###.', '.###.', '.###.', '.....'])

function dot(rows: readonly string[]): CursorImage {
  const pixels = rows.flatMap((row) =>
    [...row].flatMap((pixel) => (pixel === '#' ? [0, 0, 0, 255] : [255, 255, 255, 255])),
  )
  return { width: 5, height: 5, hotX: 2, hotY: 2, pixels: Uint8Array.from(pixels) }
}

/** Writes a cursor's pixels, and a bit for each that is shown. Source: RFC 6143, section 7.8.1, "Cursor Pseudo-Encoding". */
export function writeCursor(out: ByteWriter, { width, height, pixels }: CursorImage, layout: PixelLayout): ByteWriter {
  const convert = pixelConverter(layout)
  for (let at = 0; at < 4 * width * height; at += 4) {
    const pixel = (pixels[at + 2]! << 16) | (pixels[at + 1]! << 8) | pixels[at]!
    out.pixel(convert(pixel), layout.bytes, layout.bigEndian)
  }
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column += 8) {
      let byte = 0
      for (let i = 0; i < 8 && column + i < width; i++) {
        if (pixels[4 * (row * width + column + i) + 3]! >= OPAQUE) byte |= 0x80 >> i
      }
      out.u8(byte)
    }
  }
  return out
}
