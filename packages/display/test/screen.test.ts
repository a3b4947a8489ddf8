import { inflateSync } from 'node:zlib'
import type { DisplayClient, DisplayRectangle, DisplayText, PixelFormat } from '@retrap/device'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DisplayError, Screen, type ScreenFrame } from '../src/index.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A card that draws what its fields say. */
class Card implements DisplayClient {
  readonly calls: string[] = []
  pixels = new Uint8Array(64 * 64 * 4)
  size = 8
  dirty: DisplayRectangle[] = []
  readonly #screen: Screen

  constructor(screen: Screen) {
    this.#screen = screen
    screen.connect(this)
  }

  refresh(): void {
    this.calls.push('refresh')
    this.#draw([{ x: 0, y: 0, width: this.size, height: this.size }])
  }

  update(): void {
    this.calls.push('update')
    this.#draw(this.dirty)
  }

  #draw(dirty: readonly DisplayRectangle[]): void {
    this.#screen.setMode({ width: this.size, height: this.size, stride: this.size * 4, format: 'bgrx8888' })
    this.#screen.draw(this.pixels, dirty)
  }
}

describe('pixel formats become one', () => {
  const formats: readonly { format: PixelFormat; bytes: number[]; pixel: number }[] = [
    { format: 'bgrx8888', bytes: [1, 2, 3, 0], pixel: 0x030201 },
    { format: 'rgbx8888', bytes: [1, 2, 3, 0], pixel: 0x010203 },
    { format: 'xrgb8888', bytes: [0, 1, 2, 3], pixel: 0x010203 },
    { format: 'xbgr8888', bytes: [0, 1, 2, 3], pixel: 0x030201 },
    { format: 'bgr888', bytes: [1, 2, 3], pixel: 0x030201 },
    // 10000 100001 00001: high bits are repeated below.
    { format: 'rgb565', bytes: [0x21, 0x84], pixel: 0x848608 },
    { format: 'rgb565', bytes: [0xff, 0xff], pixel: 0xffffff },
    // 10000 00001 11111.
    { format: 'xrgb1555', bytes: [0x3f, 0x40], pixel: 0x8408ff },
    { format: 'xrgb1555', bytes: [0xff, 0x7f], pixel: 0xffffff },
  ]
  test.each(formats)('$format of $bytes', ({ format, bytes, pixel }) => {
    const screen = new Screen()
    const stride = 3 * bytes.length + 5
    const picture = new Uint8Array(stride + 3 * bytes.length)
    for (const at of [0, bytes.length, stride + 2 * bytes.length]) picture.set(bytes, at)
    screen.setMode({ width: 3, height: 2, stride, format })
    screen.draw(picture, [{ x: 0, y: 0, width: 3, height: 2 }])
    expect([...screen.pixels].map((one) => one & 0xff_ffff)).toEqual([pixel, pixel, 0, 0, 0, pixel])
  })

  test('only what is said to be dirty is taken over, whatever rectangle is named', () => {
    const coordinate = fc.integer({ min: -20, max: 20 })
    const side = fc.integer({ min: -3, max: 30 })
    fc.assert(
      fc.property(fc.array(fc.tuple(coordinate, coordinate, side, side), { maxLength: 100 }), (areas) => {
        const screen = new Screen()
        screen.setMode({ width: 9, height: 7, stride: 36, format: 'bgrx8888' })
        screen.draw(
          new Uint8Array(36 * 7).fill(0xff),
          areas.map(([x, y, width, height]) => ({ x, y, width, height })),
        )
        const expected = Array.from({ length: 63 }, (_, i) => {
          const [column, row] = [i % 9, Math.floor(i / 9)]
          const within = areas.some(([x, y, w, h]) => column >= x && column < x + w && row >= y && row < y + h)
          return within ? 0xffff_ffff : 0
        })
        expect([...screen.pixels]).toEqual(expected)
      }),
    )
  })
})

describe('frames', () => {
  test('come at their rate on a host that is late now and then, and with pauses on one that is slower', () => {
    const screen = new Screen({ intervalMs: 10 })
    void new Card(screen)
    const delays: unknown[] = []
    const ticks: (() => void)[] = []
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((tick: () => void, ms: number) => {
      delays.push(ms)
      ticks.push(tick)
    }) as never)
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
    screen.watch(() => {})
    for (const late of [1014, 1021, 1029.5, 1085, 1095]) {
      now.mockReturnValue(late)
      ticks.shift()!()
    }
    vi.restoreAllMocks()
    expect(delays).toEqual([10, 6, 9, 10.5, 10, 10])
  })

  test('begin with a whole period each time that somebody watches, and the clock may go back', () => {
    const screen = new Screen({ intervalMs: 10 })
    void new Card(screen)
    const delays: unknown[] = []
    let tick = (): void => {}
    vi.spyOn(globalThis, 'setTimeout').mockImplementation(((next: () => void, ms: number) => {
      delays.push(ms)
      tick = next
      return {}
    }) as never)
    const now = vi.spyOn(performance, 'now').mockReturnValue(1000)
    let stop = screen.watch(() => {})
    now.mockReturnValue(1001)
    stop()
    // Watching anew within a frame makes it no second timer.
    stop = screen.watch(() => {
      stop()
      stop = screen.watch(() => {})
    })
    expect(delays).toEqual([10, 10])
    now.mockReturnValue(500)
    tick()
    vi.restoreAllMocks()
    expect(delays).toEqual([10, 10, 10])
  })

  test('a card is asked for changes while somebody watches, and left alone otherwise', () => {
    const screen = new Screen({ intervalMs: 10 })
    const card = new Card(screen)
    vi.advanceTimersByTime(100)
    expect([card.calls, screen.visible]).toEqual([[], false])
    const frames: ScreenFrame[] = []
    const stop = screen.watch((frame) => frames.push(frame))
    expect([card.calls, screen.visible]).toEqual([['refresh'], true])
    expect(frames).toEqual([{ resized: true, dirty: [{ x: 0, y: 0, width: 8, height: 8 }] }])
    vi.advanceTimersByTime(20)
    expect(frames.length).toBe(1)
    card.dirty = [{ x: 1, y: 2, width: 3, height: 4 }]
    vi.advanceTimersByTime(10)
    expect(frames[1]).toEqual({ resized: false, dirty: card.dirty })
    stop()
    stop()
    vi.advanceTimersByTime(100)
    expect(card.calls).toEqual(['refresh', 'update', 'update', 'update'])
    expect(screen.visible).toBe(false)
  })

  test('a second watcher begins with the whole picture, and each has every frame', () => {
    const screen = new Screen({ intervalMs: 10 })
    const card = new Card(screen)
    const seen: number[] = [0, 0]
    screen.watch((frame) => (seen[0]! += frame.dirty.length))
    vi.advanceTimersByTime(10)
    screen.watch((frame) => (seen[1]! += frame.resized ? 100 : frame.dirty.length))
    card.dirty = [{ x: 0, y: 0, width: 1, height: 1 }]
    vi.advanceTimersByTime(10)
    expect(seen).toEqual([2, 101])
  })

  test('a change of size is told, and so is a display that goes off', () => {
    const screen = new Screen({ intervalMs: 10 })
    const card = new Card(screen)
    const sizes: string[] = []
    screen.watch(({ resized }) => sizes.push(`${resized} ${screen.width}×${screen.height} ${screen.pixels.length}`))
    card.size = 4
    vi.advanceTimersByTime(10)
    screen.setMode(null)
    card.update = () => {}
    vi.advanceTimersByTime(10)
    expect(sizes).toEqual(['true 8×8 64', 'true 4×4 16', 'true 0×0 0'])
  })

  test('many rectangles become one', () => {
    const screen = new Screen({ intervalMs: 10 })
    const card = new Card(screen)
    card.size = 64
    const frames: ScreenFrame[] = []
    screen.watch((frame) => frames.push(frame))
    card.dirty = Array.from({ length: 60 }, (_, i) => ({ x: i, y: 2, width: 1, height: 1 }))
    vi.advanceTimersByTime(10)
    card.dirty = Array.from({ length: 65 }, (_, i) => ({ x: i % 60, y: 2, width: 1, height: 1 }))
    vi.advanceTimersByTime(10)
    card.dirty = card.dirty.slice(1)
    vi.advanceTimersByTime(10)
    expect(frames.slice(1).map(({ dirty }) => dirty.length)).toEqual([60, 1, 64])
    expect(frames[2]?.dirty).toEqual([{ x: 0, y: 2, width: 60, height: 1 }])
  })

  test('a new card of a machine that starts anew takes the place of the old one', () => {
    const screen = new Screen({ intervalMs: 10 })
    const old = new Card(screen)
    screen.watch(() => {})
    const card = new Card(screen)
    vi.advanceTimersByTime(10)
    expect([old.calls, card.calls]).toEqual([['refresh'], ['refresh', 'update']])
  })
})

test('the text of a text mode is Unicode without blanks at line ends', () => {
  const screen = new Screen()
  const cells = Uint16Array.from('Hi \0\xdb\x01  \0\0\0\0', (character) => 0x0700 | character.charCodeAt(0))
  const text: DisplayText = { columns: 3, rows: 4, cells, cursor: null, palette: new Uint32Array(16) }
  screen.setMode({ width: 24, height: 64, stride: 96, format: 'bgrx8888' })
  expect(screen.text).toBeNull()
  screen.setText(text)
  cells.fill(0)
  expect(screen.text).toBe('Hi\n █☺')
  screen.setMode(null)
  expect(screen.text).toBeNull()
})

test('a PNG file is what its specification says', async () => {
  const screen = new Screen()
  const pixels = Uint8Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 89) & 0xff)
  screen.setMode({ width: 5, height: 3, stride: 20, format: 'bgrx8888' })
  screen.draw(pixels, [{ x: 0, y: 0, width: 5, height: 3 }])
  vi.useRealTimers()
  const png = Buffer.from(await screen.toPng())
  expect(png.subarray(0, 16).toString('latin1')).toBe('\x89PNG\r\n\x1a\n\0\0\0\rIHDR')
  expect([png.readUInt32BE(16), png.readUInt32BE(20), ...png.subarray(24, 29)]).toEqual([5, 3, 8, 2, 0, 0, 0])
  const length = png.readUInt32BE(33)
  const rows = inflateSync(png.subarray(41, 41 + length))
  const decoded: number[] = []
  for (let y = 0; y < 3; y++) {
    expect(rows[y * 16]).toBe(2)
    for (let x = 0; x < 15; x++) decoded.push((rows[y * 16 + 1 + x]! + (decoded[(y - 1) * 15 + x] ?? 0)) & 0xff)
  }
  expect(decoded).toEqual([...screen.pixels].flatMap((pixel) => [(pixel >> 16) & 255, (pixel >> 8) & 255, pixel & 255]))
  // The checksum of an empty IEND is known to everybody.
  expect(png.subarray(-12).toString('hex')).toBe('0000000049454e44ae426082')
})

describe('misuse', () => {
  test('of a screen is a DisplayError', async () => {
    expect(() => new Screen({ intervalMs: 0 })).toThrow(DisplayError)
    expect(() => new Screen({ intervalMs: 60_001 })).toThrow(DisplayError)
    for (const intervalMs of [1e-3, 60_000]) expect(() => new Screen({ intervalMs })).not.toThrow()
    expect(() => new Screen({ intervalMs: Number.NaN })).toThrow('intervalMs NaN')
    await expect(new Screen().toPng()).rejects.toMatchObject({ code: 'ERR_OFF' })
  })

  test('by a model is a DeviceError', () => {
    const screen = new Screen()
    const bad = { code: 'ERR_INVALID' }
    expect(() => screen.draw(new Uint8Array(4), [])).toThrow(expect.objectContaining(bad))
    for (const width of [0, -1, 1.5, 16_385, Number.NaN]) {
      expect(() => screen.setMode({ width, height: 1, stride: 4, format: 'bgrx8888' })).toThrow(
        expect.objectContaining(bad),
      )
    }
    for (const stride of [-1, 0.5, Number.NaN]) {
      expect(() => screen.setMode({ width: 1, height: 1, stride, format: 'bgrx8888' })).toThrow(
        expect.objectContaining(bad),
      )
    }
    // A card may show one row everywhere.
    screen.setMode({ width: 1, height: 16_384, stride: 0, format: 'bgrx8888' })
    screen.draw(new Uint8Array(4).fill(9), [{ x: 0, y: 16_383, width: 1, height: 1 }])
    expect([screen.pixels.length, screen.pixels.at(-1)]).toEqual([16_384, 0x0909_0909])
    screen.setMode({ width: 16_384, height: 1, stride: 65_536, format: 'bgrx8888' })
    expect(screen.width).toBe(16_384)
    screen.setMode({ width: 2, height: 2, stride: 10, format: 'bgrx8888' })
    expect(() => screen.draw(new Uint8Array(17), [])).toThrow(expect.objectContaining(bad))
    screen.draw(new Uint8Array(18), [{ x: 0, y: 0, width: 2, height: 2 }])
    const text = { columns: 2, rows: 2, cells: new Uint16Array(3), cursor: null, palette: new Uint32Array(16) }
    expect(() => screen.setText(text)).toThrow(expect.objectContaining(bad))
  })
})
