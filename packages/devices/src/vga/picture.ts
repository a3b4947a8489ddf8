import type { DisplayRectangle } from '@retrap/device'

/** A picture made from memory, in words 0x00RRGGBB, with its changed areas. */
export class Picture {
  width = 0
  height = 0
  pixels: Uint32Array = new Uint32Array(0)
  #row: Uint32Array = new Uint32Array(0)
  #dirty: DisplayRectangle[] = []

  /** The pixels as bytes, `bgrx8888`. */
  get bytes(): Uint8Array {
    const { buffer, byteOffset, byteLength } = this.pixels
    return new Uint8Array(buffer, byteOffset, byteLength)
  }

  /** Sets the size. @returns whether the size has changed; then the whole picture counts as changed */
  resize(width: number, height: number): boolean {
    if (width === this.width && height === this.height) return false
    this.width = width
    this.height = height
    this.pixels = new Uint32Array(width * height)
    this.#row = new Uint32Array(width)
    this.all()
    return true
  }

  /** Marks the whole picture as changed. */
  all(): void {
    const { width, height } = this
    this.#dirty = [{ x: 0, y: 0, width, height }]
  }

  /** Counts a rectangle as changed. */
  mark(x: number, y: number, width: number, height: number): void {
    const last = this.#dirty.at(-1)
    // Merge adjacent rows into one rectangle.
    if (last !== undefined && last.x === x && last.width === width && last.y + last.height === y) {
      this.#dirty[this.#dirty.length - 1] = { x, y: last.y, width, height: last.height + height }
    } else this.#dirty.push({ x, y, width, height })
  }

  /** Draws a row, and marks it if it has changed. @param make - fills a row of dots */
  row(y: number, make: (into: Uint32Array) => void): void {
    const { width, pixels } = this
    const made = this.#row
    make(made)
    const at = y * width
    for (let x = 0; x < width; x++) {
      if (made[x] === pixels[at + x]) continue
      pixels.set(made, at)
      this.mark(0, y, width, 1)
      return
    }
  }

  /** Makes the picture black. */
  blank(): void {
    this.pixels.fill(0)
    this.all()
  }

  /** Returns the changes since the last call. */
  takeDirty(): readonly DisplayRectangle[] {
    const dirty = this.#dirty
    this.#dirty = []
    return dirty
  }
}
