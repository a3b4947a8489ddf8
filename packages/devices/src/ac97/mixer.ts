/*
 * Source: Audio Codec '97 Component Specification 2.1, §6.3, "Register Definitions".
 */

const RESET = 0x00
const MASTER = 0x02
const PCM_OUT = 0x18
const POWER = 0x26
const EXTENDED = 0x2a
const FRONT_RATE = 0x2c
const INPUT_RATE = 0x32

const MUTE = 0x8000
const READY = 0x0f
const VARIABLE_RATE = 1
const LEAST_RATE = 4000
const MOST_RATE = 48_000
/** A step of a volume is 1.5 dB; the PCM output's is 0 dB at 8. */
const STEP = 10 ** (-1.5 / 20)
const PCM_ZERO = 8

/** Registers with their values after a reset, and the bits that can be written. */
const REGISTERS = new Map<number, readonly [initial: number, writable: number]>([
  [MASTER, [MUTE, 0xbf3f]],
  [0x04, [MUTE, 0xbf3f]],
  [0x06, [MUTE, 0x803f]],
  [0x0a, [0, 0x801e]],
  [0x0c, [0x8008, 0x801f]],
  [0x0e, [0x8008, 0x805f]],
  [0x10, [0x8808, 0x9f1f]],
  [0x12, [0x8808, 0x9f1f]],
  [0x14, [0x8808, 0x9f1f]],
  [0x16, [0x8808, 0x9f1f]],
  [PCM_OUT, [0x8808, 0x9f1f]],
  [0x1a, [0, 0x0707]],
  [0x1c, [MUTE, 0x8f0f]],
  [0x20, [0, 0x0380]],
  [POWER, [READY, 0xff00]],
  [0x28, [VARIABLE_RATE, 0]],
  [EXTENDED, [0, VARIABLE_RATE]],
  [FRONT_RATE, [MOST_RATE, 0xffff]],
  [INPUT_RATE, [MOST_RATE, 0xffff]],
  // A STAC9700 of SigmaTel.
  [0x7c, [0x8384, 0]],
  [0x7e, [0x7600, 0]],
])

/** The codec's registers. */
export class Mixer {
  readonly words: Uint16Array = new Uint16Array(64)

  constructor() {
    this.reset()
  }

  read(register: number): number {
    return this.words[(register & 0x7e) >> 1]!
  }

  write(register: number, value: number): void {
    const at = register & 0x7e
    if (at === RESET) {
      this.reset()
      return
    }
    const [, writable = 0] = REGISTERS.get(at) ?? []
    const isRate = at === FRONT_RATE || at === INPUT_RATE
    if (isRate && (this.read(EXTENDED) & VARIABLE_RATE) === 0) return
    const wanted = isRate ? Math.min(Math.max(value, LEAST_RATE), MOST_RATE) : value
    this.words[at >> 1] = (this.read(at) & ~writable) | (wanted & writable)
    if (at !== EXTENDED || (value & VARIABLE_RATE) !== 0) return
    this.words[FRONT_RATE >> 1] = MOST_RATE
    this.words[INPUT_RATE >> 1] = MOST_RATE
  }

  /** Playback rate, in frames a second. */
  get outputRate(): number {
    return this.read(FRONT_RATE)
  }

  /** Recording rate, in frames a second. */
  get inputRate(): number {
    return this.read(INPUT_RATE)
  }

  /** Factors by which samples of the left and of the right are multiplied. */
  get gains(): readonly [left: number, right: number] {
    const [master, pcm] = [this.read(MASTER), this.read(PCM_OUT)]
    if (((master | pcm) & MUTE) !== 0) return [0, 0]
    const gain = (shift: number): number => STEP ** (((master >> shift) & 0x3f) + ((pcm >> shift) & 0x1f) - PCM_ZERO)
    return [gain(8), gain(0)]
  }

  reset(): void {
    this.words.fill(0)
    for (const [register, [initial]] of REGISTERS) this.words[register >> 1] = initial
  }
}
