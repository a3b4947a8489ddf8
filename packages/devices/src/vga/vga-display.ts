import {
  type Clock,
  type DisplayBackend,
  type DisplayClient,
  type DisplayMode,
  type DisplayRectangle,
  MEMORY_PAGE_BYTES,
  type OwnedMemory,
} from '@retrap/device'
import { frameNs, type VgaRegisters } from './registers.ts'
import type { Dac } from './dac.ts'
import type { Dispi } from './dispi.ts'
import { GRAPHICS_BYTES, GraphicsPicture, Palette } from './graphics-picture.ts'
import { Picture } from './picture.ts'
import type { Planes } from './planes.ts'
import { type BlinkPhase, TextPicture } from './text-picture.ts'

/** Bit 5 of the attribute controller's index: without it the screen is black. */
const PALETTE_REACHES_SCREEN = 0x20
const SCREEN_OFF = 0x20
/** Size of a picture that is black before a mode was set, of which the registers say nothing yet. */
const FIRST_SIZE = { width: 640, height: 480 } as const
const GRAPHICS = 1
/** Frames for which a cursor, and characters, are shown and then not shown. */
const CURSOR_FRAMES = 16
const CHARACTER_FRAMES = 32
const FONT_PLANE = 4

/** The parts that a {@link VgaDisplay} looks at. */
export interface VgaDisplayParts {
  readonly display: DisplayBackend
  readonly clock: Clock
  readonly registers: VgaRegisters
  readonly dac: Dac
  readonly dispi: Dispi
  readonly planes: Planes
  readonly memory: OwnedMemory
  /** The bytes of `memory`. */
  readonly bytes: Uint8Array
}

type Kind = 'blank' | 'text' | 'graphics' | 'dispi-colours' | 'dispi-pixels'

/** Draws pictures from a VGA's registers and memory on its display's request. */
export class VgaDisplay implements DisplayClient {
  readonly #parts: VgaDisplayParts
  readonly #palette = new Palette()
  readonly #picture = new Picture()
  readonly #text: TextPicture
  readonly #graphics: GraphicsPicture
  readonly #pages: Uint32Array
  #logged = false
  /** The source of the picture. */
  #kind: Kind = 'blank'
  #seen = ''
  #phase: BlinkPhase = { cursor: true, characters: true }

  constructor(parts: VgaDisplayParts) {
    this.#parts = parts
    const { bytes, registers } = parts
    this.#text = new TextPicture(bytes, registers, this.#palette)
    this.#graphics = new GraphicsPicture(bytes, registers, this.#palette)
    this.#pages = new Uint32Array(Math.ceil(bytes.length / MEMORY_PAGE_BYTES / 32))
  }

  /** Reports the whole picture. */
  refresh(): void {
    this.#report(true)
  }

  /** Reports the changed areas. */
  update(): void {
    this.#report(false)
  }

  #report(all: boolean): void {
    const { registers, dac, dispi } = this.#parts
    this.#watchWrites()
    const kind = this.#kindNow()
    const seen = `${kind} ${registers.changes} ${dac.changes} ${dispi.changes}`
    const anew = all || seen !== this.#seen
    this.#seen = seen
    this.#kind = kind
    if (anew) this.#palette.update(registers, dac)
    if (kind === 'dispi-pixels') this.#reportPixels(anew)
    else if (kind === 'text') this.#reportText(all, anew)
    else this.#reportDrawn(all, anew)
  }

  /** Starts to log writes when a permanent viewer looks first, and stops when all have left. */
  #watchWrites(): void {
    const { display, memory } = this.#parts
    if (display.visible === this.#logged) return
    this.#logged = display.visible
    memory.logWrites(this.#logged)
    this.#seen = ''
  }

  #kindNow(): Kind {
    const { registers, dispi } = this.#parts
    const { attributeIndex, sequencer, graphics } = registers
    if ((attributeIndex & PALETTE_REACHES_SCREEN) === 0 || (sequencer[1]! & SCREEN_OFF) !== 0) return 'blank'
    if (dispi.enabled) return dispi.format === null ? 'dispi-colours' : 'dispi-pixels'
    return (graphics[6]! & GRAPHICS) !== 0 ? 'graphics' : 'text'
  }

  /** Returns the pages of a range written since the last look; all pages while writes are not logged. */
  #writtenPages(offset: number, bytes: number): number {
    const { memory, planes } = this.#parts
    planes.takeTouched((at, length) => memory.modified(at, length))
    planes.touchedPlanes = 0
    const first = Math.floor(offset / MEMORY_PAGE_BYTES) * MEMORY_PAGE_BYTES
    const length = Math.ceil((offset + bytes - first) / MEMORY_PAGE_BYTES) * MEMORY_PAGE_BYTES
    if (this.#logged) return memory.takeDirty(first, length, this.#pages)
    this.#pages.fill(0xffff_ffff)
    return length / MEMORY_PAGE_BYTES
  }

  #reportPixels(anew: boolean): void {
    const { display, dispi, bytes } = this.#parts
    const { width, height, stride, start, format } = dispi
    const written = this.#writtenPages(start, height * stride)
    if (!anew && written === 0) return
    if (anew) display.setMode({ width, height, stride, format: format! })
    const dirty = anew ? [{ x: 0, y: 0, width, height }] : this.#dirtyRows(start, stride, width, height)
    display.draw(bytes.subarray(start), dirty)
    if (anew) display.setText?.(null)
  }

  /** Rows of a linear picture that pages with changes hold parts of. */
  #dirtyRows(start: number, stride: number, width: number, height: number): DisplayRectangle[] {
    const first = Math.floor(start / MEMORY_PAGE_BYTES)
    const last = Math.floor((start + height * stride - 1) / MEMORY_PAGE_BYTES)
    const rectangles: DisplayRectangle[] = []
    let end = 0
    for (let page = 0; page <= last - first; page++) {
      if (((this.#pages[page >>> 5]! >>> (page & 31)) & 1) === 0) continue
      const from = (first + page) * MEMORY_PAGE_BYTES - start
      const top = Math.max(end, Math.floor(from / stride))
      const bottom = Math.min(height, Math.ceil((from + MEMORY_PAGE_BYTES) / stride))
      if (bottom <= top) continue
      const before = rectangles.at(-1)
      if (before !== undefined && before.y + before.height === top) {
        rectangles[rectangles.length - 1] = { ...before, height: bottom - before.y }
      } else rectangles.push({ x: 0, y: top, width, height: bottom - top })
      end = bottom
    }
    return rectangles
  }

  #reportText(all: boolean, anew: boolean): void {
    const { planes, registers, clock, display } = this.#parts
    const picture = this.#picture
    const fonts = (planes.touchedPlanes & FONT_PLANE) !== 0
    const frame = Math.floor(clock.now() / frameNs(registers))
    const phase = {
      cursor: Math.floor(frame / CURSOR_FRAMES) % 2 === 0,
      characters: Math.floor(frame / CHARACTER_FRAMES) % 2 === 0,
    }
    const same = phase.cursor === this.#phase.cursor && phase.characters === this.#phase.characters
    if (this.#writtenPages(0, GRAPHICS_BYTES) === 0 && !anew && same) return
    this.#phase = phase
    const { width, height } = this.#text.size()
    const resized = picture.resize(width, height)
    if (all || resized) this.#setPictureMode()
    this.#text.draw(picture, phase, anew || fonts || resized)
    this.#show(all || resized)
    display.setText?.(this.#text.text(phase))
  }

  #reportDrawn(all: boolean, anew: boolean): void {
    const { dispi, display } = this.#parts
    const kind = this.#kind
    const picture = this.#picture
    const linear = kind === 'dispi-colours' || (kind === 'blank' && dispi.enabled)
    const written = linear
      ? this.#writtenPages(dispi.start, dispi.height * dispi.stride)
      : this.#writtenPages(0, GRAPHICS_BYTES)
    if (!anew && (written === 0 || kind === 'blank')) return
    const { width, height } = linear ? dispi : kind === 'blank' ? this.#blankSize() : this.#graphics.size()
    const resized = picture.resize(width, height)
    if (anew) this.#setPictureMode()
    if (kind === 'blank') picture.blank()
    else if (kind === 'graphics') this.#graphics.draw(picture)
    else if (dispi.bitsPerPixel === 4) this.#graphics.drawLinear(picture, dispi.start >> 2, dispi.stride >> 2)
    else {
      const { start, stride } = dispi
      this.#drawBytes(anew || resized ? [{ x: 0, y: 0, width, height }] : this.#dirtyRows(start, stride, width, height))
    }
    this.#show(all || anew || resized)
    if (anew) display.setText?.(null)
  }

  /** Size of a blank screen: that of the last picture, as registers are inconsistent while software sets a mode. */
  #blankSize(): { readonly width: number; readonly height: number } {
    return this.#picture.width > 0 ? this.#picture : FIRST_SIZE
  }

  /** Draws rows of a mode of DISPI with 256 colours. */
  #drawBytes(rows: readonly DisplayRectangle[]): void {
    const { dispi, bytes } = this.#parts
    const { colours } = this.#palette
    let from = 0
    const make = (into: Uint32Array): void => {
      for (let x = 0; x < into.length; x++) into[x] = colours[bytes[from + x]!]!
    }
    for (const { y: top, height } of rows) {
      for (let y = top; y < top + height; y++) {
        from = dispi.start + y * dispi.stride
        this.#picture.row(y, make)
      }
    }
  }

  #setPictureMode(): void {
    const { width, height } = this.#picture
    const mode: DisplayMode = { width, height, stride: 4 * width, format: 'bgrx8888' }
    this.#parts.display.setMode(mode)
  }

  #show(all: boolean): void {
    const picture = this.#picture
    if (all) picture.all()
    const dirty = picture.takeDirty()
    if (dirty.length > 0) this.#parts.display.draw(picture.bytes, dirty)
  }
}
