import { displayedLines, doubledDots, lineCompare, type VgaRegisters } from './registers.ts'
import type { Picture } from './picture.ts'
import type { Dac } from './dac.ts'

/** Bit 7 of the attribute controller's mode: bits 5:4 of a colour come from the colour select register too. */
const SELECT_HALF = 0x80

/** The colours of pixels: the DAC's, and through the attribute controller the 16 of text and planar modes. */
export class Palette {
  /** Colours of pixels with eight bits, as 0x00RRGGBB. */
  readonly colours: Uint32Array = new Uint32Array(256)
  /** Colours of pixels with four bits. */
  readonly sixteen: Uint32Array = new Uint32Array(16)
  /** The eight dots of a CGA or planar word are looked up through these planes only. */
  planes = 15

  /** Reads the registers. */
  update(registers: VgaRegisters, dac: Dac): void {
    const { attribute } = registers
    const select = attribute[0x14]!
    const half = (attribute[0x10]! & SELECT_HALF) !== 0
    dac.colours(this.colours)
    this.planes = attribute[0x12]! & 15
    for (let i = 0; i < 16; i++) {
      const entry = attribute[i & this.planes]!
      const index = half ? ((select & 15) << 4) | (entry & 15) : ((select & 12) << 4) | (entry & 63)
      this.sixteen[i] = this.colours[index]!
    }
  }
}

const DOTS = 8
const PAN_COMPATIBLE = 0x20
const ADDRESSES = 0x1_0000
/** Memory that VGA's own graphics modes can show. */
export const GRAPHICS_BYTES: number = 4 * ADDRESSES

/** The way in which the eight dots of a word of four planes are made. */
type Shift = 'planar' | 'cga' | 'bytes'

/**
 * Draws the graphics modes of a VGA, row by row: 16 colours in planes, four colours as a CGA has them, 256 colours.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "CRT Controller Registers",
 * "Graphics Mode Register".
 */
export class GraphicsPicture {
  readonly #words: Uint32Array
  readonly #registers: VgaRegisters
  readonly #palette: Palette

  constructor(memory: Uint8Array, registers: VgaRegisters, palette: Palette) {
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, memory.byteLength >> 2)
    this.#registers = registers
    this.#palette = palette
  }

  size(): { readonly width: number; readonly height: number } {
    const dots = doubledDots(this.#registers) && this.#shift() !== 'bytes' ? 2 : 1
    return { width: (this.#registers.crtc[1]! + 1) * DOTS * dots, height: displayedLines(this.#registers) }
  }

  #shift(): Shift {
    const mode = this.#registers.graphics[5]! >> 5
    return mode >= 2 ? 'bytes' : mode === 1 ? 'cga' : 'planar'
  }

  /** Draws the changed rows. */
  draw(picture: Picture): void {
    const { crtc, attribute } = this.#registers
    const split = lineCompare(this.#registers) + 1
    const repeats = ((crtc[9]! & 0x80) !== 0 ? 2 : 1) * ((crtc[9]! & 0x1f) + 1)
    const doubled = (crtc[9]! & 0x80) !== 0 ? 1 : 0
    const shift = this.#shift()
    let address = ((crtc[12]! << 8) | crtc[13]!) + ((crtc[8]! >> 5) & 3)
    let line = Math.min((crtc[8]! & 0x1f) << doubled, repeats - 1)
    let pan = shift === 'bytes' ? attribute[0x13]! & 6 : attribute[0x13]! & 7
    for (let y = 0; y < picture.height; y++) {
      if (y === split) {
        address = 0
        line = 0
        if ((attribute[0x10]! & PAN_COMPATIBLE) !== 0) pan = 0
      }
      const from = this.#rowAddress(address, line >> doubled)
      picture.row(y, (into) => this.#row(into, from, pan, shift))
      line++
      if (line < repeats) continue
      line = 0
      address += 2 * crtc[0x13]!
    }
  }

  /** Rows of CGA and Hercules modes lie in banks: bits of the scan line take the place of address bits. */
  #rowAddress(address: number, scan: number): number {
    const mode = this.#registers.crtc[0x17]!
    // Word addresses are dense in memory: their bit 13 is bit 12 here.
    const low = (mode & 0x40) !== 0 ? 13 : 12
    let at = address
    if ((mode & 1) === 0) at = (at & ~(1 << low)) | ((scan & 1) << low)
    if ((mode & 2) === 0) at = (at & ~(2 << low)) | (((scan >> 1) & 1) << (low + 1))
    return at
  }

  #row(into: Uint32Array, address: number, pan: number, shift: Shift): void {
    const width = into.length
    const doubled = shift !== 'bytes' && doubledDots(this.#registers) ? 1 : 0
    for (let x = -(pan << doubled), at = address; x < width; x += DOTS << doubled, at++) {
      const word = this.#words[at & (ADDRESSES - 1)]!
      for (let dot = 0; dot < DOTS; dot++) {
        const pixel = this.#pixel(word, dot, shift)
        const to = x + (dot << doubled)
        if (to >= 0 && to < width) into[to] = pixel
        if (doubled !== 0 && to + 1 >= 0 && to + 1 < width) into[to + 1] = pixel
      }
    }
  }

  #pixel(word: number, dot: number, shift: Shift): number {
    const { sixteen, colours } = this.#palette
    if (shift === 'bytes') return colours[(word >>> (8 * (dot >> 1))) & 0xff]!
    if (shift === 'planar') {
      const bits = word >>> (7 - dot)
      return sixteen[(bits & 1) | ((bits >>> 7) & 2) | ((bits >>> 14) & 4) | ((bits >>> 21) & 8)]!
    }
    // Four dots of planes 0 and 2, then four of planes 1 and 3; two bits of each.
    const half = word >>> (dot < 4 ? 0 : 8)
    const pair = half >>> (2 * (3 - (dot & 3)))
    return sixteen[(pair & 3) | ((pair >>> 14) & 12)]!
  }

  /** Draws a mode of DISPI with 16 colours. */
  drawLinear(picture: Picture, start: number, stride: number): void {
    // Start and stride count bytes of a plane; offsets of pixels become panning.
    for (let y = 0; y < picture.height; y++) {
      const at = start + y * stride
      picture.row(y, (into) => this.#linearRow(into, at))
    }
  }

  #linearRow(into: Uint32Array, address: number): void {
    for (let x = 0, at = address; x < into.length; x += DOTS, at++) {
      const word = this.#words[at] ?? 0
      for (let dot = 0; dot < DOTS; dot++) into[x + dot] = this.#pixel(word, dot, 'planar')
    }
  }
}
