/**
 * Names the order of a pixel's bytes in memory, lowest address first. `x` is a byte without meaning.
 *
 * `rgb565` and `xrgb1555` are little-endian words with red in the highest bits.
 */
export type PixelFormat = 'bgrx8888' | 'rgbx8888' | 'xrgb8888' | 'xbgr8888' | 'bgr888' | 'rgb565' | 'xrgb1555'

/** Pixel layout of a display. */
export interface DisplayMode {
  /** Pixels. */
  readonly width: number
  /** Rows. */
  readonly height: number
  /** Order of a pixel's bytes. */
  readonly format: PixelFormat
  /** Bytes from one row to the next. */
  readonly stride: number
}

/** A rectangle in pixels. */
export interface DisplayRectangle {
  /** Leftmost pixel. */
  readonly x: number
  /** First row. */
  readonly y: number
  /** Pixels of a row. */
  readonly width: number
  /** Rows. */
  readonly height: number
}

/** A cursor's image: `bgrx8888` with alpha in the fourth byte, premultiplied. */
export interface CursorImage {
  /** Pixels of a row. */
  readonly width: number
  /** Rows. */
  readonly height: number
  /** The pixel that is at the cursor's position. */
  readonly hotX: number
  /** Row of the hot spot. */
  readonly hotY: number
  /** Four bytes a pixel, row by row. */
  readonly pixels: Uint8Array
}

/** The content of a text mode, for displays that can show text. */
export interface DisplayText {
  /** Characters of a row. */
  readonly columns: number
  /** Rows of characters. */
  readonly rows: number
  /** One word a character, row by row: the code point of the adapter's character set in bits 7:0, its attribute in bits 15:8. */
  readonly cells: Uint16Array
  /** Position of the cursor, or null if hidden. */
  readonly cursor: { readonly column: number; readonly row: number } | null
  /** The 16 colours that attributes name, as 0xRRGGBB. */
  readonly palette: Uint32Array
}

/** The user of a display, who is notified by these calls: a graphics card's model. */
export interface DisplayClient {
  /** Reports the whole picture, for a new viewer. */
  refresh(): void
  /** Reports changes since the last report. The display asks once a frame, while the picture is watched. */
  update(): void
  /** Tells that a window of this size would like a mode of its own; a model may follow. */
  preferredSize?(width: number, height: number): void
}

/**
 * A surface that a graphics card's model draws on.
 *
 * A model keeps the bytes of the picture where it likes (usually in owned memory). The display asks for reports by
 * `refresh` and `update`; the model answers with `setMode`, `draw` and `setText`, before the call returns or later. A
 * model needs no timer for its picture, and does nothing for it while nobody looks.
 */
export interface DisplayBackend {
  /** Names the model that is notified of the display. A machine that starts anew has another model, which takes its place. */
  connect(client: DisplayClient): void
  /** Whether the display has a viewer. Without one a model need not track changes. */
  readonly visible: boolean
  /** Sets size and format; the picture is unknown until `draw`. Null: the display is off. */
  setMode(mode: DisplayMode | null): void
  /**
   * Shows parts of the picture.
   *
   * @param pixels - the whole picture in the mode's format, from its first row on; valid until the call returns
   * @param dirty - the changed rectangles; empty: none has changed
   */
  draw(pixels: Uint8Array, dirty: readonly DisplayRectangle[]): void
  /** Provides the text of a text mode after drawing; valid until the call returns. Null: graphics. */
  setText?(text: DisplayText | null): void
  /** Sets the image of a hardware cursor; null: none. */
  setCursor?(image: CursorImage | null): void
  /** Moves the hardware cursor. */
  moveCursor?(x: number, y: number, visible: boolean): void
}
