import type { DisplayMode, DisplayRectangle, PixelFormat } from '@retrap/device'

/** Returns bytes of one pixel. */
export function bytesOf(format: PixelFormat): number {
  if (format === 'bgr888') return 3
  return format === 'rgb565' || format === 'xrgb1555' ? 2 : 4
}

/**
 * Converts a rectangle to `bgrx8888` within a picture of the same size.
 *
 * @param pixels - the whole picture in `mode`'s format
 * @param into - one word a pixel, without gaps between rows
 * @param area - lies within the picture
 */
export function convert(mode: DisplayMode, pixels: Uint8Array, into: Uint32Array, area: DisplayRectangle): void {
  const { width, stride, format } = mode
  const step = bytesOf(format)
  const out = new Uint8Array(into.buffer, into.byteOffset, into.byteLength)
  for (let row = area.y; row < area.y + area.height; row++) {
    const from = row * stride + area.x * step
    const to = row * width + area.x
    if (format === 'bgrx8888') out.set(pixels.subarray(from, from + 4 * area.width), 4 * to)
    else if (format === 'rgb565' || format === 'xrgb1555') convertWords(format, pixels, from, into, to, area.width)
    else convertBytes(format, pixels, from, into, to, area.width)
  }
}

/** Places of red, green and blue among the bytes of a pixel. */
const PLACES = {
  bgrx8888: [2, 1, 0],
  rgbx8888: [0, 1, 2],
  xrgb8888: [1, 2, 3],
  xbgr8888: [3, 2, 1],
  bgr888: [2, 1, 0],
} as const

function convertBytes(
  format: keyof typeof PLACES,
  pixels: Uint8Array,
  from: number,
  into: Uint32Array,
  to: number,
  width: number,
): void {
  const [red, green, blue] = PLACES[format]
  const step = bytesOf(format)
  for (let i = 0, at = from; i < width; i++, at += step) {
    into[to + i] = (pixels[at + red]! << 16) | (pixels[at + green]! << 8) | pixels[at + blue]!
  }
}

/** The high bits of a colour are repeated in the low ones, so that white is white. */
function convertWords(
  format: 'rgb565' | 'xrgb1555',
  pixels: Uint8Array,
  from: number,
  into: Uint32Array,
  to: number,
  width: number,
): void {
  const wide = format === 'rgb565'
  for (let i = 0, at = from; i < width; i++, at += 2) {
    const word = pixels[at]! | (pixels[at + 1]! << 8)
    const blue = word & 31
    const green = wide ? (word >> 5) & 63 : (word >> 5) & 31
    const red = wide ? word >> 11 : (word >> 10) & 31
    const green8 = wide ? (green << 2) | (green >> 4) : (green << 3) | (green >> 2)
    into[to + i] = (((red << 3) | (red >> 2)) << 16) | (green8 << 8) | (blue << 3) | (blue >> 2)
  }
}

/** The part of a rectangle that lies within a picture, or null. */
export function clip(area: DisplayRectangle, width: number, height: number): DisplayRectangle | null {
  const x = Math.max(0, area.x)
  const y = Math.max(0, area.y)
  const right = Math.min(width, area.x + area.width)
  const bottom = Math.min(height, area.y + area.height)
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null
}

/** Returns the smallest rectangle that encloses all areas. */
export function around(areas: readonly DisplayRectangle[]): DisplayRectangle {
  const x = Math.min(...areas.map((area) => area.x))
  const y = Math.min(...areas.map((area) => area.y))
  const right = Math.max(...areas.map((area) => area.x + area.width))
  const bottom = Math.max(...areas.map((area) => area.y + area.height))
  return { x, y, width: right - x, height: bottom - y }
}
