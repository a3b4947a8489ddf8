import type { AudioFormat, RangeHandler } from '@retrap/device'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Ac97 } from '../src/ac97/index.ts'
import { FakeMachine } from './support/fake-machine.ts'

const RING = 0x1000
const DATA = 0x1_0000
const OUT = 0x10
const SLOT = 5

class Sound {
  readonly machine = new FakeMachine()
  readonly played: number[] = []
  readonly formats: AudioFormat[] = []
  readonly model = new Ac97({
    device: SLOT,
    audio: {
      play: (samples, format) => {
        this.played.push(...samples)
        this.formats.push(format)
      },
    },
  })
  readonly mixer: RangeHandler
  readonly master: RangeHandler

  constructor() {
    this.machine.grow(0x10_0000)
    this.model.attach(this.machine.context())
    const { config, options } = this.machine.functions.get(8 * SLOT)!
    config[4] = 5
    this.mixer = options.bars![0]!.handler!
    this.master = options.bars![1]!.handler!
    this.set(0x2c, 2, 4)
  }

  get pin(): boolean {
    return this.machine.line(100 + SLOT).level
  }
  get(offset: number, size: 1 | 2 | 4): number {
    return this.master.read(offset, size) as number
  }
  set(offset: number, value: number, size: 1 | 2 | 4 = 1): void {
    void this.master.write(offset, size, value)
  }

  /** The codec at full volume, at a rate; buffers of so many samples whose values count up. */
  start(rate: number, ...buffers: readonly number[]): void {
    void this.mixer.write(0x2a, 2, 1)
    void this.mixer.write(0x2c, 2, rate)
    void this.mixer.write(0x02, 2, 0)
    void this.mixer.write(0x18, 2, 0x0808)
    const view = new DataView(this.machine.ram.buffer)
    let at = DATA
    buffers.forEach((samples, i) => {
      view.setUint32(RING + 8 * i, at, true)
      view.setUint32(RING + 8 * i + 4, (0x8000_0000 | samples) >>> 0, true)
      at += 2 * samples
    })
    for (let i = 0; i < (at - DATA) / 2; i++) view.setInt16(DATA + 2 * i, (i * 7) % 30_000, true)
    this.set(OUT, RING, 4)
    this.set(OUT + 5, buffers.length - 1)
    this.set(OUT + 0xb, 0x1d)
  }
}

const values = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => ((from + i) * 7) % 30_000)

test('the codec is a STAC9700 that is ready', () => {
  const sound = new Sound()
  expect(sound.get(0x30, 4)).toBe(0x100)
  expect([0x7c, 0x7e, 0x26, 0x02].map((at) => sound.mixer.read(at, 2))).toEqual([0x8384, 0x7600, 0x0f, 0x8000])
  // A rate is fixed until the driver asks for others; it has limits.
  void sound.mixer.write(0x2c, 2, 22_050)
  expect(sound.mixer.read(0x2c, 2)).toBe(48_000)
  void sound.mixer.write(0x2a, 2, 1)
  void sound.mixer.write(0x2c, 2, 22_050)
  expect(sound.mixer.read(0x2c, 2)).toBe(22_050)
  void sound.mixer.write(0x2c, 2, 100)
  expect(sound.mixer.read(0x2c, 2)).toBe(4000)
  // To ask again changes nothing; to ask no more brings the fixed rate back.
  void sound.mixer.write(0x2a, 2, 1)
  expect(sound.mixer.read(0x2c, 2)).toBe(4000)
  void sound.mixer.write(0x2a, 2, 0)
  expect([sound.mixer.read(0x2c, 2), sound.mixer.read(0x32, 2)]).toEqual([48_000, 48_000])
})

test('a buffer without IOC ends without its interrupt (AC \'97 Component Specification, ICH, "Buffer Descriptor List")', () => {
  const sound = new Sound()
  sound.start(48_000, 96, 96, 96, 96)
  new DataView(sound.machine.ram.buffer).setUint32(RING + 12, 96, true)
  sound.machine.advance(1.5e6)
  expect([sound.get(OUT + 4, 1), sound.get(OUT + 6, 2), sound.pin]).toEqual([1, 8, true])
  sound.set(OUT + 6, 0x1c)
  sound.machine.advance(1e6)
  expect([sound.get(OUT + 4, 1), sound.get(OUT + 6, 2), sound.pin]).toEqual([2, 0, false])
  sound.machine.advance(1e6)
  expect([sound.get(OUT + 4, 1), sound.get(OUT + 6, 2), sound.pin]).toEqual([3, 8, true])
})

test('samples are played as time passes, each buffer with its interrupt, and it stands at the last', () => {
  const sound = new Sound()
  sound.start(48_000, 960, 480)
  expect([sound.get(OUT + 4, 1), sound.get(OUT + 8, 2), sound.get(OUT + 6, 2)]).toEqual([0, 960, 0])
  sound.machine.advance(5e6)
  expect(sound.get(OUT + 8, 2)).toBe(480)
  expect(sound.played).toEqual(values(480))
  sound.machine.advance(5.01e6)
  expect([sound.get(OUT + 4, 1), sound.pin, sound.get(0x30, 4)]).toEqual([1, true, 0x140])
  sound.set(OUT + 6, 0x1c)
  expect(sound.pin).toBe(false)
  sound.machine.advance(50e6)
  expect(sound.get(OUT + 6, 2)).toBe(0x0f)
  expect(sound.played).toEqual(values(1440))
  expect(sound.formats[0]).toEqual({ rate: 48_000, channels: 2 })
  // A later last buffer has it go on.
  new DataView(sound.machine.ram.buffer).setUint32(RING + 16, DATA, true)
  new DataView(sound.machine.ram.buffer).setUint32(RING + 20, 96, true)
  sound.set(OUT + 5, 2)
  expect(sound.get(OUT + 6, 2) & 3).toBe(0)
  sound.machine.advance(50e6)
  expect(sound.played).toEqual([...values(1440), ...values(96)])
})

test.each([
  { rate: 48_000, samples: 960, endNs: 10_000_000 },
  { rate: 48_000, samples: 96, endNs: 1_000_000 },
  { rate: 44_100, samples: 882, endNs: 10_000_000 },
  { rate: 44_100, samples: 100, endNs: 1_133_787 },
  { rate: 8000, samples: 2, endNs: 125_000 },
])('a buffer of $samples samples at $rate ends to the nanosecond', ({ rate, samples, endNs }) => {
  const sound = new Sound()
  sound.start(rate, samples, samples)
  sound.machine.advance(endNs - 1)
  expect(sound.pin).toBe(false)
  sound.machine.advance(1)
  expect(sound.pin).toBe(true)
  // The second one ends in its time from the beginning, not from the first one's rounded end.
  sound.set(OUT + 6, 0x1c)
  const second = Math.ceil((samples / 2 / rate) * 2 * 1e9)
  sound.machine.advance(second - endNs - 1)
  expect(sound.pin).toBe(false)
  sound.machine.advance(1)
  expect(sound.pin).toBe(true)
})

test.each([4000, 44_100])('a rate of %i that is set while it plays counts from then on', (rate) => {
  const sound = new Sound()
  sound.start(24_000, 60_000)
  sound.machine.advance(500e6)
  expect(sound.played.length).toBe(24_000)
  void sound.mixer.write(0x2c, 2, rate)
  sound.machine.advance(100e6)
  expect(sound.get(OUT + 8, 2)).toBe(60_000 - 24_000 - (2 * rate) / 10)
})

test.each([
  { master: 0x8000, pcm: 0x0808, left: 0, right: 0 },
  { master: 0x0000, pcm: 0x8808, left: 0, right: 0 },
  { master: 0x0400, pcm: 0x0808, left: 0.5012, right: 1 },
  { master: 0x0000, pcm: 0x080c, left: 1, right: 0.5012 },
])('volumes $master and $pcm', ({ master, pcm, left, right }) => {
  const sound = new Sound()
  sound.start(48_000, 480)
  void sound.mixer.write(0x02, 2, master)
  void sound.mixer.write(0x18, 2, pcm)
  sound.machine.advance(20e6)
  values(480).forEach((value, i) => expect(Math.abs(sound.played[i]! - value * (i % 2 ? right : left))).toBeLessThan(2))
})

test('nothing is played without the right to the bus, or after a cold reset', () => {
  const sound = new Sound()
  sound.machine.functions.get(8 * SLOT)!.config[4] = 1
  sound.start(48_000, 960)
  sound.machine.advance(5e6)
  expect(sound.played).toEqual([])
  sound.machine.functions.get(8 * SLOT)!.config[4] = 5
  sound.set(0x2c, 0, 4)
  sound.machine.advance(50e6)
  expect(sound.played).toEqual([])
  expect(sound.get(0x30, 4)).toBe(0)
})

test('a snapshot goes on where it was', () => {
  const sound = new Sound()
  sound.start(44_100, 4410, 4410)
  sound.machine.advance(33e6)
  const state = structuredClone(sound.model.save())
  const other = new Sound()
  other.machine.ram.set(sound.machine.ram)
  other.machine.time = sound.machine.time
  other.model.restore(state)
  expect(other.model.save()).toEqual(state)
  const before = sound.played.length
  sound.machine.advance(200e6)
  other.machine.advance(200e6)
  expect(sound.played).toEqual(values(8820))
  expect(other.played).toEqual(sound.played.slice(before))
  sound.model.reset()
  expect(sound.get(OUT + 6, 2)).toBe(1)
})

test('rings that lie, and a host that was away, end', () => {
  const step = fc.tuple(
    fc.constantFrom(0x00, 0x10, 0x14, 0x15, 0x16, 0x1b, 0x05, 0x0b, 0x25, 0x2b, 0x2c, 0x34),
    fc.nat({ max: 255 }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), fc.nat({ max: 0xffff }), (steps, seed) => {
      const sound = new Sound()
      sound.start(48_000, seed, 0, 0, 65_535, 1)
      for (const [offset, value] of steps) {
        sound.set(offset, value)
        sound.get(offset & ~3, 4)
        sound.machine.leap(value * 1e6)
      }
      sound.machine.leap(1e15)
      expect(sound.played.length).toBeLessThan(82 * 33 * 65_536)
      const state = structuredClone(sound.model.save())
      sound.model.restore(state)
      expect(sound.model.save()).toEqual(state)
    }),
    { numRuns: 25 },
  )
})

test('an option is refused', () => {
  expect(() => new Ac97({ device: 32 })).toThrow('expected an integer from 1 to 31')
})
