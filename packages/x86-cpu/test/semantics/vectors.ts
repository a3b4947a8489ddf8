import { FX_FDP, FX_FIP, FX_FOP, FX_MXCSR, FX_ST, FX_XMM } from './layout.ts'
import type { Choice } from './random.ts'

/** FCW after FNINIT. */
const DEFAULT_FCW = 0x37f
/** ES and B of the x87 status word: an exception that is not masked. */
const PENDING = 0x8080
/** MXCSR after reset. */
const DEFAULT_MXCSR = 0x1f80

const SINGLES = [
  0x0000_0000, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0001, 0x7f80_0001,
  0xffa5_a5a5, 0x0000_0001, 0x807f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x4f00_0000, 0xcf00_0000, 0x4eff_ffff,
  0x3f00_0000, 0x3fc0_0000, 0x4b00_0000, 0x5f00_0000, 0xdf00_0000, 0x4b7f_ffff, 0x4020_0000, 0x3eff_ffff,
]
const DOUBLE_HIGHS = [
  0x0000_0000, 0x8000_0000, 0x3ff0_0000, 0xbff0_0000, 0x7ff0_0000, 0xfff0_0000, 0x7ff8_0000, 0xfff8_0000, 0x7ff4_0000,
  0x0010_0000, 0x000f_ffff, 0x7fef_ffff, 0x41e0_0000, 0xc1e0_0000, 0x43e0_0000, 0xc3e0_0000, 0x3fe0_0000, 0x4330_0000,
  0x47ef_ffff, 0x3810_0000, 0x380f_ffff, 0x4340_0000, 0x36a0_0000,
]
const LOWS = [0, 0, 0, 1, 0xffff_ffff, 0xe000_0000, 0x1000_0000, 0x8000_0000, 0x2000_0000]
const INTEGERS = [
  0, 1, 0xff, 0x80, 0x7f, 0x8000, 0x7fff, 0xffff, 0x8000_0000, 0x7fff_ffff, 0xffff_ffff, 0x0080_0080, 0xff80_7f01,
]

/** Of words, and of bytes in pairs. */
const EDGES = [0x8000, 0x7fff, 0x8001, 0xffff, 0, 1, 0x7f80, 0x80ff, 0x8181]

function single(random: Choice): number {
  switch (random.below(4)) {
    case 0:
      return random.pick(SINGLES)
    case 1:
      // Exponents near each other, so that sums cancel.
      return ((random.u32() & 0x807f_ffff) | ((0x7d + random.below(6)) << 23)) >>> 0
    case 2:
      return ((random.u32() & 0x8070_0000) | ((0x78 + random.below(16)) << 23)) >>> 0
    default:
      return random.u32() >>> 0
  }
}

function double(random: Choice): [lo: number, hi: number] {
  switch (random.below(4)) {
    case 0:
      return [random.pick(LOWS), random.pick(DOUBLE_HIGHS)]
    case 1:
      return [random.u32() >>> 0, ((random.u32() & 0x800f_ffff) | ((0x3fd + random.below(6)) << 20)) >>> 0]
    case 2:
      return [0, ((random.u32() & 0x800f_f000) | ((0x3f8 + random.below(16)) << 20)) >>> 0]
    default:
      return [random.u32() >>> 0, random.u32() >>> 0]
  }
}

function vector(random: Choice, view: DataView, at: number): void {
  const kind = random.below(6)
  // Characters of strings that end, bytes and words at the ends of ranges, and a count of a shift.
  if (kind >= 4) {
    const isCount = random.chance(1, 4)
    for (let i = 0; i < 16; i += 2) {
      const few = isCount ? (i === 0 ? random.below(70) : 0) : random.below(4) | (random.below(4) << 8)
      view.setUint16(at + i, kind === 4 ? few : random.pick(EDGES), true)
    }
    return
  }
  for (let i = 0; i < 16; i += 8) {
    if (kind === 0) {
      const [lo, hi] = double(random)
      view.setUint32(at + i, lo, true)
      view.setUint32(at + i + 4, hi, true)
    } else {
      for (let j = 0; j < 8; j += 4) {
        const value = kind === 1 ? single(random) : kind === 2 ? random.pick(INTEGERS) : random.u32()
        view.setUint32(at + i + j, value, true)
      }
    }
  }
}

/** An 80-bit number: significand, then sign and exponent. */
function extended(random: Choice, view: DataView, at: number): void {
  let lo = random.chance() ? random.u32() : random.pick(LOWS)
  let hi = random.chance(3, 4)
    ? random.u32() | 0x8000_0000
    : random.pick([0x8000_0000, 0xffff_ffff, 0xc000_0000, 0x8000_0001])
  let exponent = 0x3fff - 8 + random.below(16)
  switch (random.below(8)) {
    case 0:
      exponent = random.pick([
        0, 1, 0x7ffe, 0x7fff, 0x3fff, 0x403e, 0x403d, 0x3c00, 0x3f80, 0x43fe, 0x407e, 0x3c01, 0x3bcd,
      ])
      break
    case 1:
      exponent = random.below(0x8000)
      break
    case 2:
      // Zero, denormal, infinity.
      exponent = random.pick([0, 0x7fff])
      hi = exponent === 0 ? random.pick([0, 0, 1, 0x7fff_ffff]) : 0x8000_0000
      lo = exponent === 0 && hi !== 0 ? lo : 0
      break
    case 3:
      // Whole numbers.
      exponent = 0x3fff + random.below(70)
      lo = 0
      hi = random.u32() | 0x8000_0000
      break
    default:
  }
  // What no processor since the 80387 makes: pseudo-denormals, unnormals and their like.
  if (random.chance(1, 24)) hi ^= 0x8000_0000
  view.setUint32(at, lo, true)
  view.setUint32(at + 4, hi, true)
  view.setUint16(at + 8, exponent | (random.chance() ? 0x8000 : 0), true)
}

/** 80 bits of memory for FLD. */
export function extendedOperand(random: Choice): Uint8Array {
  const bytes = new Uint8Array(10)
  extended(random, new DataView(bytes.buffer), 0)
  return bytes
}

/** 18 packed decimal digits and a sign for FBLD; what it makes of other digits is undefined (SDM vol. 2A, FBLD). */
export function decimalOperand(random: Choice): Uint8Array {
  const bytes = Uint8Array.from({ length: 10 }, () => random.below(10) * 16 + random.below(10))
  bytes[9] = random.u32()
  return bytes
}

/**
 * Fills an FXSAVE image.
 *
 * @param used - false: the instruction has nothing to do with it, and the plainest state will do
 */
export function randomVectors(random: Choice, fx: Uint8Array, used: boolean): void {
  const view = new DataView(fx.buffer, fx.byteOffset, fx.byteLength)
  fx.fill(0)
  view.setUint16(0, DEFAULT_FCW, true)
  view.setUint32(FX_MXCSR, DEFAULT_MXCSR, true)
  if (!used) return
  // Precision, rounding; the masks are all set more often than not.
  const precision = random.pick([3, 3, 3, 2, 0])
  const masks = random.chance(7, 8) ? 0x3f : random.below(0x40)
  view.setUint16(0, (random.below(4) << 10) | (precision << 8) | 0x40 | masks, true)
  const top = random.below(8)
  // Sticky flags, now and then an unmasked one: that is #MF before anything else, but for what does not wait.
  const possible = random.chance(1, 4) ? 0x7f : masks | 0x40
  const flags = random.chance() ? random.below(0x80) & possible & (random.chance() ? 0x3f : 0x7f) : 0
  const summary = (flags & ~masks & 0x3f) === 0 ? 0 : PENDING
  view.setUint16(2, (random.u32() & 0x4700) | (top << 11) | summary | flags, true)
  fx[4] = random.chance(3, 4) ? 0xff : random.below(256)
  // A task switch of the host's may lose the pointers to the last instruction where no exception is pending (compare.ts).
  if (summary !== 0) {
    view.setUint16(FX_FOP, random.below(0x800), true)
    for (const pointer of [FX_FIP, FX_FDP]) {
      view.setUint32(pointer, random.u32(), true)
      view.setUint32(pointer + 4, random.below(0x8000), true)
    }
  }
  let mxcsr = random.chance()
    ? DEFAULT_MXCSR
    : 0x1f80 | (random.below(4) << 13) | (random.chance(1, 4) ? 0x8000 : 0) | (random.chance(1, 4) ? 0x40 : 0)
  if (random.chance(1, 8)) mxcsr &= ~(random.below(0x40) << 7)
  mxcsr |= random.chance(1, 4) ? random.below(0x40) & (mxcsr >> 7) : 0
  view.setUint32(FX_MXCSR, mxcsr, true)
  for (let i = 0; i < 8; i++) extended(random, view, FX_ST + 16 * i)
  for (let i = 0; i < 16; i++) vector(random, view, FX_XMM + 16 * i)
}

/** Fills the upper halves of the YMM registers. */
export function randomUpperHalves(random: Choice, ymm: Uint8Array): void {
  const view = new DataView(ymm.buffer, ymm.byteOffset, ymm.byteLength)
  for (let i = 0; i < 16; i++) vector(random, view, 16 * i)
}
