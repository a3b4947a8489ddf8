import { characterOf, type Screen } from './screen.ts'
import { DisplayError } from './errors.ts'

/** Size of a terminal in characters. */
export interface TerminalSize {
  /** Characters of a row. */
  readonly columns: number
  /** Rows. */
  readonly rows: number
}

const ESCAPE = '\u001b['
const UPPER_HALF = '▀'
const MOST_CHARACTERS = 1000
/** Pixels of each direction that a block's colour is made of. */
const SAMPLES = 3
const FOREGROUND = 0x0f
const BACKGROUND = 0x07

/** A character with its colours. */
interface Cell {
  readonly character: string
  readonly foreground: number
  readonly background: number
}

/**
 * A {@link Screen} on a terminal: text as text, graphics as blocks of half a character, in 24-bit colour.
 *
 * Each call returns the escape sequences that change the terminal from the picture before to the present one. Sources:
 * ECMA-48, "CUP", "SGR"; ITU-T T.416, "Selection of colours".
 */
export class TerminalPicture {
  readonly #screen: Screen
  readonly #columns: number
  readonly #rows: number
  #shown: readonly string[] = []
  #shownCursor = ''

  /** @throws DisplayError `ERR_OPTION` for a terminal without room */
  constructor(screen: Screen, { columns, rows }: TerminalSize) {
    for (const [name, value] of Object.entries({ columns, rows })) {
      if (Number.isInteger(value) && value >= 1 && value <= MOST_CHARACTERS) continue
      throw new DisplayError('ERR_OPTION', `${name} ${value}: expected an integer from 1 to ${MOST_CHARACTERS}`)
    }
    this.#screen = screen
    this.#columns = columns
    this.#rows = rows
  }

  /** Returns the output for the terminal; empty without changes. */
  update(): string {
    const lines = this.#lines()
    let out = ''
    for (let row = 0; row < this.#rows; row++) {
      const line = lines[row] ?? ''
      if (this.#shown.length > 0 && (this.#shown[row] ?? '') === line) continue
      out += `${ESCAPE}${row + 1};1H${ESCAPE}0m${line}${ESCAPE}0m${ESCAPE}K`
    }
    this.#shown = lines
    // Drawn rows move the cursor; otherwise it may have moved by itself.
    const cursor = this.#cursor()
    if (out === '' && cursor === this.#shownCursor) return ''
    this.#shownCursor = cursor
    return out + cursor
  }

  #cursor(): string {
    const cursor = this.#screen.cells?.cursor ?? null
    if (cursor === null || cursor.row >= this.#rows || cursor.column >= this.#columns) return `${ESCAPE}?25l`
    return `${ESCAPE}${cursor.row + 1};${cursor.column + 1}H${ESCAPE}?25h`
  }

  #lines(): readonly string[] {
    const text = this.#screen.cells
    if (text === null) return this.#screen.width === 0 ? [''] : this.#blocks()
    const columns = Math.min(text.columns, this.#columns)
    return Array.from({ length: Math.min(text.rows, this.#rows) }, (_, row) =>
      lineOf(columns, (column) => {
        const cell = text.cells[row * text.columns + column]!
        return {
          character: characterOf(cell),
          foreground: text.palette[(cell >> 8) & FOREGROUND]!,
          background: text.palette[(cell >> 12) & BACKGROUND]!,
        }
      }),
    )
  }

  /** The picture at the largest size that keeps its shape: a character is two square blocks. */
  #blocks(): readonly string[] {
    const { width, height } = this.#screen
    const scale = Math.max(width / this.#columns, height / (2 * this.#rows))
    const columns = Math.max(1, Math.min(this.#columns, Math.round(width / scale)))
    const rows = Math.max(1, Math.min(this.#rows, Math.round(height / scale / 2)))
    return Array.from({ length: rows }, (_, row) =>
      lineOf(columns, (column) => ({
        character: UPPER_HALF,
        foreground: this.#block(column, 2 * row, columns, 2 * rows),
        background: this.#block(column, 2 * row + 1, columns, 2 * rows),
      })),
    )
  }

  /** The mean colour of some pixels of a block. */
  #block(x: number, y: number, columns: number, rows: number): number {
    const { width, height, pixels } = this.#screen
    let [red, green, blue] = [0, 0, 0]
    for (let i = 0; i < SAMPLES * SAMPLES; i++) {
      const column = Math.floor(((x + ((i % SAMPLES) + 0.5) / SAMPLES) * width) / columns)
      const row = Math.floor(((y + (Math.floor(i / SAMPLES) + 0.5) / SAMPLES) * height) / rows)
      const pixel = pixels[row * width + column]!
      red += (pixel >>> 16) & 0xff
      green += (pixel >>> 8) & 0xff
      blue += pixel & 0xff
    }
    const mean = (sum: number): number => Math.round(sum / (SAMPLES * SAMPLES))
    return (mean(red) << 16) | (mean(green) << 8) | mean(blue)
  }
}

/** Formats a row, with escape sequences where colours change. */
function lineOf(columns: number, cellAt: (column: number) => Cell): string {
  let line = ''
  let [foreground, background] = [-1, -1]
  for (let column = 0; column < columns; column++) {
    const cell = cellAt(column)
    if (cell.foreground !== foreground) line += `${ESCAPE}38;2;${rgb(cell.foreground)}m`
    if (cell.background !== background) line += `${ESCAPE}48;2;${rgb(cell.background)}m`
    line += cell.character
    foreground = cell.foreground
    background = cell.background
  }
  return line
}

function rgb(colour: number): string {
  return `${(colour >>> 16) & 0xff};${(colour >>> 8) & 0xff};${colour & 0xff}`
}
