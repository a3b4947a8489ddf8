/** Frames in a ring, a power of two: 0.7 s at 48 kHz. */
const FRAMES = 1 << 15
const CHANNELS = 2

// Words of the header: frames that were ever written and read, modulo 2^32, and frames a second.
const WRITTEN = 0
const READ = 1
const RATE = 2
const HEADER_BYTES = 16

export const RING_BYTES: number = HEADER_BYTES + FRAMES * CHANNELS * Int16Array.BYTES_PER_ELEMENT

/** The sources of a machine's sound, by their places in a message and in shared memory. */
export const VOICES: readonly ['speaker', 'card'] = ['speaker', 'card']

/** Messages of a machine's Worker: shared rings, or sound by itself, which is acknowledged. */
export type SoundMessage =
  | { readonly rings: SharedArrayBuffer }
  | { readonly voice: number; readonly samples: Int16Array; readonly rate: number; readonly channels: number }

/** Sound buffered before it is played: the machine executes in turns, and sends in bursts. */
const TARGET_SECONDS = 0.08
/** Largest delay of sound; beyond it sound is skipped. */
const MOST_SECONDS = 0.25
/** Sound is played faster or slower by at most this part, so that clocks that differ need no skips. */
const BEND = 0.005
const FULL_SCALE = 1 / 0x8000

/**
 * Sound on its way from a machine to a page's loudspeakers: 16-bit frames of two channels at the guest's rate. One side writes,
 * and the other reads; they may be threads with the ring in shared memory. A full ring drops frames.
 */
export class SoundRing {
  readonly #header: Int32Array
  readonly #samples: Int16Array
  /** The reader has enough, and plays. */
  #plays = false
  /** The part of a frame that was played already. */
  #part = 0

  /** @param buffer - of {@link RING_BYTES}; shared between writer and reader */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(RING_BYTES), offset = 0) {
    this.#header = new Int32Array(buffer, offset, HEADER_BYTES / 4)
    this.#samples = new Int16Array(buffer, offset + HEADER_BYTES, FRAMES * CHANNELS)
  }

  /** Writes samples, interleaved for two channels. */
  write(samples: Int16Array, rate: number, channels: number): void {
    const header = this.#header
    const written = Atomics.load(header, WRITTEN)
    const room = FRAMES - ((written - Atomics.load(header, READ)) | 0)
    const frames = Math.min(Math.floor(samples.length / channels), room)
    for (let i = 0; i < frames; i++) {
      const at = ((written + i) & (FRAMES - 1)) * CHANNELS
      this.#samples[at] = samples[i * channels]!
      this.#samples[at + 1] = samples[i * channels + channels - 1]!
    }
    Atomics.store(header, RATE, rate)
    Atomics.store(header, WRITTEN, (written + frames) | 0)
  }

  /** Mixes the buffered sound into both channels, resampled to another rate in frames a second. */
  addTo(left: Float32Array, right: Float32Array, outRate: number): void {
    const header = this.#header
    const rate = Atomics.load(header, RATE)
    const written = Atomics.load(header, WRITTEN)
    let read = Atomics.load(header, READ)
    const target = rate * TARGET_SECONDS
    if (((written - read) | 0) > rate * MOST_SECONDS) read = (written - Math.floor(target)) | 0
    const frames = (written - read) | 0
    if (!this.#plays) {
      this.#plays = rate > 0 && frames >= target
      this.#part = 0
    }
    if (this.#plays) {
      const bend = Math.max(-BEND, Math.min(BEND, (BEND * (frames - target)) / target))
      read = (read + this.#resample(left, right, read, frames, (rate * (1 + bend)) / outRate)) | 0
    }
    Atomics.store(header, READ, read)
  }

  /** Plays frames from `read` on, interpolating between samples. @returns number of frames used up */
  #resample(left: Float32Array, right: Float32Array, read: number, frames: number, step: number): number {
    const samples = this.#samples
    let at = this.#part
    for (let i = 0; i < left.length; i++) {
      const whole = Math.floor(at)
      if (whole + 1 >= frames) {
        this.#plays = false
        return frames
      }
      const part = at - whole
      const one = ((read + whole) & (FRAMES - 1)) * CHANNELS
      const two = ((read + whole + 1) & (FRAMES - 1)) * CHANNELS
      left[i]! += (samples[one]! + (samples[two]! - samples[one]!) * part) * FULL_SCALE
      right[i]! += (samples[one + 1]! + (samples[two + 1]! - samples[one + 1]!) * part) * FULL_SCALE
      at += step
    }
    const done = Math.floor(at)
    this.#part = at - done
    return done
  }
}
