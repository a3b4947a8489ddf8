import { type InputMachine, attachInput } from './input.ts'
import type { SentFrame, SentRectangle } from './protocol.ts'

/** Options for showing a machine on a canvas. */
export interface CanvasOptions {
  /** Whether keys, mouse and touch on the canvas go to the guest. Default true. */
  readonly input?: boolean
  /** Whether a click catches the mouse for a guest with a relative pointer; Escape frees it. Default true. */
  readonly pointerLock?: boolean
}

/** Subscribes to frames. @returns a function that unsubscribes */
type Watch = (draw: (frame: SentFrame, pixels: Uint32Array | null) => void) => () => void

/** Shows a machine's screen on a canvas. @returns a function that ends the display */
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
  #scratch = new Uint32Array(0)

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
      if (area.width === 0 || area.height === 0) continue
      if (area.pixels !== null) this.#put(area, area.pixels)
      else if (pixels !== null && pixels.length >= width * height) this.#put(area, this.#taken(area, pixels, width))
    }
  }

  /** Takes a part out of shared memory, of which a canvas takes nothing. */
  #taken({ x, y, width, height }: SentRectangle, pixels: Uint32Array, stride: number): Uint32Array<ArrayBuffer> {
    const count = width * height
    if (this.#scratch.length < count) this.#scratch = new Uint32Array(count)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      this.#scratch.set(pixels.subarray(from, from + width), row * width)
    }
    return this.#scratch.subarray(0, count)
  }

  #put({ x, y, width, height }: SentRectangle, pixels: Uint32Array<ArrayBuffer>): void {
    const bytes = new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength)
    this.#context.putImageData(new ImageData(bytes, width, height), x, y)
  }
}
