import type { DisplayText } from '@retrap/device'
import { characterDots, displayedLines, doubledDots, lineCompare, type VgaRegisters } from './registers.ts'
import type { Palette } from './graphics-picture.ts'
import type { Picture } from './picture.ts'

/** Bytes of plane 2 for each glyph of a font, and offsets of the eight fonts. */
const GLYPH_BYTES = 32
const FONT_PLANE = 2
const FONTS = [0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000]
/** Characters that draw lines have their eighth dot again as the ninth. */
const FIRST_LINE_CHARACTER = 0xc0
const LAST_LINE_CHARACTER = 0xdf
const LINE_GRAPHICS = 0x04
const BLINK = 0x08
const PAN_COMPATIBLE = 0x20
const CURSOR_OFF = 0x20
/** Flags of a drawn cell, above its character and attribute. */
const UNDER_CURSOR = 1 << 16
const BLANKED = 1 << 17
const UNKNOWN = 0xffff_ffff

/** Scan lines of the screen that show one row of characters, or a part of it. */
interface Band {
  readonly y: number
  readonly lines: number
  /** Scan line of the characters in the band's first line. */
  readonly scan: number
  /** Address of the row's first character. */
  readonly address: number
  /** Dots by which the line is moved to the left. */
  readonly pan: number
}

/** The state of blinking parts, at one moment. */
export interface BlinkPhase {
  /** The cursor is shown. */
  readonly cursor: boolean
  /** Characters that blink are shown. */
  readonly characters: boolean
}

/**
 * Draws the text modes of a VGA: only characters that have changed.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem", "Alphanumeric Modes".
 */
export class TextPicture {
  readonly #memory: Uint8Array
  readonly #registers: VgaRegisters
  readonly #palette: Palette
  /** Each cell as last drawn. */
  #drawn: Uint32Array = new Uint32Array(0)

  constructor(memory: Uint8Array, registers: VgaRegisters, palette: Palette) {
    this.#memory = memory
    this.#registers = registers
    this.#palette = palette
  }

  #cellDots(): number {
    return characterDots(this.#registers) * (doubledDots(this.#registers) ? 2 : 1)
  }

  #columns(): number {
    return this.#registers.crtc[1]! + 1
  }

  #lines(): number {
    return (this.#registers.crtc[9]! & 0x1f) + 1
  }

  size(): { readonly width: number; readonly height: number } {
    return { width: this.#columns() * this.#cellDots(), height: displayedLines(this.#registers) }
  }

  /** Draws changed cells. @param all - draws unchanged ones, too */
  draw(picture: Picture, phase: BlinkPhase, all: boolean): void {
    const bands = this.#bands()
    // Panning shows a part of one more column.
    const columns = this.#columns() + 1
    if (all || this.#drawn.length !== bands.length * columns)
      this.#drawn = new Uint32Array(bands.length * columns).fill(UNKNOWN)
    const cursor = phase.cursor ? this.#cursorAddress() : -1
    bands.forEach((band, i) => this.#drawBand(picture, band, i * columns, cursor, phase.characters))
  }

  /** Returns the rows of characters, as cut by line compare and the last line. */
  #bands(): readonly Band[] {
    const { crtc, attribute } = this.#registers
    const height = displayedLines(this.#registers)
    const split = lineCompare(this.#registers) + 1
    const rowLines = this.#lines() * (crtc[9]! >= 0x80 ? 2 : 1)
    const bands: Band[] = []
    let address = this.#startAddress()
    let scan = Math.min((crtc[8]! & 0x1f) * (crtc[9]! >= 0x80 ? 2 : 1), rowLines - 1)
    let pan = this.#pan()
    for (let y = 0; y < height;) {
      if (y === split) {
        address = 0
        scan = 0
        if ((attribute[0x10]! & PAN_COMPATIBLE) !== 0) pan = 0
      }
      const end = y < split ? Math.min(split, height) : height
      const lines = Math.min(rowLines - scan, end - y)
      bands.push({ y, lines, scan, address, pan })
      scan = (scan + lines) % rowLines
      if (scan === 0) address += 2 * crtc[0x13]!
      y += lines
    }
    return bands
  }

  #startAddress(): number {
    const { crtc } = this.#registers
    return ((crtc[12]! << 8) | crtc[13]!) + ((crtc[8]! >> 5) & 3)
  }

  #cursorAddress(): number {
    const { crtc } = this.#registers
    return (crtc[10]! & CURSOR_OFF) !== 0 ? -1 : (crtc[14]! << 8) | crtc[15]!
  }

  #pan(): number {
    const value = this.#registers.attribute[0x13]! & 15
    const dots = characterDots(this.#registers) === 9 ? (value >= 8 ? 0 : value + 1) : value & 7
    return dots * (doubledDots(this.#registers) ? 2 : 1)
  }

  #drawBand(picture: Picture, band: Band, first: number, cursor: number, blinkShown: boolean): void {
    const { attribute } = this.#registers
    const blinks = (attribute[0x10]! & BLINK) !== 0
    const width = this.#cellDots()
    const columns = this.#columns() + (band.pan > 0 ? 1 : 0)
    let [left, right] = [columns, -1]
    for (let column = 0; column < columns; column++) {
      const address = (band.address + column) & 0xffff
      let cell = this.#memory[4 * address]! | (this.#memory[4 * address + 1]! << 8)
      if (address === cursor) cell |= UNDER_CURSOR
      if (blinks && (cell & 0x8000) !== 0 && !blinkShown) cell |= BLANKED
      if (this.#drawn[first + column] === cell) continue
      this.#drawn[first + column] = cell
      this.#drawCell(picture, band, column * width - band.pan, cell, blinks)
      left = Math.min(left, column)
      right = column
    }
    if (right < 0) return
    const x = Math.max(0, left * width - band.pan)
    const end = Math.min(picture.width, (right + 1) * width - band.pan)
    if (end > x) picture.mark(x, band.y, end - x, band.lines)
  }

  #drawCell(picture: Picture, band: Band, x: number, cell: number, blinks: boolean): void {
    const { crtc, attribute, sequencer } = this.#registers
    const { sixteen } = this.#palette
    const character = cell & 0xff
    const colours = (cell >> 8) & 0xff
    const two = fontsOf(sequencer[3]!)
    const glyph = ((colours & 8) !== 0 ? two.a : two.b) + GLYPH_BYTES * character
    const foreground = sixteen[colours & 15]!
    const background = sixteen[(colours >> 4) & (blinks ? 7 : 15)]!
    const nine = characterDots(this.#registers) === 9
    const line = (attribute[0x10]! & LINE_GRAPHICS) !== 0
    const repeats = line && character >= FIRST_LINE_CHARACTER && character <= LAST_LINE_CHARACTER
    const [cursorFirst, cursorLast] = [crtc[10]! & 0x1f, crtc[11]! & 0x1f]
    // Attributes of monochrome modes have an underline: blue ones, in colour.
    const underline = (colours & 7) === 1 ? crtc[0x14]! & 0x1f : -1
    const doubled = doubledDots(this.#registers) ? 1 : 0
    const width = this.#cellDots()
    for (let row = 0; row < band.lines; row++) {
      const scan = (band.scan + row) >> (crtc[9]! >= 0x80 ? 1 : 0)
      let dots = (cell & BLANKED) !== 0 ? 0 : this.#memory[4 * (glyph + scan) + FONT_PLANE]! << 1
      if (nine && repeats) dots |= (dots >> 1) & 1
      if (scan === underline && (attribute[0x10]! & 2) !== 0 && (cell & BLANKED) === 0) dots = 0x1ff
      if ((cell & UNDER_CURSOR) !== 0 && scan >= cursorFirst && scan <= cursorLast) dots = 0x1ff
      const at = (band.y + row) * picture.width
      for (let dot = 0; dot < width; dot++) {
        const to = x + dot
        if (to < 0 || to >= picture.width) continue
        picture.pixels[at + to] = ((dots >> (8 - (dot >> doubled))) & 1) !== 0 ? foreground : background
      }
    }
  }

  /** Returns the picture's text; of whole rows only. */
  text(phase: BlinkPhase): DisplayText {
    const columns = this.#columns()
    const height = displayedLines(this.#registers)
    const bands = this.#bands().filter(({ scan, y }) => scan === 0 || y === 0)
    const rows = Math.max(1, Math.min(bands.length, Math.ceil(height / this.#lines())))
    const cells = new Uint16Array(columns * rows)
    const cursor = this.#cursorAddress()
    let at: DisplayText['cursor'] = null
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const address = ((bands[row]?.address ?? 0) + column) & 0xffff
        cells[row * columns + column] = this.#memory[4 * address]! | (this.#memory[4 * address + 1]! << 8)
        if (address === cursor && phase.cursor) at = { column, row }
      }
    }
    return { columns, rows, cells, cursor: at, palette: this.#palette.sixteen }
  }
}

/** Returns offsets in plane 2 of the two fonts that bit 3 of an attribute selects; `a` for bit set. */
function fontsOf(select: number): { readonly a: number; readonly b: number } {
  return {
    a: FONTS[((select >> 2) & 3) | ((select >> 3) & 4)]!,
    b: FONTS[(select & 3) | ((select >> 2) & 4)]!,
  }
}
