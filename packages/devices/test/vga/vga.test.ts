import { DeviceError } from '@retrap/device'
import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Screen } from '@retrap/display'
import { StandardVga } from '../../src/vga/index.ts'
import { FakeMachine } from '../support/fake-machine.ts'
import { holds } from '../support/holds.ts'
import { vgaCase } from '../support/vga-case.ts'
import { vgaMachine, type VgaMachine } from '../support/vga-machine.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const TEXT = 0xb_8000

function indexed({ machine }: VgaMachine, port: number, values: Readonly<Record<number, number>>): void {
  for (const [index, value] of Object.entries(values)) {
    machine.out(port, Number(index))
    machine.out(port + 1, value)
  }
}

function attributes({ machine }: VgaMachine, values: Readonly<Record<number, number>>): void {
  for (const [index, value] of Object.entries(values)) {
    machine.in(0x3da)
    machine.out(0x3c0, Number(index))
    machine.out(0x3c0, value)
  }
  machine.in(0x3da)
  machine.out(0x3c0, 0x20)
}

/** Grey from the pixel value, four steps each. */
function greys({ machine }: VgaMachine): void {
  machine.out(0x3c8, 0)
  for (let i = 0; i < 3 * 64; i++) machine.out(0x3c9, Math.floor(i / 3))
}

/** Mode 3 of a VGA BIOS: 80 by 25 characters of 9 by 16 dots (IBM, "Video Subsystem", "BIOS Video Modes"). */
function mode3(vga: VgaMachine): void {
  vga.machine.out(0x3c2, 0x67)
  indexed(vga, 0x3c4, { 1: 0, 2: 3, 3: 0, 4: 2 })
  indexed(vga, 0x3d4, {
    0x11: 0,
    0: 0x5f,
    1: 79,
    6: 0xbf,
    7: 0x1f,
    9: 0x4f,
    10: 13,
    11: 14,
    0x10: 0x9c,
    0x12: 0x8f,
    0x13: 40,
    0x18: 0xff,
    0x17: 0xa3,
  })
  indexed(vga, 0x3d4, { 0x11: 0x8e })
  indexed(vga, 0x3ce, { 5: 0x10, 6: 0x0e, 8: 0xff })
  attributes(vga, {
    ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [i, i])),
    0x10: 0x0c,
    0x12: 15,
    0x13: 8,
  })
  greys(vga)
}

function glyph(vga: VgaMachine, character: number, rows: readonly number[]): void {
  indexed(vga, 0x3c4, { 2: 4, 4: 6 })
  indexed(vga, 0x3ce, { 5: 0, 6: 4 })
  rows.forEach((row, i) => vga.machine.store(0xa_0000 + 32 * character + i, row, 1))
  indexed(vga, 0x3c4, { 2: 3, 4: 2 })
  indexed(vga, 0x3ce, { 5: 0x10, 6: 0x0e })
}

function setDispi({ machine }: VgaMachine, values: Readonly<Record<number, number>>): void {
  for (const [index, value] of Object.entries(values)) {
    machine.out(0x1ce, Number(index), 2)
    machine.out(0x1d0, value, 2)
  }
}

function getDispi({ machine }: VgaMachine, index: number): number {
  machine.out(0x1ce, index, 2)
  return machine.in(0x1d0, 2)
}

const grey = (value: number): number => ((value << 2) | (value >> 4)) * 0x01_0101

/** Dots of a row as characters: each of the values that are named. */
function dots(vga: VgaMachine, y: number, count: number): string {
  const row = vga.screen.pixels.subarray(y * vga.screen.width, y * vga.screen.width + count)
  return [...row].map((pixel) => ((pixel & 0xff) >> 2).toString(16)).join('')
}

describe('text', () => {
  test('shows characters, their colours and the cursor, and says what it shows', () => {
    const vga = vgaMachine()
    mode3(vga)
    glyph(vga, 0x41, [0x81, 0x18])
    glyph(vga, 0xc4, [0x01])
    vga.machine.store(TEXT, 0x1e41, 2)
    vga.machine.store(TEXT + 2, 0x07c4, 2)
    indexed(vga, 0x3d4, { 15: 1 })
    vga.screen.refresh()
    expect([vga.screen.width, vga.screen.height]).toEqual([720, 400])
    // The eighth dot of characters that draw lines is there again as the ninth.
    expect(dots(vga, 0, 20)).toBe('e111111e1' + '000000077' + '00')
    expect(dots(vga, 1, 9)).toBe('111ee1111')
    expect(dots(vga, 13, 27)).toBe('111111111' + '777777777' + '000000000')
    expect(vga.screen.text).toBe('A─')
    expect(vga.screen.cells).toMatchObject({ columns: 80, rows: 25, cursor: { column: 1, row: 0 } })
  })

  test('blinks by the time of the machine: the cursor each 16 frames, characters each 32', () => {
    const vga = vgaMachine()
    mode3(vga)
    glyph(vga, 0x41, [0xff])
    vga.machine.store(TEXT, 0x8741, 2)
    indexed(vga, 0x3d4, { 15: 1 })
    const seen: string[] = []
    for (let i = 0; i < 5; i++) {
      vga.screen.refresh()
      seen.push(`${dots(vga, 0, 1)} ${dots(vga, 13, 10).at(-1)}`)
      // 449 lines of 900 dots at 28.322 MHz, 16 of them.
      vga.machine.advance(16 * ((449 * 900) / 28.322) * 1000)
    }
    expect(seen).toEqual(['7 0', '7 0', '0 0', '0 0', '7 0'])
  })

  test('only characters that have changed are drawn anew', () => {
    const vga = vgaMachine()
    mode3(vga)
    glyph(vga, 0x41, [0xff])
    indexed(vga, 0x3d4, { 10: 0x20 })
    const frames: unknown[] = []
    vga.screen.watch(({ dirty }) => frames.push(dirty))
    vga.machine.store(TEXT + 2 * (3 * 80 + 5), 0x0741, 2)
    vi.advanceTimersByTime(10)
    vi.advanceTimersByTime(10)
    vga.machine.store(TEXT + 2 * (3 * 80 + 5), 0x0741, 2)
    vi.advanceTimersByTime(10)
    expect(frames.slice(1)).toEqual([[{ x: 45, y: 48, width: 9, height: 16 }]])
    // A font that changes does so in all of its characters.
    glyph(vga, 0x41, [0x0f])
    vi.advanceTimersByTime(10)
    expect(frames.length).toBe(3)
    expect(dots(vga, 48, 54).slice(45)).toBe('000077770')
  })

  test('panning moves dots to the left, and ends at the line compare where it is to', () => {
    const vga = vgaMachine()
    mode3(vga)
    glyph(vga, 0x41, [0x81, 0x81, 0x81, 0x81])
    vga.machine.store(TEXT, 0x0741, 2)
    attributes(vga, { 0x10: 0x2c, 0x13: 1 })
    // Line 1 is the last one before memory begins anew.
    indexed(vga, 0x3d4, { 9: 0x0f, 7: 0x0f, 0x18: 1, 10: 0x20 })
    vga.screen.refresh()
    expect([0, 1, 2, 3].map((y) => dots(vga, y, 9))).toEqual(['000007000', '000007000', '700000070', '700000070'])
  })
})

describe('DISPI', () => {
  test.each([
    { bits: 8, bytes: [5], pixel: grey(5) },
    { bits: 15, bytes: [0x1f, 0x7c], pixel: 0xff00ff },
    { bits: 16, bytes: [0xe0, 0x07], pixel: 0x00ff00 },
    { bits: 24, bytes: [1, 2, 3], pixel: 0x030201 },
    { bits: 32, bytes: [1, 2, 3, 0], pixel: 0x030201 },
  ])('has modes of $bits bits up to 1920 by 1200', ({ bits, bytes, pixel }) => {
    const vga = vgaMachine()
    greys(vga)
    attributes(vga, {})
    setDispi(vga, { 1: 1920, 2: 1200, 3: bits, 4: 0x41 })
    expect([1, 2, 3, 6].map((index) => getDispi(vga, index))).toEqual([1920, 1200, bits, 1920])
    vga.memory.view.set(bytes, (1919 + 1199 * 1920) * bytes.length)
    vga.screen.refresh()
    expect([vga.screen.width, vga.screen.height]).toEqual([1920, 1200])
    expect(vga.screen.pixels.at(-1)! & 0xff_ffff).toBe(pixel)
    expect(vga.screen.pixels.at(-2)! & 0xff_ffff).toBe(0)
  })

  test('a mode of four bits is planar', () => {
    const vga = vgaMachine()
    greys(vga)
    attributes(vga, { ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [i, i])), 0x12: 15 })
    setDispi(vga, { 1: 800, 2: 600, 3: 4, 4: 0x41 })
    vga.machine.out(0x3c2, 3)
    indexed(vga, 0x3c4, { 2: 9, 4: 6 })
    indexed(vga, 0x3ce, { 5: 0, 6: 5, 8: 0xff })
    vga.machine.store(0xa_0000 + 100, 0xc0, 1)
    vga.screen.refresh()
    expect(dots(vga, 1, 4)).toBe('9900')
  })

  test('a picture begins at its offsets, rows are as long as the virtual width, and both stay in memory', () => {
    const vga = vgaMachine()
    attributes(vga, {})
    setDispi(vga, { 1: 640, 2: 480, 3: 32, 4: 1, 6: 1024, 8: 16, 9: 100 })
    expect([6, 7].map((index) => getDispi(vga, index))).toEqual([1024, 4096])
    new DataView(vga.memory.view.buffer).setUint32(4 * (100 * 1024 + 16), 0x123456, true)
    vga.screen.refresh()
    expect(vga.screen.pixels[0]).toBe(0x123456)
    setDispi(vga, { 9: 4000 })
    expect(getDispi(vga, 9)).toBe(0)
  })

  test('only rows of pages that were written are drawn anew', () => {
    const vga = vgaMachine()
    attributes(vga, {})
    setDispi(vga, { 1: 1024, 2: 768, 3: 32, 4: 1 })
    const frames: unknown[] = []
    vga.screen.watch(({ dirty }) => frames.push(dirty))
    vga.memory.write(4096 * 7 + 10, Uint8Array.of(1, 2, 3))
    vga.memory.write(4096 * 8, Uint8Array.of(1))
    vga.memory.write(4096 * 100, Uint8Array.of(1))
    vi.advanceTimersByTime(20)
    const row = { x: 0, width: 1024 }
    expect(frames.slice(1)).toEqual([
      [
        { ...row, y: 7, height: 2 },
        { ...row, y: 100, height: 1 },
      ],
    ])
  })

  test('of 256 colours too, wherever the picture begins', () => {
    const vga = vgaMachine()
    greys(vga)
    attributes(vga, {})
    const [stride, left, top] = [1000, 24, 5]
    setDispi(vga, { 1: 640, 2: 480, 3: 8, 4: 1, 6: stride, 8: left, 9: top })
    const at = (x: number, y: number): number => (top + y) * stride + left + x
    const pixel = (x: number, y: number): number => vga.screen.pixels[y * 640 + x]! & 0xff_ffff
    vga.screen.watch(() => {})
    vi.advanceTimersByTime(20)
    // The first and the last dot, the ends of a row that two pages have parts of, and rows of one page in one frame.
    const places = [
      [0, 0],
      [639, 479],
      [0, 7],
      [639, 7],
      [5, 200],
      [5, 201],
    ] as const
    for (const [i, [x, y]] of places.entries()) {
      vga.memory.write(at(x, y), Uint8Array.of(i + 1))
      if (i !== 4) vi.advanceTimersByTime(20)
    }
    expect(places.map(([x, y]) => pixel(x, y))).toEqual(places.map((_, i) => grey(i + 1)))
    // Written past the log: only a row whose page was written is made anew.
    vga.memory.view[at(1, 300)] = 9
    vga.memory.view[at(1, 100)] = 9
    vga.memory.write(at(0, 100), Uint8Array.of(8))
    vi.advanceTimersByTime(20)
    expect([pixel(1, 100), pixel(1, 300)]).toEqual([grey(9), 0])
  })

  test('writes are logged while somebody watches', () => {
    const vga = vgaMachine()
    vga.screen.refresh()
    expect(vga.memory.logged).toBe(false)
    const stop = vga.screen.watch(() => {})
    expect(vga.memory.logged).toBe(true)
    stop()
    vga.screen.refresh()
    expect(vga.memory.logged).toBe(false)
  })

  test('writes through the legacy window are told page by page', () => {
    const vga = vgaMachine()
    vga.memory.logWrites(true)
    vga.machine.out(0x3c2, 0x67)
    indexed(vga, 0x3c4, { 2: 15, 4: 6 })
    indexed(vga, 0x3ce, { 5: 0, 6: 5, 8: 0xff })
    const dirty = new Uint32Array(2)
    // A byte of the window is one of each plane: 1024 of them are a page.
    for (const page of [0, 1, 5, 31, 32, 40, 63]) {
      vga.machine.store(0xa_0000 + 1024 * page + 1023, 1, 1)
      vga.vga.quiesce()
      expect(vga.memory.takeDirty(0, 64 * 4096, dirty)).toBe(1)
      expect([...dirty]).toEqual([page < 32 ? (1 << page) >>> 0 : 0, page < 32 ? 0 : (1 << (page - 32)) >>> 0])
    }
    vga.vga.quiesce()
    expect(vga.memory.takeDirty(0, 64 * 4096, dirty)).toBe(0)
  })

  test('its registers, and those of VGA, are in BAR 2 too', () => {
    const vga = vgaMachine()
    const bar = vga.machine.functions.get(16)?.options.bars?.find(({ index }) => index === 2)?.handler
    void bar?.write(0x502, 2, 800)
    void bar?.write(0x3c4 - 0x3c0 + 0x400, 2, 0x0a02)
    expect([getDispi(vga, 1), bar?.read(0x500, 2), bar?.read(0x405, 1), bar?.read(0x600, 4)]).toEqual([
      800, 0xb0c5, 10, 8,
    ])
  })
})

test('on a board without the old places of a VGA, a mode is set and drawn by the BARs alone', () => {
  const screen = new Screen()
  const machine = new FakeMachine(new StandardVga({ display: screen, legacy: false, device: 30 }))
  for (const port of [0x3b4, 0x3c0, 0x3d4, 0x3da, 0x1ce])
    expect(() => machine.in(port), `${port}`).toThrow('nothing at')
  expect(() => machine.load(0xa_0000, 1)).toThrow('nothing at')
  const bar = machine.functions.get(30 << 3)?.options.bars?.find(({ index }) => index === 2)?.handler
  for (const [register, value] of Object.entries({ 1: 320, 2: 200, 3: 32, 4: 0x41 }))
    void bar?.write(0x500 + 2 * Number(register), 2, value)
  // The attribute controller shows its picture (IBM, "Video Subsystem", "Attribute Address Register").
  void bar?.write(0x400, 1, 0x20)
  screen.refresh()
  expect([screen.width, screen.height]).toEqual([320, 200])
})

test('input status tells where the beam is, by the time of the machine', () => {
  const vga = vgaMachine()
  mode3(vga)
  // Bit 3 in lines 412 and 413 of 449; bit 0 outside of 400 lines of 720 dots.
  const lineNs = (900 / 28.322) * 1000
  const at = (line: number, part: number): number => {
    vga.machine.time = (7 * 449 + line + part) * lineNs
    return vga.machine.in(0x3da)
  }
  expect([at(0, 0.1), at(0, 0.95), at(399, 0.5), at(400, 0.5), at(412, 0.5), at(413, 0.5), at(414, 0.5)]).toEqual([
    0, 1, 0, 1, 9, 9, 1,
  ])
})

test('a black picture has the size of the one before, whatever the registers say while a mode is set', () => {
  const vga = vgaMachine()
  const size = (): number[] => {
    vga.screen.refresh()
    return [vga.screen.width, vga.screen.height]
  }
  // QEMU shows as much before a mode is set.
  expect(size()).toEqual([640, 480])
  mode3(vga)
  expect(size()).toEqual([720, 400])
  vga.machine.in(0x3da)
  vga.machine.out(0x3c0, 0)
  indexed(vga, 0x3d4, { 0x11: 0, 1: 0, 0x12: 0 })
  expect(size()).toEqual([720, 400])
  expect(vga.screen.pixels.every((pixel) => pixel === 0)).toBe(true)
})

test('a restored card cannot be told from the one that was saved', () =>
  holds(slicedCount(60, 4), (draw) => {
    const [one, two] = [vgaMachine(), vgaMachine()]
    const run = (vga: VgaMachine, { kind, address, size, value }: ReturnType<typeof vgaCase>[number]): number => {
      if (kind === 'dispi') vga.machine.out(0x1ce, address, 2)
      const port = kind === 'dispi' ? 0x1d0 : address
      if (kind === 'memory' && value === undefined) return vga.machine.load(address, size)
      if (kind === 'memory') vga.machine.store(address, value!, size)
      else if (value === undefined) return vga.machine.in(port, size)
      else vga.machine.out(port, value, size)
      return 0
    }
    const accesses = vgaCase(draw)
    const middle = draw(accesses.length)
    for (const access of accesses.slice(0, middle)) run(one, access)
    two.memory.view.set(one.memory.view)
    one.vga.quiesce()
    two.vga.restore(structuredClone(one.vga.save()))
    for (const access of accesses.slice(middle)) expect(run(two, access)).toBe(run(one, access))
    one.screen.refresh()
    two.screen.refresh()
    expect(two.screen.pixels).toEqual(one.screen.pixels)
    expect(two.vga.save()).toEqual(one.vga.save())
  }))

test('whatever a guest writes to its registers, there is a picture, and it takes bounded time', () => {
  const vga = vgaMachine()
  vga.screen.watch(() => {})
  const byte = fc.nat(255)
  const ports = [0x3b4, 0x3b5, 0x3c0, 0x3c2, 0x3c4, 0x3c5, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5]
  const write = fc.oneof(
    fc.record({ port: fc.constantFrom(...ports), value: byte, index: fc.constant(-1) }),
    fc.record({ port: fc.constant(0x1d0), value: fc.nat(0xffff), index: fc.nat(12) }),
  )
  fc.assert(
    fc.property(fc.array(write, { maxLength: 60, size: 'max' }), fc.nat(0x1_fffc), (writes, at) => {
      for (const { port, value, index } of writes) {
        if (index >= 0) setDispi(vga, { [index]: value })
        else vga.machine.out(port, value)
      }
      vga.machine.store(0xa_0000 + at, 0x1234_5678, 4)
      vga.machine.load(0xa_0000 + at, 4)
      vga.machine.in(0x3da)
      vi.advanceTimersByTime(10)
      vga.screen.refresh()
      expect(vga.screen.width).toBeGreaterThan(0)
    }),
    { numRuns: slicedCount(100, 4) },
  )
})

test('mistakes of a caller are DeviceErrors', () => {
  for (const options of [{ device: 0 }, { memoryBytes: 3 << 20 }, { rom: new Uint8Array(65_537) }])
    expect(() => new StandardVga(options)).toThrow(DeviceError)
  const { vga } = vgaMachine()
  const saved = vga.save()
  const bad: unknown[] = [
    null,
    { ...saved, version: 2 },
    { ...saved, registers: { ...(saved.registers as object), crtc: new Uint8Array(3) } },
    { ...saved, dac: { ...(saved.dac as object), colours: [] } },
    { ...saved, dispi: { index: 0, registers: [1] } },
    { ...saved, registers: undefined },
    { ...saved, dac: null },
    { ...saved, dispi: 'on' },
    { ...saved, dac: { ...(saved.dac as object), pending: undefined } },
  ]
  for (const state of bad) expect(() => vga.restore(state)).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
})
