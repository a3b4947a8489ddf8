/** Sound between a machine that sends in bursts and a page that plays at a rate of its own. */
import { describe, expect, test } from 'vitest'
import { SoundRing } from '../src/sound-ring.ts'

const RATE = 48_000
/** Frames that an audio thread asks for at a time. */
const QUANTUM = 128

/** A tone of one channel. */
const tone = (from: number, frames: number, hz = 1000, rate = RATE): Int16Array =>
  Int16Array.from({ length: frames }, (_, i) => 16_384 * Math.sin((2 * Math.PI * hz * (from + i)) / rate))

/** Plays for so many quanta. @returns all frames of the left channel */
function play(ring: SoundRing, quanta: number, rate = RATE): Float32Array {
  const all = new Float32Array(quanta * QUANTUM)
  for (let i = 0; i < quanta; i++)
    ring.addTo(all.subarray(i * QUANTUM, (i + 1) * QUANTUM), new Float32Array(QUANTUM), rate)
  return all
}

const loud = (samples: Float32Array): number => Math.max(...samples.map(Math.abs))

describe('a ring of sound', () => {
  test('is silent until enough is there, plays it all, and is silent again', () => {
    const ring = new SoundRing()
    ring.write(tone(0, 1000), RATE, 1)
    expect(loud(play(ring, 4))).toBe(0)
    ring.write(tone(1000, 4000), RATE, 1)
    const heard = play(ring, 45)
    expect(loud(heard)).toBeCloseTo(0.5, 2)
    expect(loud(play(ring, 100))).toBe(0)
  })

  test.each([8000, 44_100, 48_000])('keeps the pitch of sound of %i Hz at another rate', (rate) => {
    const ring = new SoundRing()
    ring.write(tone(0, rate / 10, 500, rate), rate, 1)
    const heard = play(ring, 25, 32_000)
    const rises = heard.reduce((count, one, i) => count + (i > 0 && heard[i - 1]! < 0 && one >= 0 ? 1 : 0), 0)
    // 3,200 frames at 32 kHz are 0.1 s: 50 periods.
    expect(Math.abs(rises - 50)).toBeLessThan(2)
  })

  test('is never later than a quarter of a second, however long nobody played', () => {
    const ring = new SoundRing()
    for (let i = 0; i < 100; i++) ring.write(tone(0, 4800), RATE, 1)
    let quanta = 0
    while (loud(play(ring, 1)) > 0) quanta++
    expect((quanta * QUANTUM) / RATE).toBeLessThanOrEqual(0.25)
    expect(quanta).toBeGreaterThan(20)
  })

  test('has a clock that differs by 0.3 % play without a gap or a skip', () => {
    const ring = new SoundRing()
    let at = 0
    const all: number[] = []
    for (let i = 0; i < 3000; i++) {
      const frames = Math.round(QUANTUM * 1.003 * (i + 1)) - at
      ring.write(tone(at, frames, 100), RATE, 1)
      at += frames
      all.push(...play(ring, 1))
    }
    const heard = all.slice(QUANTUM * 100)
    // A tone of 100 Hz moves by 0.0066 from one frame to the next.
    const step = heard.reduce((most, one, i) => (i === 0 ? most : Math.max(most, Math.abs(one - heard[i - 1]!))), 0)
    expect(step).toBeLessThan(0.007)
  })

  test('plays both channels of a pair, and adds to what is there', () => {
    const ring = new SoundRing()
    ring.write(
      Int16Array.from({ length: 20_000 }, (_, i) => (i % 2 === 0 ? 8192 : -16_384)),
      RATE,
      2,
    )
    const [left, right] = [new Float32Array(QUANTUM).fill(0.25), new Float32Array(QUANTUM)]
    ring.addTo(left, right, RATE)
    expect([left[0], right[0]]).toEqual([0.5, -0.5])
  })
})
