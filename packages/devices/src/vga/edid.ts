/** The mode that a display prefers, in pixels. */
export interface PreferredMode {
  /** Pixels of a row. */
  readonly width: number
  /** Rows. */
  readonly height: number
}

const BLOCK_BYTES = 128
/** Frames a second, like QEMU's monitor. */
const REFRESH_HZ = 75
const DOTS_PER_INCH = 100
const MILLIMETRES_PER_INCH = 25.4

/** Header; vendor RHT, product 1234h, week 42 of 2014; EDID 1.4; a digital input, 8 bits a colour, DisplayPort. */
const IDENTITY = [
  ...[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
  ...[0x49, 0x14, 0x34, 0x12, 0x00, 0x00, 0x00, 0x00, 42, 2014 - 1990],
  ...[1, 4, 0xa5],
]
/** Gamma 2.2, native preferred mode, sRGB with its primaries. */
const COLOURS = [0x78, 0x06, 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]
/** 640×480 at 60 Hz, 800×600 at 60 Hz, 1024×768 at 60 Hz. */
const ESTABLISHED = [0x21, 0x08, 0x00]
/** Standard timings: 2048×1152, 1920×1080, 1920×1200, 1600×1200, 1680×1050, 1440×900, 1280×1024, 1280×960. */
const STANDARD = [0xe1, 0xc0, 0xd1, 0xc0, 0xd1, 0x00, 0xa9, 0x40, 0xb3, 0x00, 0x95, 0x00, 0x81, 0x80, 0x81, 0x40]
/** Established timings III: further modes of VESA's list. */
const MORE_ESTABLISHED = [0, 0, 0, 0xf7, 0, 10, 0x00, 0x40, 0x82, 0x00, 0x28, 0x20, 0, 0, 0, 0, 0, 0]
/** Ranges: 50 to 125 Hz, 30 to 160 kHz, 2550 MHz; no formula for further timings. */
const RANGES = [0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 255, 1, ...text('', 7)]
const NAME = [0, 0, 0, 0xfc, 0, ...text('QEMU Monitor', 13)]
/** CTA-861, revision 3: a block of six video codes from 6 on, and from 11 on a detailed timing after the other. */
const EXTENSION = [0x02, 0x03, 11, 0x00, 0x46, 125, 101, 96, 89, 31, 97]
/** A descriptor that says nothing. */
const DUMMY = [0, 0, 0, 0x10, ...Array.from({ length: 14 }, () => 0)]

/**
 * Describes a monitor, as that of QEMU 7.2's graphics cards: a block of EDID 1.4 and one of its extensions.
 *
 * Source: VESA, Enhanced Extended Display Identification Data Standard, Release A, "EDID Structure Version 1.4"; CTA-861-G,
 * "CTA Extension Version 3". Which monitor it is was read from QEMU's card by a guest.
 */
export function edidOf(mode: PreferredMode): Uint8Array {
  const [width, height] = [millimetres(mode.width), millimetres(mode.height)]
  const size = [Math.floor(width / 10), Math.floor(height / 10)]
  const detailed = detailedTiming(mode, width, height)
  const base = [...IDENTITY, ...size, ...COLOURS, ...ESTABLISHED, ...STANDARD]
  const descriptors = [...detailed, ...MORE_ESTABLISHED, ...RANGES, ...NAME]
  const extension = [...EXTENSION, ...Array.from({ length: 6 }, () => DUMMY).flat()]
  return Uint8Array.from([...checked([...base, ...descriptors, 1]), ...checked(extension)])
}

function millimetres(pixels: number): number {
  return Math.floor((pixels / DOTS_PER_INCH) * MILLIMETRES_PER_INCH)
}

/** E-EDID, "Detailed Timing Descriptor": 18 bytes. The blanking is as long as QEMU's: shares of a row, and of the rows. */
function detailedTiming({ width, height }: PreferredMode, widthMm: number, heightMm: number): readonly number[] {
  const share = (pixels: number, thousandths: number): number => Math.floor((pixels * thousandths) / 1000)
  const across = { blank: share(width, 350), front: share(width, 250), sync: share(width, 30) }
  const down = { blank: share(height, 35), front: share(height, 5), sync: share(height, 5) }
  const clock = Math.floor((REFRESH_HZ * (width + across.blank) * (height + down.blank)) / 10_000)
  return [
    ...[clock & 0xff, clock >> 8],
    ...[width & 0xff, across.blank & 0xff, ((width >> 8) << 4) | (across.blank >> 8)],
    ...[height & 0xff, down.blank & 0xff, ((height >> 8) << 4) | (down.blank >> 8)],
    ...[across.front & 0xff, across.sync & 0xff, ((down.front & 0xf) << 4) | (down.sync & 0xf)],
    ((across.front >> 8) << 6) | ((across.sync >> 8) << 4) | ((down.front >> 4) << 2) | (down.sync >> 4),
    ...[widthMm & 0xff, heightMm & 0xff, ((widthMm >> 8) << 4) | (heightMm >> 8)],
    ...[0, 0, 0x18],
  ]
}

/** A text, ended by a line feed and filled with blanks. */
function text(characters: string, length: number): readonly number[] {
  const line = characters.length < length ? `${characters}\n` : characters
  return Array.from(line.padEnd(length), (character) => character.charCodeAt(0))
}

/** Appends the checksum byte: all bytes of a block add up to 0. */
function checked(bytes: readonly number[]): readonly number[] {
  const block = [...bytes, ...Array.from({ length: BLOCK_BYTES - 1 - bytes.length }, () => 0)]
  const sum = block.reduce((total, byte) => total + byte, 0)
  return [...block, (256 - (sum & 0xff)) & 0xff]
}
