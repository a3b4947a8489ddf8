import { DeviceError } from '@retrap/device'

/** Saved form of a {@link Dac}. */
export interface DacState {
  /** Red, green and blue of each of the 256 colours. */
  readonly colours: Uint8Array
  /** Colour that is read next. */
  readonly readIndex: number
  /** Colour that is written next. */
  readonly writeIndex: number
  /** Which of the three values of a colour comes next. */
  readonly component: number
  /** 3 after the read address was set, 0 after the write address was. */
  readonly mode: number
  /** Values of a colour that is not complete yet. */
  readonly pending: readonly number[]
  /** The mask that a pixel's index is ANDed with. */
  readonly pixelMask: number
}

const COLOURS = 256
/** Values have six bits, or eight where DISPI says so. */
const SIX_BITS = 0x3f

/**
 * The colour look-up table of a VGA, ports 0x3C6 to 0x3C9.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Video Digital-to-Analog
 * Converter".
 */
export class Dac {
  /** Counts the changes of what pixels look like. */
  changes = 0
  /** Values have eight bits. */
  wide = false
  readonly #colours = new Uint8Array(3 * COLOURS)
  readonly #pending = new Uint8Array(3)
  #readIndex = 0
  #writeIndex = 0
  #component = 0
  #mode = 0
  #pixelMask = 0xff

  /** Reads port 0x3C6 + `register`. */
  read(register: number): number {
    if (register === 0) return this.#pixelMask
    if (register === 1) return this.#mode
    if (register === 2) return this.#writeIndex
    const value = this.#colours[3 * this.#readIndex + this.#component]!
    if (this.#step()) this.#readIndex = (this.#readIndex + 1) & 0xff
    return value
  }

  /** Writes port 0x3C6 + `register`. */
  write(register: number, value: number): void {
    if (register === 0) {
      this.#pixelMask = value
      this.changes++
    } else if (register === 3) this.#put(value)
    else {
      if (register === 1) this.#readIndex = value
      else this.#writeIndex = value
      this.#mode = register === 1 ? 3 : 0
      this.#component = 0
    }
  }

  #put(value: number): void {
    this.#pending[this.#component] = this.wide ? value : value & SIX_BITS
    if (!this.#step()) return
    this.#colours.set(this.#pending, 3 * this.#writeIndex)
    this.#writeIndex = (this.#writeIndex + 1) & 0xff
    this.changes++
  }

  /** Goes to the next value; true after the last one of a colour. */
  #step(): boolean {
    this.#component = (this.#component + 1) % 3
    return this.#component === 0
  }

  /** Fills `into` with what each pixel value looks like, as 0x00RRGGBB. */
  colours(into: Uint32Array): void {
    for (let i = 0; i < COLOURS; i++) {
      const at = 3 * (i & this.#pixelMask)
      into[i] = (this.#level(at) << 16) | (this.#level(at + 1) << 8) | this.#level(at + 2)
    }
  }

  #level(at: number): number {
    const value = this.#colours[at]!
    return this.wide ? value : (value << 2) | (value >> 4)
  }

  /** Power-on state. */
  reset(): void {
    this.restore({
      colours: new Uint8Array(3 * COLOURS),
      readIndex: 0,
      writeIndex: 0,
      component: 0,
      mode: 0,
      pending: [0, 0, 0],
      pixelMask: 0xff,
    })
    this.wide = false
  }

  /** Returns the state as plain data. */
  save(): DacState {
    return {
      colours: this.#colours.slice(),
      readIndex: this.#readIndex,
      writeIndex: this.#writeIndex,
      component: this.#component,
      mode: this.#mode,
      pending: [...this.#pending],
      pixelMask: this.#pixelMask,
    }
  }

  /** Takes over a state that {@link checkDacState} accepts. */
  restore({ colours, readIndex, writeIndex, component, mode, pending, pixelMask }: DacState): void {
    this.#colours.set(colours)
    this.#pending.set(pending)
    this.#readIndex = readIndex & 0xff
    this.#writeIndex = writeIndex & 0xff
    this.#component = component % 3
    this.#mode = mode & 3
    this.#pixelMask = pixelMask & 0xff
    this.changes++
  }
}

/** @throws DeviceError `ERR_STATE` */
export function checkDacState({ colours, pending }: DacState): void {
  if (colours instanceof Uint8Array && colours.length === 3 * COLOURS && Array.isArray(pending) && pending.length === 3)
    return
  throw new DeviceError('ERR_STATE', 'vga: the saved colours are not 256 of three bytes')
}
