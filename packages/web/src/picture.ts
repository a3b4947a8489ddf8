import type { SentFrame } from './protocol.ts'

/** Draws a frame. @param pixels - the whole picture, if memory is shared */
type Draw = (frame: SentFrame, pixels: Uint32Array | null) => void

/** The size of a picture, in pixels. */
interface Size {
  readonly width: number
  readonly height: number
}

interface PictureListener {
  /** Frames are wanted from now on, the first one whole, or no more. */
  watch(on: boolean): void
  /** A frame was drawn. */
  drawn(): void
  resized(size: Size): void
}

/** The page's copy of a machine's picture, with its drawing functions. */
export class Picture {
  readonly #listener: PictureListener
  readonly #watchers = new Set<Draw>()
  #size: Size = { width: 0, height: 0 }
  #pixels: Uint32Array | null = null

  constructor(listener: PictureListener) {
    this.#listener = listener
  }

  /** The size; 0 × 0 while the display is off, or is shown nowhere. */
  get size(): Size {
    return this.#size
  }

  /** Adds a function that draws frames. @returns a function that removes it */
  watch(draw: Draw): () => void {
    this.#watchers.add(draw)
    // Each canvas begins with the whole picture.
    this.#listener.watch(true)
    return () => {
      this.#watchers.delete(draw)
      if (this.#watchers.size === 0) this.#listener.watch(false)
    }
  }

  /** Draws the changed areas of a frame. */
  draw(frame: SentFrame): void {
    const { width, height } = frame
    const isResized = width !== this.#size.width || height !== this.#size.height
    if (frame.shared !== null) this.#pixels = frame.shared
    else if (isResized) this.#pixels = null
    if (isResized) {
      this.#size = { width, height }
      this.#listener.resized(this.#size)
    }
    // A page that is hidden has no animation frames: its machine draws nothing, and runs on.
    requestAnimationFrame(() => {
      for (const draw of this.#watchers) draw(frame, this.#pixels)
      this.#listener.drawn()
    })
  }
}
