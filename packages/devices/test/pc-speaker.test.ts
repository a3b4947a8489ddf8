import type { AudioFormat } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { I8254 } from '../src/i8254.ts'
import { FakeMachine } from './support/fake-machine.ts'

const MS = 1_000_000
/** Of counter 2 for a frequency. */
const divisor = (hertz: number): number => Math.round(1_193_181.8 / hertz)

interface Heard {
  readonly machine: FakeMachine
  readonly pit: I8254
  readonly samples: number[]
  readonly formats: Set<AudioFormat>
}

function speaker(): Heard {
  const samples: number[] = []
  const formats = new Set<AudioFormat>()
  const pit = new I8254({
    speaker: {
      play: (some, format) => {
        samples.push(...some)
        formats.add(format)
      },
    },
  })
  return { machine: new FakeMachine(pit), pit, samples, formats }
}

/** As Linux's pcspkr does. */
function beep(machine: FakeMachine, hertz: number): void {
  machine.out(0x43, 0xb6)
  machine.out(0x42, divisor(hertz) & 0xff)
  machine.out(0x42, divisor(hertz) >> 8)
  machine.out(0x61, machine.in(0x61) | 3)
}

const quiet = (machine: FakeMachine): void => machine.out(0x61, machine.in(0x61) & 0xfc)

/** How strong a frequency is in samples (Goertzel), as the amplitude of a sine. */
function strength(samples: readonly number[], hertz: number): number {
  let re = 0
  let im = 0
  samples.forEach((sample, i) => {
    re += sample * Math.cos((2 * Math.PI * hertz * i) / 48_000)
    im += sample * Math.sin((2 * Math.PI * hertz * i) / 48_000)
  })
  return (2 * Math.hypot(re, im)) / samples.length
}

describe('PC speaker', () => {
  test('a beep of 440 Hz lasts as long as the gate is open, and is a square wave', () => {
    const { machine, samples, formats } = speaker()
    machine.advance(50 * MS)
    beep(machine, 440)
    machine.advance(500 * MS)
    const sounding = samples.length
    quiet(machine)
    machine.advance(2000 * MS)
    expect([...formats]).toEqual([{ rate: 48_000, channels: 1 }])
    expect(sounding).toBeGreaterThanOrEqual(24_000 - 960)
    // A tenth of a second is left for the cone to come to rest, and no silence follows.
    expect(samples.length).toBeLessThanOrEqual(24_000 + 4800)
    const tone = samples.slice(2400, 22_800)
    const fundamental = strength(tone, 440)
    // A square wave's fundamental is 4/π of its amplitude, half of the swing; odd harmonics are 1/n of it, even ones are none.
    expect(fundamental / ((4 / Math.PI) * 0x2000)).toBeCloseTo(1, 1)
    expect(strength(tone, 1320) / fundamental).toBeCloseTo(1 / 3, 1)
    for (const hertz of [415, 466, 880]) expect(strength(tone, hertz) / fundamental).toBeLessThan(0.05)
    expect(Math.abs(samples.at(-1)!)).toBeLessThan(200)
  })

  test('the tone follows a new count, and looking at the counter changes nothing', () => {
    const alone = speaker()
    const watched = speaker()
    for (const { machine } of [alone, watched]) beep(machine, 440)
    for (let i = 0; i < 100; i++) {
      alone.machine.advance(MS)
      watched.machine.advance(MS)
      watched.machine.in(0x61)
      watched.machine.in(0x42)
    }
    for (const { machine } of [alone, watched]) beep(machine, 880)
    for (const { machine } of [alone, watched]) machine.advance(100 * MS)
    const length = Math.min(alone.samples.length, watched.samples.length)
    expect(length).toBeGreaterThan(9000)
    expect(watched.samples.slice(0, length)).toEqual(alone.samples.slice(0, length))
    const second = alone.samples.slice(5200, 9000)
    expect(strength(second, 880)).toBeGreaterThan(10 * strength(second, 440))
  })

  test('software that switches the data bit itself is heard', () => {
    const { machine, samples } = speaker()
    machine.out(0x43, 0x90)
    for (let i = 0; i < 400; i++) {
      machine.out(0x61, i % 2 === 0 ? 2 : 0)
      machine.advance(500_000)
    }
    const heard = samples.slice(960, 8600)
    // The output of a counter in mode 0 is low until it has counted to its end: there is no current.
    expect(strength(heard, 1000)).toBe(0)
    machine.out(0x42, 1)
    machine.out(0x61, 1)
    machine.advance(MS)
    for (let i = 0; i < 400; i++) {
      machine.out(0x61, i % 2 === 0 ? 3 : 1)
      machine.advance(500_000)
    }
    expect(strength(samples.slice(-8000), 1000)).toBeGreaterThan(0x2000)
  })

  test.each([
    { given: 'a counter that nobody hears', act: (machine: FakeMachine) => machine.out(0x61, 1) },
    { given: 'a tone of 500 kHz', act: (machine: FakeMachine) => beep(machine, 500_000) },
  ])('$given makes no timer run', ({ act }) => {
    const { machine, samples } = speaker()
    act(machine)
    machine.advance(1000 * MS)
    const { length } = samples
    machine.advance(1000 * MS)
    expect(samples).toHaveLength(length)
    expect(machine.timers.nextDeadlineNs).toBe(Infinity)
  })

  test('a host that was late plays one second of what it missed, and a reset ends the tone', () => {
    const { machine, pit, samples } = speaker()
    beep(machine, 440)
    machine.time += 3600e9
    machine.timers.expire()
    expect(samples.length).toBeLessThanOrEqual(48_001)
    expect(samples.length).toBeGreaterThan(47_900)
    pit.reset()
    const { length } = samples
    machine.advance(1000 * MS)
    expect(samples).toHaveLength(length)
  })

  test('a tone goes on in another machine', () => {
    const { machine, pit } = speaker()
    beep(machine, 440)
    machine.advance(100 * MS)
    const other = speaker()
    other.machine.time = machine.time
    other.pit.restore(JSON.parse(JSON.stringify(pit.save())))
    other.machine.advance(200 * MS)
    expect(strength(other.samples.slice(2000, 8000), 440)).toBeGreaterThan(0x2000)
  })
})
