import {
  type CursorImage,
  DeviceError,
  type DisplayBackend,
  type DisplayClient,
  type DisplayMode,
  type DisplayRectangle,
  type DisplayText,
} from '@retrap/device'
import { DisplayError } from './errors.ts'
import { around, bytesOf, clip, convert } from './pixels.ts'

/** Options of {@link Screen}. */
export interface ScreenOptions {
  /** Host milliseconds between frames while the screen has a watcher; default 33. */
  readonly intervalMs?: number
}

/** The changes on a {@link Screen} since the last frame. */
export interface ScreenFrame {
  /** Whether the size has changed, or this is the watcher's first frame: read all pixels. */
  readonly resized: boolean
  /** Areas with changed pixels, which may overlap. Empty if only the cursor has changed. */
  readonly dirty: readonly DisplayRectangle[]
}

const DEFAULT_INTERVAL_MS = 33
const LARGEST_SIDE = 16_384
const LARGEST_CURSOR = 512
/** Most rectangles; beyond this number one rectangle encloses all. */
const MOST_RECTANGLES = 64

/**
 * The picture that a machine's graphics card shows.
 *
 * It asks the card for changes once a frame while somebody watches, and otherwise only when `refresh` is called.
 */
export class Screen implements DisplayBackend {
  readonly #intervalMs: number
  #client: DisplayClient | null = null
  #mode: DisplayMode | null = null
  #pixels: Uint32Array = new Uint32Array(0)
  #text: DisplayText | null = null
  #watchers: readonly ((frame: ScreenFrame) => void)[] = []
  #timer: unknown = null
  /** Time at which the next frame is due, by `performance.now`. */
  #due = 0
  #cursor: CursorImage | null = null
  #cursorChanged = false
  #resized = false
  #dirty: DisplayRectangle[] = []

  /** @throws DisplayError `ERR_OPTION` */
  constructor(options: ScreenOptions = {}) {
    const { intervalMs = DEFAULT_INTERVAL_MS } = options
    if (!(intervalMs > 0) || intervalMs > 60_000)
      throw new DisplayError('ERR_OPTION', `intervalMs ${intervalMs}: expected a number above 0, up to 60000`)
    this.#intervalMs = intervalMs
  }

  /** Pixels of a row; 0 while the display is off. */
  get width(): number {
    return this.#mode?.width ?? 0
  }

  /** Rows; 0 while the display is off. */
  get height(): number {
    return this.#mode?.height ?? 0
  }

  /** One word 0x00RRGGBB a pixel, row by row; bits 31:24 mean nothing. In memory it is `bgrx8888`. */
  get pixels(): Uint32Array {
    return this.#pixels
  }

  /** The picture of a text mode, as cells; null while it is graphics, or off. */
  get cells(): DisplayText | null {
    return this.#text
  }

  /** The text of a text mode: its rows without blanks at their ends. Null while it is graphics, or off. */
  get text(): string | null {
    if (this.#text === null) return null
    const { columns, rows, cells } = this.#text
    const lines = Array.from({ length: rows }, (_, row) =>
      [...cells.subarray(row * columns, (row + 1) * columns)].map(characterOf).join('').trimEnd(),
    )
    return lines.join('\n').trimEnd()
  }

  /** The hardware cursor, in blue, green, red and opacity; null: the card has none, or hides it. It is no part of the pixels. */
  get cursor(): CursorImage | null {
    return this.#cursor
  }

  /** Asks the card to report its present picture. A card in this thread has reported when this returns. */
  refresh(): void {
    this.#client?.refresh()
    this.#deliver()
  }

  /**
   * Calls back with each changed frame, the first time before this returns and with the whole picture.
   *
   * @returns a function that ends the watch
   */
  watch(watcher: (frame: ScreenFrame) => void): () => void {
    const first = this.#watchers.length === 0
    this.#watchers = [...this.#watchers, watcher]
    if (first) {
      this.#client?.refresh()
      this.#resized = false
      this.#dirty = []
      this.#schedule()
    }
    const { width, height } = this
    watcher({ resized: true, dirty: width === 0 ? [] : [{ x: 0, y: 0, width, height }] })
    let watches = true
    return () => {
      if (!watches) return
      watches = false
      const at = this.#watchers.indexOf(watcher)
      this.#watchers = this.#watchers.filter((_, i) => i !== at)
      if (this.#watchers.length > 0 || this.#timer === null) return
      clearTimeout(this.#timer)
      this.#timer = null
      this.#due = 0
    }
  }

  /**
   * The picture as a PNG file, as it was last reported.
   *
   * @throws DisplayError `ERR_OFF`
   */
  async toPng(): Promise<Uint8Array> {
    // Loaded at the first use: a page can start its machine without it.
    const { encodePng } = await import('./png.ts')
    const { width, height } = this
    if (width === 0) throw new DisplayError('ERR_OFF', 'the display is off: there is no picture')
    return await encodePng(width, height, this.#pixels)
  }

  /** Whether the card's picture is watched: see `DisplayBackend`. */
  get visible(): boolean {
    return this.#watchers.length > 0
  }

  /** Connects the card: see `DisplayBackend`. */
  connect(client: DisplayClient): void {
    this.#client = client
    // A machine that starts anew has set no cursor yet.
    this.setCursor(null)
    if (this.visible) client.refresh()
  }

  /** Sets the card's mode: see `DisplayBackend`. @throws DeviceError `ERR_INVALID` */
  setMode(mode: DisplayMode | null): void {
    if (mode !== null) checkMode(mode)
    const { width = 0, height = 0 } = mode ?? {}
    if (width !== this.width || height !== this.height) {
      this.#pixels = new Uint32Array(width * height)
      this.#resized = true
      this.#dirty = []
    }
    this.#mode = mode === null ? null : { ...mode }
    if (mode === null) this.#text = null
  }

  /** Draws the card's pixels: see `DisplayBackend`. @throws DeviceError `ERR_INVALID` */
  draw(pixels: Uint8Array, dirty: readonly DisplayRectangle[]): void {
    const mode = this.#mode
    if (mode === null) throw new DeviceError('ERR_INVALID', 'a picture was drawn while the display is off')
    const { width, height, stride, format } = mode
    const least = (height - 1) * stride + width * bytesOf(format)
    if (pixels.length < least)
      throw new DeviceError('ERR_INVALID', `a picture of ${pixels.length} bytes: expected ${least} or more`)
    for (const rectangle of dirty) {
      const area = clip(rectangle, width, height)
      if (area === null) continue
      convert(mode, pixels, this.#pixels, area)
      if (this.visible) this.#dirty.push(area)
    }
    if (this.#dirty.length > MOST_RECTANGLES) this.#dirty = [around(this.#dirty)]
  }

  /** Shows the card's text: see `DisplayBackend`. @throws DeviceError `ERR_INVALID` */
  setText(text: DisplayText | null): void {
    if (text !== null && text.cells.length < text.columns * text.rows) {
      const expected = `${text.columns * text.rows} cells`
      throw new DeviceError('ERR_INVALID', `a text of ${text.cells.length} cells: expected ${expected}`)
    }
    this.#text = text === null ? null : { ...text, cells: text.cells.slice(), palette: text.palette.slice() }
  }

  /** Shows the card's cursor: see `DisplayBackend`. @throws DeviceError `ERR_INVALID` */
  setCursor(image: CursorImage | null): void {
    if (image !== null) checkCursor(image)
    if (image === null && this.#cursor === null) return
    this.#cursor = image === null ? null : { ...image, pixels: image.pixels.slice() }
    this.#cursorChanged = true
  }

  #schedule(): void {
    const now = performance.now()
    // Due by the clock: a delay of less than a frame keeps the rate, and a longer one causes pauses.
    const due = this.#due + this.#intervalMs
    this.#due = due > now && due < now + 2 * this.#intervalMs ? due : now + this.#intervalMs
    this.#timer = setTimeout(() => {
      this.#timer = null
      try {
        this.#client?.update()
        this.#deliver()
      } finally {
        // A watcher may have ended the last watch, or have begun a new one.
        if (this.#timer === null && this.visible) this.#schedule()
      }
    }, this.#due - now)
  }

  #deliver(): void {
    if (!this.#resized && !this.#cursorChanged && this.#dirty.length === 0) return
    const frame: ScreenFrame = { resized: this.#resized, dirty: this.#dirty }
    this.#resized = false
    this.#cursorChanged = false
    this.#dirty = []
    for (const watcher of this.#watchers) watcher(frame)
  }
}

function checkCursor({ width, height, hotX, hotY, pixels }: CursorImage): void {
  const isWithin = (value: number, least: number, most: number): boolean =>
    Number.isInteger(value) && value >= least && value <= most
  const fits =
    isWithin(width, 1, LARGEST_CURSOR) &&
    isWithin(height, 1, LARGEST_CURSOR) &&
    isWithin(hotX, 0, width - 1) &&
    isWithin(hotY, 0, height - 1)
  if (fits && pixels.length === 4 * width * height) return
  throw new DeviceError(
    'ERR_INVALID',
    `a cursor of ${width}×${height} at ${hotX}, ${hotY} with ${pixels.length} bytes: expected sides from 1 to ${LARGEST_CURSOR}, a place inside, 4 bytes a pixel`,
  )
}

function checkMode({ width, height, stride, format }: DisplayMode): void {
  const inRange = (side: number): boolean => Number.isInteger(side) && side > 0 && side <= LARGEST_SIDE
  if (inRange(width) && inRange(height) && Number.isInteger(stride) && stride >= 0) return
  throw new DeviceError(
    'ERR_INVALID',
    `a mode of ${width}×${height}, ${format}, with rows of ${stride} bytes: expected sides from 1 to ${LARGEST_SIDE}`,
  )
}

/** Unicode of the characters that a PC's ROM fonts have, from 0 on; 0 and 255 are blank. */
const CHARACTERS = [
  ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼',
  ' !"#$%&\'()*+,-./0123456789:;<=>?',
  '@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_',
  '`abcdefghijklmnopqrstuvwxyz{|}~⌂',
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ',
  'áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐',
  '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀',
  'αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ',
].join('')

/** The character of a code, 0–255. */
export function characterOf(code: number): string {
  return CHARACTERS[code & 0xff]!
}
