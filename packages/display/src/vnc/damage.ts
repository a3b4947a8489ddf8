import type { DisplayRectangle } from '@retrap/device'
import { around, clip } from '../pixels.ts'

/** Most rectangles; beyond this number one rectangle encloses all. */
const MOST_RECTANGLES = 64
/** An update's header counts its rectangles in 16 bits, of which the last value has a meaning of its own. */
const MOST_OF_UPDATE = 0xfffe
/** Rows of one rectangle of an update, which bounds the data encoded and sent at once. */
const BAND_ROWS = 64

/** The parts of a client's picture that are not up to date: bounded, however much changes while the client does not read. */
export class Damage {
  #areas: DisplayRectangle[] = []

  add(area: DisplayRectangle): void {
    if (this.#areas.some((other) => contains(other, area))) return
    this.#areas = [...this.#areas.filter((other) => !contains(area, other)), area]
    this.#bound()
  }

  /** Joins the areas if they are too many: the area between them is then sent without need. */
  #bound(): void {
    if (this.#areas.length > MOST_RECTANGLES) this.#areas = [around(this.#areas)]
  }

  /** Sets the damage to the whole picture. */
  set(width: number, height: number): void {
    this.#areas = [{ x: 0, y: 0, width, height }]
  }

  /** Removes the damage within an area, as rectangles of a few rows each; the rest stays. */
  take(within: DisplayRectangle): DisplayRectangle[] {
    const taken: DisplayRectangle[] = []
    const left: DisplayRectangle[] = []
    for (const area of this.#areas) {
      const common = intersection(area, within)
      if (common === null) {
        left.push(area)
        continue
      }
      taken.push(common)
      left.push(...rest(area, common))
    }
    this.#areas = left
    this.#bound()
    return taken.flatMap(bands)
  }
}

/**
 * Splits the rectangles of one update into parts of `columnPixels` pixels a row. If they exceed the header's count,
 * enclosing rectangles replace them.
 */
export function partsOf(areas: readonly DisplayRectangle[], columnPixels: number): readonly DisplayRectangle[] {
  const parts = areas.flatMap((area) => columns(area, columnPixels))
  return parts.length <= MOST_OF_UPDATE ? parts : bands(around(areas)).flatMap((area) => columns(area, columnPixels))
}

function columns({ x, y, width, height }: DisplayRectangle, pixels: number): DisplayRectangle[] {
  if (width <= pixels) return [{ x, y, width, height }]
  return Array.from({ length: Math.ceil(width / pixels) }, (_, i) => ({
    x: x + i * pixels,
    y,
    width: Math.min(pixels, width - i * pixels),
    height,
  }))
}

function contains(outer: DisplayRectangle, inner: DisplayRectangle): boolean {
  return (
    inner.x >= outer.x &&
    inner.y >= outer.y &&
    inner.x + inner.width <= outer.x + outer.width &&
    inner.y + inner.height <= outer.y + outer.height
  )
}

function intersection(area: DisplayRectangle, within: DisplayRectangle): DisplayRectangle | null {
  const { x, y, width, height } = within
  const moved = clip({ ...area, x: area.x - x, y: area.y - y }, width, height)
  return moved === null ? null : { ...moved, x: moved.x + x, y: moved.y + y }
}

/** The parts of a rectangle that lie outside one within it: above, below, left and right. */
function rest(area: DisplayRectangle, inner: DisplayRectangle): DisplayRectangle[] {
  const bottom = inner.y + inner.height
  const right = inner.x + inner.width
  return [
    { ...area, height: inner.y - area.y },
    { ...area, y: bottom, height: area.y + area.height - bottom },
    { x: area.x, y: inner.y, width: inner.x - area.x, height: inner.height },
    { x: right, y: inner.y, width: area.x + area.width - right, height: inner.height },
  ].filter(({ width, height }) => width > 0 && height > 0)
}

function bands({ x, y, width, height }: DisplayRectangle): DisplayRectangle[] {
  return Array.from({ length: Math.ceil(height / BAND_ROWS) }, (_, i) => ({
    x,
    y: y + i * BAND_ROWS,
    width,
    height: Math.min(BAND_ROWS, height - i * BAND_ROWS),
  }))
}
