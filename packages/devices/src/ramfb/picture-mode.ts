import { TWO_32 } from '@retrap/basics'
import type { DisplayMode, PixelFormat } from '@retrap/device'

/** Size of what the guest writes: an address of 64 bits and five words, with the highest byte first. */
export const RAMFB_BYTES: number = 28

const LARGEST_SIDE = 16_384
/** Enough for 5120 by 2880 pixels of four bytes. */
const LARGEST_PICTURE = 2 ** 26
/** Processors address no more. */
const ADDRESSES = 2 ** 52

/** The names of these orders of bytes in Linux's `drm_fourcc.h`, and the bytes of a pixel. */
const FORMATS: Readonly<Record<string, readonly [format: PixelFormat, pixelBytes: number]>> = {
  XR24: ['bgrx8888', 4],
  AR24: ['bgrx8888', 4],
  XB24: ['rgbx8888', 4],
  AB24: ['rgbx8888', 4],
  BX24: ['xrgb8888', 4],
  BA24: ['xrgb8888', 4],
  RX24: ['xbgr8888', 4],
  RA24: ['xbgr8888', 4],
  RG24: ['bgr888', 3],
  RG16: ['rgb565', 2],
  XR15: ['xrgb1555', 2],
}

/** A picture in guest RAM. */
export interface RamPicture {
  /** Guest-physical address of the first row. */
  readonly gpa: number
  /** From the first byte of the first row to the last of the last one. */
  readonly bytes: number
  /** Bytes of a row's pixels. */
  readonly rowBytes: number
  readonly mode: DisplayMode
}

/** Reads what a guest has written. @returns null for a picture that cannot be shown */
export function pictureOf(configuration: Uint8Array): RamPicture | null {
  const view = new DataView(configuration.buffer, configuration.byteOffset, configuration.byteLength)
  const gpa = view.getUint32(0) * TWO_32 + view.getUint32(4)
  // The first letter is in the lowest byte.
  const name = [11, 10, 9, 8].map((at) => String.fromCharCode(configuration[at]!)).join('')
  const [width, height, given] = [view.getUint32(16), view.getUint32(20), view.getUint32(24)]
  if (!Object.hasOwn(FORMATS, name) || !isSide(width) || !isSide(height)) return null
  const [format, pixelBytes] = FORMATS[name]!
  const rowBytes = width * pixelBytes
  const stride = given === 0 ? rowBytes : given
  const bytes = stride * (height - 1) + rowBytes
  if (stride < rowBytes || bytes > LARGEST_PICTURE || gpa + bytes > ADDRESSES) return null
  return { gpa, bytes, rowBytes, mode: { width, height, stride, format } }
}

const isSide = (pixels: number): boolean => pixels > 0 && pixels <= LARGEST_SIDE
