import type { Screen, ScreenFrame } from '@retrap/display'
import type { SentFrame, SentRectangle } from '../protocol.ts'

type Rectangle = Omit<SentRectangle, 'pixels'>

/** Most rectangles sent; beyond this number one rectangle encloses all. */
const MOST_RECTANGLES = 16

/**
 * Sends changes of a screen to the page: one frame at a time. Changes before the page has drawn a frame are joined to the frame
 * after it, so that a page that is hidden, or slow, holds up nothing.
 */
export class FrameSender {
  #screen: Screen
  readonly #isShared: boolean
  readonly #send: (frame: SentFrame, transfer: ArrayBuffer[]) => void
  #stopWatching: (() => void) | null = null
  #shared: Uint32Array | null = null
  #dirty: Rectangle[] = []
  #resized = false
  /** The page takes a frame. */
  #ready = true

  constructor(screen: Screen, isShared: boolean, send: (frame: SentFrame, transfer: ArrayBuffer[]) => void) {
    this.#screen = screen
    this.#isShared = isShared
    this.#send = send
  }

  /** Begins with a whole picture, or ends. */
  watch(on: boolean): void {
    this.#stopWatching?.()
    this.#stopWatching = null
    if (!on) return
    this.#ready = true
    this.#stopWatching = this.#screen.watch((frame) => this.#note(frame))
  }

  /** Switches to another screen, from the next frame on. */
  show(screen: Screen): void {
    if (screen === this.#screen) return
    this.#screen = screen
    if (this.#stopWatching !== null) this.watch(true)
  }

  /** The page has drawn the last frame. */
  drawn(): void {
    this.#ready = true
    this.#offer()
  }

  #note({ resized, dirty }: ScreenFrame): void {
    if (resized) {
      this.#resized = true
      this.#dirty = []
    }
    const { width, height } = this.#screen
    const areas = resized ? [{ x: 0, y: 0, width, height }] : dirty
    this.#dirty.push(...areas)
    if (this.#dirty.length > MOST_RECTANGLES) this.#dirty = [around(this.#dirty)]
    this.#offer()
  }

  #offer(): void {
    if (!this.#ready || (!this.#resized && this.#dirty.length === 0)) return
    this.#ready = false
    const { width, height, pixels } = this.#screen
    if (this.#resized && this.#isShared)
      this.#shared = width === 0 ? null : new Uint32Array(new SharedArrayBuffer(4 * width * height))
    const transfer: ArrayBuffer[] = []
    const dirty = width === 0 ? [] : this.#dirty.map((area) => this.#copy(pixels, width, area, transfer))
    this.#send({ width, height, shared: this.#resized ? this.#shared : null, dirty }, transfer)
    this.#resized = false
    this.#dirty = []
  }

  /**
   * Pixels are converted to a canvas's format here, so that the page's thread only copies them. The page reads shared pixels only
   * between a frame and its acknowledgement, while this thread does not write.
   */
  #copy(pixels: Uint32Array, stride: number, area: Rectangle, transfer: ArrayBuffer[]): SentRectangle {
    const { x, y, width, height } = area
    const shared = this.#shared
    const into = shared ?? new Uint32Array(width * height)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      toCanvas(pixels, from, into, shared === null ? row * width : from, width)
    }
    if (shared !== null) return { ...area, pixels: null }
    const own = into as Uint32Array<ArrayBuffer>
    transfer.push(own.buffer)
    return { ...area, pixels: own }
  }
}

/** From 0x00RRGGBB to bytes of red, green, blue and opacity: browsers run on little-endian hosts alone. */
function toCanvas(pixels: Uint32Array, from: number, into: Uint32Array, to: number, count: number): void {
  for (const end = from + count; from < end; from++, to++) {
    const pixel = pixels[from]!
    into[to] = 0xff00_0000 | ((pixel & 0xff) << 16) | (pixel & 0xff00) | ((pixel >>> 16) & 0xff)
  }
}

function around(areas: readonly Rectangle[]): Rectangle {
  const x = Math.min(...areas.map((area) => area.x))
  const y = Math.min(...areas.map((area) => area.y))
  const right = Math.max(...areas.map((area) => area.x + area.width))
  const bottom = Math.max(...areas.map((area) => area.y + area.height))
  return { x, y, width: right - x, height: bottom - y }
}
