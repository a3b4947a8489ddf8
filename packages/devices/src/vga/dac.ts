import { Stateful } from '@retrap/device'

const COLOURS = 256
/** Colour values have six bits, or eight if DISPI says so. */
const SIX_BITS = 0x3f

/**
 * The colour look-up table of a VGA, ports 0x3C6 to 0x3C9.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Video Digital-to-Analog
 * Converter".
 */
export class Dac extends Stateful {
  /** Number of changes of the pixels' colours. */
  changes = 0
  /** Values have eight bits. */
  wide = false
  readonly #colours = new Uint8Array(3 * COLOURS)
  readonly #pending = new Uint8Array(3)
  readonly #r = this.keeps(
    {
      readIndex: 0,
      writeIndex: 0,
      component: 0,
      mode: 0,
      pixelMask: 0xff,
      colours: this.#colours,
      pending: this.#pending,
    },
    {
      raw: ['colours'],
      settled: (): void => {
        for (const name of ['readIndex', 'writeIndex', 'pixelMask'] as const) this.#r[name] &= 0xff
        this.#r.component %= 3
        this.#r.mode &= 3
        this.changes++
        this.wide = false
      },
    },
  )

  /** Reads port 0x3C6 + `register`. */
  read(register: number): number {
    if (register === 0) return this.#r.pixelMask
    if (register === 1) return this.#r.mode
    if (register === 2) return this.#r.writeIndex
    const value = this.#colours[3 * this.#r.readIndex + this.#r.component]!
    if (this.#step()) this.#r.readIndex = (this.#r.readIndex + 1) & 0xff
    return value
  }

  /** Writes port 0x3C6 + `register`. */
  write(register: number, value: number): void {
    if (register === 0) {
      this.#r.pixelMask = value
      this.changes++
    } else if (register === 3) this.#put(value)
    else {
      if (register === 1) this.#r.readIndex = value
      else this.#r.writeIndex = value
      this.#r.mode = register === 1 ? 3 : 0
      this.#r.component = 0
    }
  }

  #put(value: number): void {
    this.#pending[this.#r.component] = this.wide ? value : value & SIX_BITS
    if (!this.#step()) return
    this.#colours.set(this.#pending, 3 * this.#r.writeIndex)
    this.#r.writeIndex = (this.#r.writeIndex + 1) & 0xff
    this.changes++
  }

  /** Advances to the next value; true after the last one of a colour. */
  #step(): boolean {
    this.#r.component = (this.#r.component + 1) % 3
    return this.#r.component === 0
  }

  /** Fills `into` with each pixel value's colour, as 0x00RRGGBB. */
  colours(into: Uint32Array): void {
    for (let i = 0; i < COLOURS; i++) {
      const at = 3 * (i & this.#r.pixelMask)
      into[i] = (this.#level(at) << 16) | (this.#level(at + 1) << 8) | this.#level(at + 2)
    }
  }

  #level(at: number): number {
    const value = this.#colours[at]!
    return this.wide ? value : (value << 2) | (value >> 4)
  }
}
