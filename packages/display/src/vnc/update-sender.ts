import * as rfb from './protocol.ts'
import type { CursorImage, DisplayRectangle } from '@retrap/device'
import type { Mouse } from '../input/mouse.ts'
import { clip } from '../pixels.ts'
import type { Screen, ScreenFrame } from '../screen.ts'
import { ByteWriter } from './byte-writer.ts'
import { Damage, partsOf } from './damage.ts'
import { type Picture, RectangleEncoder } from './encodings.ts'
import { MAP_ENTRIES, mapEntry, type PixelLayout, SERVER_LAYOUT, writeLayout, pixelConverter } from './pixel-format.ts'
import { compactLength, LEAST_COMPRESSED, TightEncoder } from './tight.ts'

/** A server's connection to one client. */
export interface VncTransport {
  /** Sends bytes, which are kept. @returns settles when more may be sent; never, or with an error, once it is closed */
  write(bytes: Uint8Array): Promise<void>
  /** Closes the connection. Bytes already sent are still delivered if possible. */
  close(): void
}

/** A zlib stream (RFC 1950) that continues across calls. */
export interface Compressor {
  /** Compresses and flushes bytes, so that the reader can decode all of them. */
  compress(bytes: Uint8Array): Promise<Uint8Array>
  /** Frees the compressor. */
  close(): void
}

/** Size of the picture while the display is off and was never on. */
const FIRST_SIZE = { width: 640, height: 480 } as const

/** Width of a rectangle in Tight, in pixels; the encoding allows 2048. Small parts often have few colours. */
const TIGHT_COLUMN = 256

/** Sends one client's requested updates: at most one is in transit, and later changes are merged. */
export class UpdateSender {
  readonly #screen: Screen
  readonly #mouse: Mouse
  readonly #transport: VncTransport
  readonly #createCompressor: (() => Compressor) | undefined
  /** Compressors in use: ZRLE's, and Tight's by stream number. */
  readonly #compressors = new Map<number | 'zrle', Compressor>()
  readonly #fail: () => void
  readonly #damage = new Damage()
  #layout = SERVER_LAYOUT
  #encoder = new RectangleEncoder(SERVER_LAYOUT)
  #tight = new TightEncoder(SERVER_LAYOUT)
  #encodings: ReadonlySet<number> = new Set()
  #requested: DisplayRectangle | null = null
  #sending = false
  #closed = false
  /** Messages that an update carries beside pixels: whether each is due. */
  #tellSize = false
  #tellKeys = false
  /** Whether to send the colour map: before pixels, so that a client that does not read gets only one. */
  #tellColours = false
  #refused = false
  /** The cursor last sent to the client; null: none. */
  #cursor: CursorImage | null = null
  /** The picture's size, as the client knows it. */
  width: number = FIRST_SIZE.width
  height: number = FIRST_SIZE.height
  /** Whether the client's pointer events tell movements. */
  tellsMovements = false

  constructor(
    settings: {
      readonly screen: Screen
      readonly mouse: Mouse
      readonly createCompressor: (() => Compressor) | undefined
    },
    transport: VncTransport,
    fail: () => void,
  ) {
    this.#screen = settings.screen
    this.#mouse = settings.mouse
    this.#transport = transport
    this.#createCompressor = settings.createCompressor
    this.#fail = fail
  }

  /** Takes the screen's present size as the client's first size. */
  begin(): { readonly width: number; readonly height: number } {
    if (this.#screen.width > 0) {
      this.width = this.#screen.width
      this.height = this.#screen.height
    }
    this.#damage.set(this.width, this.height)
    return { width: this.width, height: this.height }
  }

  serverInit(width: number, height: number, layout: PixelLayout, name: string): Uint8Array {
    return new ByteWriter().u16(width).u16(height).bytes(writeLayout(layout)).text(name).take()
  }

  setLayout(layout: PixelLayout): void {
    this.#layout = layout
    this.#encoder = new RectangleEncoder(layout)
    this.#tight = new TightEncoder(layout)
    this.#tellColours = !layout.trueColour
  }

  setEncodings(encodings: ReadonlySet<number>): void {
    const before = this.#encodings
    const isNew = (encoding: number): boolean => encodings.has(encoding) && !before.has(encoding)
    if (isNew(rfb.EXTENDED_DESKTOP_SIZE)) this.#tellSize = true
    if (isNew(rfb.QEMU_EXTENDED_KEYS)) this.#tellKeys = true
    if (isNew(rfb.CURSOR)) this.#cursor = null
    this.#encodings = encodings
    if (!encodings.has(rfb.QEMU_POINTER_MOTION)) this.tellsMovements = false
  }

  /** Refuses a client's request for another size, which only the guest decides. */
  refuseSize(): void {
    this.#refused = this.#encodings.has(rfb.EXTENDED_DESKTOP_SIZE)
    this.#pump()
  }

  request(area: DisplayRectangle, incremental: boolean): void {
    const within = clip(area, this.width, this.height)
    if (!incremental && within !== null) this.#damage.add(within)
    this.#requested = within ?? this.#requested ?? { x: 0, y: 0, width: 0, height: 0 }
    this.#pump()
  }

  changed({ resized, dirty }: ScreenFrame): void {
    if (resized) this.#damage.set(this.width, this.height)
    for (const area of dirty) {
      const within = clip(area, this.width, this.height)
      if (within !== null) this.#damage.add(within)
    }
    this.#pump()
  }

  close(): void {
    this.#closed = true
    for (const compressor of this.#compressors.values()) compressor.close()
  }

  #pump(): void {
    if (this.#sending || this.#closed || this.#requested === null) return
    const update = this.#message() ?? this.#pixels(this.#requested)
    if (update === null) return
    this.#requested = null
    this.#sending = true
    update.then(
      () => {
        this.#sending = false
        this.#pump()
      },
      () => this.#fail(),
    )
  }

  /** Sends a due update without pixels, if any. */
  #message(): Promise<void> | null {
    const { width, height } = this.#screen
    const canResize = this.#encodings.has(rfb.EXTENDED_DESKTOP_SIZE) || this.#encodings.has(rfb.DESKTOP_SIZE)
    const resized = canResize && width > 0 && (width !== this.width || height !== this.height)
    if (resized) {
      this.width = width
      this.height = height
      this.#damage.set(width, height)
    }
    if (resized || this.#tellSize) {
      this.#tellSize = false
      return this.#sendSize(rfb.SIZE_OF_SERVER, 0)
    }
    if (this.#refused) {
      this.#refused = false
      return this.#sendSize(rfb.SIZE_OF_CLIENT, rfb.SIZE_PROHIBITED)
    }
    if (this.#tellKeys) {
      this.#tellKeys = false
      return this.#send(this.#header(1).u16(0).u16(0).u16(0).u16(0).u32(rfb.QEMU_EXTENDED_KEYS))
    }
    const cursor = this.#screen.cursor ?? DOT
    if (this.#encodings.has(rfb.CURSOR) && cursor !== this.#cursor) {
      this.#cursor = cursor
      const out = this.#header(1).u16(cursor.hotX).u16(cursor.hotY).u16(cursor.width).u16(cursor.height)
      return this.#send(writeCursor(out.u32(rfb.CURSOR >>> 0), cursor, this.#layout))
    }
    const movements = this.#encodings.has(rfb.QEMU_POINTER_MOTION) && this.#mouse.pointer === 'relative'
    if (movements === this.tellsMovements) return null
    this.tellsMovements = movements
    const place = movements ? 0 : 1
    const out = this.#header(1).u16(place).u16(0).u16(this.width).u16(this.height)
    return this.#send(out.u32(rfb.QEMU_POINTER_MOTION))
  }

  #sendSize(reason: number, status: number): Promise<void> {
    const { width, height } = this
    if (!this.#encodings.has(rfb.EXTENDED_DESKTOP_SIZE)) {
      return this.#send(this.#header(1).u16(0).u16(0).u16(width).u16(height).u32(rfb.DESKTOP_SIZE))
    }
    const out = this.#header(1).u16(reason).u16(status).u16(width).u16(height).u32(rfb.EXTENDED_DESKTOP_SIZE)
    // A single screen that covers the whole picture.
    out.u8(1).u8(0).u16(0).u32(0).u16(0).u16(0).u16(width).u16(height).u32(0)
    return this.#send(out)
  }

  #header(rectangles: number): ByteWriter {
    return new ByteWriter().u8(rfb.UPDATE).u8(0).u16(rectangles)
  }

  #send(out: ByteWriter): Promise<void> {
    return this.#transport.write(out.take())
  }

  #pixels(requested: DisplayRectangle): Promise<void> | null {
    const areas = this.#damage.take(requested)
    return areas.length === 0 ? null : this.#sendPixels(areas)
  }

  /** The first encoding of pixels in the client's list that can be used here. */
  #encoding(): number {
    for (const encoding of this.#encodings) {
      if (encoding === rfb.RAW) break
      if ((encoding === rfb.TIGHT || encoding === rfb.ZRLE) && this.#createCompressor !== undefined) return encoding
    }
    return rfb.RAW
  }

  async #sendPixels(wanted: readonly DisplayRectangle[]): Promise<void> {
    const { width, height, pixels } = this.#screen
    const picture: Picture = { width, height, pixels }
    const encoding = this.#encoding()
    const write = this.#writer(encoding, picture)
    const areas = partsOf(wanted, encoding === rfb.TIGHT ? TIGHT_COLUMN : Infinity)
    if (this.#tellColours) {
      this.#tellColours = false
      await this.#send(colourMap())
    }
    await this.#send(this.#header(areas.length))
    for (const area of areas) {
      if (this.#closed) return
      const out = new ByteWriter(16 + 4 * area.width * area.height)
      out.u16(area.x).u16(area.y).u16(area.width).u16(area.height).u32(encoding)
      await write(out, area)
      await this.#send(out)
    }
  }

  /** Writes a rectangle by an encoding, in the format that the client has asked for before. */
  #writer(encoding: number, picture: Picture): (out: ByteWriter, area: DisplayRectangle) => Promise<void> {
    const encoder = this.#encoder
    const tight = this.#tight
    if (encoding === rfb.TIGHT) {
      return async (out, area) => {
        const { head, data, stream } = tight.encode(picture, area)
        out.bytes(head)
        if (data.length < LEAST_COMPRESSED) return void out.bytes(data)
        const bytes = await this.#compress(stream, data)
        compactLength(out, bytes.length).bytes(bytes)
      }
    }
    if (encoding === rfb.ZRLE) {
      return async (out, area) => {
        const tiles = new ByteWriter(1024)
        encoder.zrle(tiles, picture, area)
        const bytes = await this.#compress('zrle', tiles.take())
        out.u32(bytes.length).bytes(bytes)
      }
    }
    return (out, area) => Promise.resolve(encoder.raw(out, picture, area))
  }

  #compress(stream: number | 'zrle', bytes: Uint8Array): Promise<Uint8Array> {
    let compressor = this.#compressors.get(stream)
    if (compressor === undefined) {
      compressor = this.#createCompressor!()
      this.#compressors.set(stream, compressor)
    }
    return compressor.compress(bytes)
  }
}

function colourMap(): ByteWriter {
  const map = new ByteWriter().u8(rfb.SET_COLOUR_MAP).u8(0).u16(0).u16(MAP_ENTRIES)
  for (let i = 0; i < MAP_ENTRIES; i++) for (const colour of mapEntry(i)) map.u16(colour)
  return map
}

const OPAQUE = 0x80

/**
 * The pointer of a client whose guest has no hardware cursor: a dot, black with a white border. It says where the client's
 * own pointer is, and hides nothing of a pointer that the guest draws.
 */
const DOT: CursorImage = dot(['.....', '.###.', '.###.', '.###.', '.....'])

function dot(rows: readonly string[]): CursorImage {
  const pixels = rows.flatMap((row) =>
    [...row].flatMap((pixel) => (pixel === '#' ? [0, 0, 0, 255] : [255, 255, 255, 255])),
  )
  return { width: 5, height: 5, hotX: 2, hotY: 2, pixels: Uint8Array.from(pixels) }
}

/** Writes a cursor's pixels, and a bit for each that is shown. Source: RFC 6143, section 7.8.1, "Cursor Pseudo-Encoding". */
function writeCursor(out: ByteWriter, { width, height, pixels }: CursorImage, layout: PixelLayout): ByteWriter {
  const convert = pixelConverter(layout)
  for (let at = 0; at < 4 * width * height; at += 4) {
    const pixel = (pixels[at + 2]! << 16) | (pixels[at + 1]! << 8) | pixels[at]!
    out.pixel(convert(pixel), layout.bytes, layout.bigEndian)
  }
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column += 8) {
      let byte = 0
      for (let i = 0; i < 8 && column + i < width; i++) {
        if (pixels[4 * (row * width + column + i) + 3]! >= OPAQUE) byte |= 0x80 >> i
      }
      out.u8(byte)
    }
  }
  return out
}
