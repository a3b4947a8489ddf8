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
  const stop = watch(painterOf(canvas))
  const stopInput = options.input === false ? undefined : attachInput(machine, canvas, options.pointerLock ?? true)
  return () => {
    stop()
    stopInput?.()
  }
}

/** Returns a function that draws frames on a canvas. */
function painterOf(canvas: HTMLCanvasElement): Parameters<Watch>[0] {
  const context = canvas.getContext('2d', { alpha: false })!
  let scratch = new Uint32Array(0)
  /** Takes a part out of shared memory, of which a canvas takes nothing. */
  const taken = ({ x, y, width, height }: SentRectangle, pixels: Uint32Array, stride: number) => {
    const count = width * height
    if (scratch.length < count) scratch = new Uint32Array(count)
    for (let row = 0; row < height; row++) {
      const from = (y + row) * stride + x
      scratch.set(pixels.subarray(from, from + width), row * width)
    }
    return scratch.subarray(0, count)
  }
  return ({ width, height, dirty }, pixels) => {
    if (width === 0) return context.clearRect(0, 0, canvas.width, canvas.height)
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width
      canvas.height = height
    }
    for (const area of dirty) {
      if (area.width === 0 || area.height === 0) continue
      const own = area.pixels ?? (pixels && pixels.length >= width * height ? taken(area, pixels, width) : null)
      if (own === null) continue
      const bytes = new Uint8ClampedArray(own.buffer, own.byteOffset, own.byteLength)
      context.putImageData(new ImageData(bytes, area.width, area.height), area.x, area.y)
    }
  }
}
