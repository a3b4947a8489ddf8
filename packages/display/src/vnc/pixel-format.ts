/** A client's pixel format. Source: RFC 6143, section 7.4, "Pixel Format Data Structure". */
export interface PixelLayout {
  readonly bytes: 1 | 2 | 4
  readonly depth: number
  readonly bigEndian: boolean
  /** False: pixels are indices into a colour map. */
  readonly trueColour: boolean
  readonly max: readonly [red: number, green: number, blue: number]
  readonly shift: readonly [red: number, green: number, blue: number]
}

/** The default pixel format of clients: that of `Screen.pixels`. */
export const SERVER_LAYOUT: PixelLayout = {
  bytes: 4,
  depth: 24,
  bigEndian: false,
  trueColour: true,
  max: [255, 255, 255],
  shift: [16, 8, 0],
}

/** Colours of a client with a colour map: three bits of red, three of green, two of blue. */
const MAPPED: Pick<PixelLayout, 'max' | 'shift'> = { max: [7, 7, 3], shift: [5, 2, 0] }
export const MAP_ENTRIES = 256

/** Reads the 16 bytes of a pixel format. @returns undefined for one that cannot be */
export function readLayout(bytes: Uint8Array): PixelLayout | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16)
  const bits = view.getUint8(0)
  if (bits !== 8 && bits !== 16 && bits !== 32) return undefined
  const common = {
    bytes: (bits / 8) as 1 | 2 | 4,
    depth: view.getUint8(1),
    bigEndian: view.getUint8(2) !== 0,
    trueColour: view.getUint8(3) !== 0,
  }
  if (!common.trueColour) return { ...common, ...MAPPED }
  const max = [view.getUint16(4), view.getUint16(6), view.getUint16(8)] as const
  const shift = [view.getUint8(10), view.getUint8(11), view.getUint8(12)] as const
  const fits = max.every((value, i) => value * 2 ** shift[i]! < 2 ** bits)
  return fits ? { ...common, max, shift } : undefined
}

/** The 16 bytes of a pixel format. */
export function writeLayout(layout: PixelLayout): Uint8Array {
  const { bytes, depth, bigEndian, trueColour, max, shift } = layout
  const maxima = max.flatMap((value) => [value >> 8, value & 0xff])
  return Uint8Array.of(8 * bytes, depth, Number(bigEndian), Number(trueColour), ...maxima, ...shift, 0, 0, 0)
}

/** The colour of an entry of the colour map: red, green and blue of 16 bits. */
export function mapEntry(index: number): readonly number[] {
  return MAPPED.max.map((max, i) => Math.round((((index >> MAPPED.shift[i]!) & max) * 0xffff) / max))
}

/** Makes a client's pixel of a word 0x00RRGGBB. */
export function pixelConverter({ max, shift }: PixelLayout): (pixel: number) => number {
  if (max.every((value) => value === 255)) {
    const [red, green, blue] = shift
    if (red === 16 && green === 8 && blue === 0) return (pixel) => pixel & 0xff_ffff
    return (pixel) => (((pixel >> 16) & 255) << red) | (((pixel >> 8) & 255) << green) | ((pixel & 255) << blue)
  }
  const channel = (i: 0 | 1 | 2): Uint32Array =>
    Uint32Array.from({ length: 256 }, (_, value) => Math.round((value * max[i]) / 255) * 2 ** shift[i])
  const [red, green, blue] = [channel(0), channel(1), channel(2)]
  return (pixel) => red[(pixel >> 16) & 255]! | green[(pixel >> 8) & 255]! | blue[pixel & 255]!
}

/** Returns the bytes of a pixel that ZRLE sends: three if they hold the whole pixel (RFC 6143, section 7.7.6). */
export function compactBytes(layout: PixelLayout): { readonly first: number; readonly count: number } {
  const { bytes, depth, trueColour, bigEndian, max, shift } = layout
  if (bytes !== 4 || !trueColour || depth > 24) return { first: 0, count: bytes }
  const low = max.every((value, i) => value * 2 ** shift[i]! < 2 ** 24)
  const high = shift.every((by) => by >= 8)
  if (low) return { first: bigEndian ? 1 : 0, count: 3 }
  return high ? { first: bigEndian ? 0 : 1, count: 3 } : { first: 0, count: 4 }
}
