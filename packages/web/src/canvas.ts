import { type InputMachine, attachInput } from './input.ts'
import type { SentFrame, SentRectangle } from './protocol.ts'

/** How a canvas shows a machine. */
export interface CanvasOptions {
  /** Whether keys, mouse and touch on the canvas go to the guest. Default true. */
  readonly input?: boolean
  /** Whether a click catches the mouse for a guest with a relative pointer; Escape frees it. Default true. */
  readonly pointerLock?: boolean
}

/** Asks for frames. @returns ends it */
type Watch = (draw: (frame: SentFrame, pixels: Uint32Array | null) => void) => () => void

/** Shows a machine's screen on a canvas. @returns ends it */
export function attachCanvas(
  machine: InputMachine,
  canvas: HTMLCanvasElement,
  options: CanvasOptions,
  watch: Watch,
): () => void {
  const painter = new Painter(canvas)
  const stop = watch((frame, pixels) => painter.draw(frame, pixels))
  const stopInput = options.input === false ? undefined : attachInput(machine, canvas, options.pointerLock ?? true)
  return () => {
    stop()
    stopInput?.()
  }
}

/** Draws frames on a canvas. */
class Painter {
  readonly #canvas: HTMLCanvasElement
  readonly #context: CanvasRenderingContext2D
  #scratch: ImageData | null = null

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas
    this.#context = canvas.getContext('2d', { alpha: false })!
  }

  draw({ width, height, dirty }: SentFrame, pixels: Uint32Array | null): void {
    if (width === 0) {
      this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height)
      return
    }
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width
      this.#canvas.height = height
    }
    for (const area of dirty) {
      if (area.pixels !== null) this.#put(area, area.pixels, 0, area.width)
      else if (pixels !== null && pixels.length >= width * height)
        this.#put(area, pixels, area.y * width + area.x, width)
    }
  }

  #put({ x, y, width, height }: SentRectangle, pixels: Uint32Array, start: number, stride: number): void {
    if (width === 0 || height === 0) return
    if (this.#scratch?.width !== width || this.#scratch.height !== height) this.#scratch = new ImageData(width, height)
    const { data } = this.#scratch
    const words = new Uint32Array(data.buffer)
    for (let row = 0, to = 0; row < height; row++) {
      let from = start + row * stride
      for (const end = from + width; from < end; from++, to++) {
        // 0x00RRGGBB to bytes of red, green, blue and opacity: browsers run on little-endian hosts alone.
        const pixel = pixels[from]!
        words[to] = 0xff00_0000 | ((pixel & 0xff) << 16) | (pixel & 0xff00) | ((pixel >>> 16) & 0xff)
      }
    }
    this.#context.putImageData(this.#scratch, x, y)
  }
}
