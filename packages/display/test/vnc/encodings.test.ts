// Rectangles as a client reads them (RFC 6143): every tile in the shortest of its forms, every pixel in the client's format.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../../src/vnc/byte-writer.ts'
import { RectangleEncoder } from '../../src/vnc/encodings.ts'
import * as pixelFormat from '../../src/vnc/pixel-format.ts'

/** Decodes one tile of pixels of three bytes (RFC 6143 §7.7.6). @returns the pixels, and the bytes that were used */
function decodeTile(bytes: Uint8Array, width: number, height: number): readonly [readonly number[], number] {
  let at = 0
  const pixel = (): number => bytes[at++]! + bytes[at++]! * 256 + bytes[at++]! * 65_536
  const run = (): number => {
    let length = 1
    for (;;) {
      length += bytes[at]!
      if (bytes[at++] !== 255) return length
    }
  }
  const kind = bytes[at++]!
  const palette = Array.from({ length: kind & 127 }, pixel)
  const pixels: number[] = []
  if (kind === 1) pixels.push(...Array<number>(width * height).fill(palette[0]!))
  else if (kind > 1 && kind <= 16) {
    const bits = kind === 2 ? 1 : kind <= 4 ? 2 : 4
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const shift = 8 - bits - ((x * bits) % 8)
        pixels.push(palette[(bytes[at + Math.floor((x * bits) / 8)]! >> shift) & (2 ** bits - 1)]!)
      }
      at += Math.ceil((width * bits) / 8)
    }
  } else {
    while (pixels.length < width * height) {
      if (kind === 0) pixels.push(pixel())
      else if (kind === 128) {
        const value = pixel()
        pixels.push(...Array<number>(run()).fill(value))
      } else {
        const index = bytes[at++]!
        pixels.push(...Array<number>(index < 128 ? 1 : run()).fill(palette[index & 127]!))
      }
    }
  }
  return [pixels, at]
}

/** How long each form of a tile of one row would be. */
function lengths(pixels: readonly number[]): number[] {
  const colours = new Set(pixels).size
  const runs: number[] = []
  for (const [i, pixel] of pixels.entries()) {
    if (i > 0 && pixel === pixels[i - 1]) runs[runs.length - 1]!++
    else runs.push(1)
  }
  const more = (length: number): number => Math.floor((length - 1) / 255) + 1
  const sum = (of: (length: number) => number): number => runs.reduce((total, length) => total + of(length), 0)
  return [
    1 + 3 * pixels.length,
    1 + sum((length) => 3 + more(length)),
    ...(colours <= 127 ? [1 + 3 * colours + sum((length) => (length === 1 ? 1 : 1 + more(length)))] : []),
    ...(colours <= 16
      ? [1 + 3 * colours + Math.ceil((pixels.length * (colours <= 2 ? 1 : colours <= 4 ? 2 : 4)) / 8)]
      : []),
    ...(colours === 1 ? [4] : []),
  ]
}

const encoded = (pixels: readonly number[], width: number, height: number): Uint8Array => {
  const out = new ByteWriter()
  const picture = { width, height, pixels: Uint32Array.from(pixels) }
  new RectangleEncoder(pixelFormat.SERVER_LAYOUT).zrle(out, picture, { x: 0, y: 0, width, height })
  return out.take()
}

describe('ZRLE', () => {
  const tile = (colours: number, longest: number, rows: number) =>
    fc
      .array(fc.tuple(fc.nat(colours - 1), fc.integer({ min: 1, max: longest })), {
        minLength: 1,
        maxLength: 400,
        size: 'max',
      })
      .map((runs) => {
        const pixels = runs.flatMap(([colour, length]) => Array<number>(length).fill(colour * 0x0307))
        return { pixels, width: Math.min(64, Math.ceil(pixels.length / rows)), rows }
      })

  test('a tile reads as it was, whatever its colours and its runs', () => {
    const tiles = fc.tuple(fc.constantFrom(1, 2, 3, 4, 5, 16, 17, 100, 127, 128, 4000), fc.constantFrom(1, 2, 300))
    fc.assert(
      fc.property(
        tiles.chain(([colours, longest]) =>
          fc.integer({ min: 1, max: 64 }).chain((rows) => tile(colours, longest, rows)),
        ),
        ({ pixels, width, rows }) => {
          const height = Math.max(1, Math.min(rows, Math.floor(pixels.length / width)))
          const used = pixels.slice(0, width * height)
          const bytes = encoded(used, width, height)
          expect(decodeTile(bytes, width, height)).toEqual([used, bytes.length])
        },
      ),
      { numRuns: 300 },
    )
  })

  test.each([
    ['one colour', [5, 5, 5, 5], 1],
    ['two colours by bits', [1, 2, 1, 2, 2, 1, 1, 2, 1], 2],
    ['four by two bits', [1, 2, 3, 4, 3, 1, 2, 4, 1, 3, 2, 4], 4],
    ['five by four bits', [1, 2, 3, 4, 5, 4, 2, 1, 3, 5, 2, 4], 5],
    ['16 by four bits', Array.from({ length: 48 }, (_, i) => (i * 7) % 16), 16],
    ['17 by their numbers', Array.from({ length: 64 }, (_, i) => (i * 7) % 17), 128 + 17],
    ['a few long runs', [...Array<number>(30).fill(1), ...Array<number>(34).fill(2)], 128 + 0],
    // A palette of 20 colours costs more than it saves in 25 runs.
    ['20 colours in 25 runs', Array.from({ length: 50 }, (_, i) => (i >> 1) % 20), 128 + 0],
    ['all different', Array.from({ length: 64 }, (_, i) => i), 0],
  ])('%s', (_, pixels, kind) => {
    const bytes = encoded(pixels, pixels.length, 1)
    // Runs of two colours are as short by their numbers as by themselves.
    expect(kind === 128 ? [128, 130] : [kind]).toContain(bytes[0])
    expect(bytes.length).toBe(Math.min(...lengths(pixels)))
  })

  test('127 colours have a palette, 128 have none', () => {
    for (const [colours, kind] of [
      [127, 128 + 127],
      [128, 0],
    ] as const) {
      // Each colour comes 32 times, never twice in a row.
      const pixels = Array.from({ length: 4096 }, (_, i) => (i * 5) % colours)
      expect([colours, encoded(pixels, 64, 64)[0]]).toEqual([colours, kind])
    }
  })

  test('a run has a byte for each 255 pixels and one for the rest', () => {
    for (const length of [1, 2, 255, 256, 257, 510, 511, 512]) {
      const pixels = [...Array<number>(length).fill(7), ...Array.from({ length: 1024 - length }, () => 9)]
      const bytes = encoded(pixels, 64, 16)
      expect(decodeTile(bytes, 64, 16)).toEqual([pixels, bytes.length])
      expect(bytes.length).toBeLessThan(20)
    }
  })

  test('a large rectangle is tiles of 64 by 64, row by row; beyond the picture it is black', () => {
    const [width, height] = [70, 66]
    const pixels = Array.from({ length: width * height }, (_, i) => (i * 2_654_435_761) >>> 9)
    const out = new ByteWriter()
    new RectangleEncoder(pixelFormat.SERVER_LAYOUT).zrle(
      out,
      { width, height, pixels: Uint32Array.from(pixels) },
      { x: 3, y: 1, width: 69, height: 67 },
    )
    let bytes = out.take()
    for (const [x, y, w, h] of [
      [3, 1, 64, 64],
      [67, 1, 5, 64],
      [3, 65, 64, 3],
      [67, 65, 5, 3],
    ] as const) {
      const [tilePixels, used] = decodeTile(bytes, w, h)
      const expected = Array.from({ length: w * h }, (_, i) => {
        const [column, row] = [x + (i % w), y + Math.floor(i / w)]
        return column < width && row < height ? pixels[row * width + column]! & 0xff_ffff : 0
      })
      expect(tilePixels).toEqual(expected)
      bytes = bytes.subarray(used)
    }
    expect(bytes.length).toBe(0)
  })
})

describe('a client’s pixels (RFC 6143 §7.4)', () => {
  const formats = fc.record({
    bytes: fc.constantFrom(1 as const, 2 as const, 4 as const),
    depth: fc.integer({ min: 1, max: 32 }),
    bigEndian: fc.boolean(),
    bits: fc.tuple(fc.nat(10), fc.nat(10), fc.nat(10)),
    shift: fc.tuple(fc.nat(24), fc.nat(24), fc.nat(24)),
  })

  test('are scaled, shifted and ordered as the client says', () => {
    fc.assert(
      fc.property(formats, fc.nat(0xff_ffff), ({ bytes, depth, bigEndian, bits, shift }, pixel) => {
        const max = bits.map((count) => 2 ** count - 1) as [number, number, number]
        const layout = { bytes, depth, bigEndian, trueColour: true, max, shift }
        const fits = max.every((value, i) => value * 2 ** shift[i]! < 2 ** (8 * bytes))
        expect(pixelFormat.readLayout(pixelFormat.writeLayout(layout))).toEqual(fits ? layout : undefined)
        // Parts that overlap are the client's own doing.
        const parts = max.map((value, i) => BigInt(value) << BigInt(shift[i]!))
        const apart = parts.reduce((a, b) => a | b) === parts.reduce((a, b) => a + b)
        if (!fits || !apart) return
        const expected = [16, 8, 0].reduce((sum, at, i) => {
          return sum + Math.round((((pixel >> at) & 255) * max[i]!) / 255) * 2 ** shift[i]!
        }, 0)
        expect(pixelFormat.pixelConverter(layout)(pixel) >>> 0).toBe(expected)
        const out = new ByteWriter()
        new RectangleEncoder(layout).raw(
          out,
          { width: 1, height: 1, pixels: Uint32Array.of(pixel) },
          { x: 0, y: 0, width: 1, height: 1 },
        )
        const little = Array.from({ length: bytes }, (_, i) => Math.floor(expected / 256 ** i) % 256)
        expect([...out.take()]).toEqual(bigEndian ? little.toReversed() : little)
        // ZRLE leaves out a byte that is always 0, where the depth says that there is one.
        const compact = pixelFormat.compactBytes(layout)
        const whole = Array.from({ length: 256 }, (_, i) => i)
        expect(whole).toContain(compact.first)
        const has = little.map((_, i) => parts.some((part) => ((part >> BigInt(8 * i)) & 255n) !== 0n))
        const sent = bigEndian ? has.toReversed() : has
        const left = sent.filter((used, i) => used && (i < compact.first || i >= compact.first + compact.count))
        expect(left).toEqual([])
        const canShorten = bytes === 4 && depth <= 24 && (!has[3] || shift.every((by) => by >= 8))
        expect(compact.count).toBe(canShorten ? 3 : bytes)
      }),
      { numRuns: 2000 },
    )
  })

  test('of other sizes are refused; a map has 256 colours', () => {
    const bytes = pixelFormat.writeLayout(pixelFormat.SERVER_LAYOUT)
    expect([...bytes]).toEqual([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0])
    for (const bits of [0, 7, 9, 15, 24, 33, 64])
      expect(pixelFormat.readLayout(Uint8Array.of(bits, ...bytes.subarray(1)))).toBe(undefined)
    const mapped = pixelFormat.readLayout(Uint8Array.of(8, 8, 0, 0, ...bytes.subarray(4)))!
    expect(mapped).toMatchObject({ bytes: 1, trueColour: false, max: [7, 7, 3], shift: [5, 2, 0] })
    expect(pixelFormat.mapEntry(0)).toEqual([0, 0, 0])
    expect(pixelFormat.mapEntry(255)).toEqual([65_535, 65_535, 65_535])
    // 101 010 01: of 7, 7 and 3.
    expect(pixelFormat.mapEntry(0b1010_1001)).toEqual([46_811, 18_724, 21_845])
    expect(pixelFormat.compactBytes(mapped)).toEqual({ first: 0, count: 1 })
    expect(pixelFormat.compactBytes({ ...pixelFormat.SERVER_LAYOUT, trueColour: false })).toEqual({
      first: 0,
      count: 4,
    })
  })

  test('a writer has room for any number of bytes, and begins anew when they are taken', () => {
    const out = new ByteWriter(1)
    out.u8(1).u16(0x0203).u32(0x8405_0607).bytes(Uint8Array.of(8, 9)).text('AB')
    expect([...out.take()]).toEqual([1, 2, 3, 0x84, 5, 6, 7, 8, 9, 0, 0, 0, 2, 65, 66])
    for (let i = 0; i < 1000; i++) out.u8(i)
    expect([...out.take()]).toEqual(Array.from({ length: 1000 }, (_, i) => i & 255))
    expect(out.take().length).toBe(0)
  })
})
