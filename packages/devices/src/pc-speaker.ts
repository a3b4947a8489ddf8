import type { AudioBackend, AudioFormat } from '@retrap/device'
import type { I8254Channel } from './i8254-channel.ts'
import { PIT_RATE } from './tick-counter.ts'

/** Samples a second. */
const RATE = 48_000
const TICKS_PER_SECOND = (PIT_RATE.ticks * 1e9) / PIT_RATE.nanoseconds
const TICKS_PER_SAMPLE = TICKS_PER_SECOND / RATE
/** Format of a PC speaker's samples. */
export const SPEAKER_FORMAT: AudioFormat = { rate: RATE, channels: 1 }
/** Ticks of the shortest period that is played: samples cannot hold a faster square wave. */
const SHORTEST_PERIOD = 2 * TICKS_PER_SAMPLE
/** Difference between samples without current and with full current. */
const SWING = 0x4000
/** The cone goes back by itself: a high-pass filter of about 19 Hz at this rate. */
const RETURN = 0.9975
/** Ticks from the last change until the sound has faded. */
const TAIL_TICKS = Math.floor(TICKS_PER_SECOND / 10)
/** Most ticks played at once. If the host is late, earlier sound is dropped, so that work stays bounded. */
const MOST_TICKS = Math.floor(TICKS_PER_SECOND)
/** Samples that are handed on at a time. */
const PIECE = 1024

/**
 * The PC's loudspeaker: counter 2 of the timer switches its current, as long as bit 1 of port 0x61 lets it. The sound is worked
 * out from the counter's edges as time passes, each sample the mean of its interval. While nothing changes there are no samples.
 */
export class PcSpeaker {
  /** Ticks after which a sounding speaker is to be brought up to date again. */
  static readonly SLICE_TICKS: number = Math.floor(TICKS_PER_SECOND / 50)

  readonly #channel: I8254Channel
  readonly #audio: AudioBackend
  readonly #samples = new Int16Array(PIECE)
  #count = 0
  /** Bit 1 of port 0x61. */
  #data = false
  /** Tick up to which all is played. */
  #at = 0
  /** The sound that is left after the last change, in ticks; 0: the speaker is silent. */
  #tail = 0
  /** Elapsed part of a sample in ticks, and the ticks of it with current on. */
  #passed = 0
  #flowed = 0
  /** The filter's last input and output. */
  #input = 0
  #output = 0

  constructor(channel: I8254Channel, audio: AudioBackend) {
    this.#channel = channel
    this.#audio = audio
  }

  /** Whether the speaker makes sound as time passes. */
  get sounds(): boolean {
    return this.#tail > 0
  }

  /** Plays sound up to a tick. Call this before the counter advances to the tick or changes. */
  advance(tick: number): void {
    if (this.#tail === 0) {
      this.#at = tick
      return
    }
    if (tick - this.#at > MOST_TICKS) this.#at = tick - MOST_TICKS
    const channel = this.#channel
    channel.sync(this.#at)
    while (this.#at < tick && this.#tail > 0) {
      const moves = this.#moves()
      const next = moves ? Math.min(tick, Math.max(channel.nextChange(), this.#at + 1)) : tick
      const ticks = moves ? next - this.#at : Math.min(next - this.#at, this.#tail)
      this.#play(this.#data && channel.out ? SWING : 0, ticks)
      this.#tail = moves ? TAIL_TICKS : this.#tail - ticks
      this.#at = next
      if (moves) channel.sync(next)
    }
    if (this.#tail === 0) this.#settle()
    this.#flush()
    this.#at = tick
  }

  /** The guest has changed the counter, its gate or the data bit. */
  changed(data: boolean): void {
    const before = this.#data
    this.#data = data
    if (before !== data || (data && this.#moves())) this.#tail = TAIL_TICKS
  }

  /** Drops pending sound, and restarts the count of ticks. */
  restart(tick: number, data: boolean): void {
    this.#data = data
    this.#at = tick
    this.#tail = 0
    this.#settle()
    this.#count = 0
    if (data && this.#moves()) this.#tail = TAIL_TICKS
  }

  /** The origin of the ticks has moved on by this many, up to which all is played. */
  moveOrigin(ticks: number): void {
    this.#at -= ticks
  }

  /** Whether the current changes by itself, and can be heard. */
  #moves(): boolean {
    const { period } = this.#channel
    if (!this.#data || (period > 0 && period < SHORTEST_PERIOD)) return false
    return this.#channel.nextChange() !== Infinity
  }

  #play(current: number, ticks: number): void {
    let left = ticks
    while (left > 0) {
      const taken = Math.min(left, TICKS_PER_SAMPLE - this.#passed)
      this.#flowed += taken * current
      this.#passed += taken
      left -= taken
      if (this.#passed < TICKS_PER_SAMPLE) return
      this.#sample(this.#flowed / TICKS_PER_SAMPLE)
      this.#passed = 0
      this.#flowed = 0
    }
  }

  #sample(current: number): void {
    this.#output = current - this.#input + RETURN * this.#output
    this.#input = current
    this.#samples[this.#count++] = Math.round(this.#output)
    if (this.#count === PIECE) this.#flush()
  }

  #flush(): void {
    if (this.#count > 0) this.#audio.play(this.#samples.subarray(0, this.#count), SPEAKER_FORMAT)
    this.#count = 0
  }

  /** Clears the partial sample and the filter's state: the speaker becomes silent. */
  #settle(): void {
    this.#passed = 0
    this.#flowed = 0
    this.#input = 0
    this.#output = 0
  }
}
