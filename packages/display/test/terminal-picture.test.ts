import { describe, expect, test } from 'vitest'
import { DisplayError, Screen, TerminalPicture } from '../src/index.ts'

const PALETTE = Uint32Array.from({ length: 16 }, (_, i) => i * 0x01_0203)
const colours = (foreground: string, background: string): string =>
  `\u001b[38;2;${foreground}m\u001b[48;2;${background}m`
const line = (row: number, text: string): string => `\u001b[${row};1H\u001b[0m${text}\u001b[0m\u001b[K`

function textScreen(columns: number, rows: number, cells: readonly number[]): Screen {
  const screen = new Screen()
  screen.setMode({ width: 8 * columns, height: 16 * rows, stride: 32 * columns, format: 'bgrx8888' })
  const cursor = { column: 1, row: 0 }
  screen.setText({ columns, rows, cells: Uint16Array.from(cells), cursor, palette: PALETTE })
  return screen
}

describe('a terminal', () => {
  test('shows text with its colours and the cursor, and then what has changed', () => {
    const screen = textScreen(2, 2, [0x1741, 0x1742, 0x0043, 0xf4c4])
    const terminal = new TerminalPicture(screen, { columns: 80, rows: 25 })
    const first = terminal.update()
    expect(first).toContain(line(1, `${colours('7;14;21', '1;2;3')}AB`))
    expect(first).toContain(line(2, `${colours('0;0;0', '0;0;0')}C${colours('4;8;12', '7;14;21')}─`))
    expect(first.endsWith('\u001b[1;2H\u001b[?25h')).toBe(true)
    expect(terminal.update()).toBe('')
    const cells = Uint16Array.of(0x1741, 0x1742, 0x0043, 0x0044)
    screen.setText({ columns: 2, rows: 2, cells, cursor: null, palette: PALETTE })
    expect(terminal.update()).toBe(`${line(2, `${colours('0;0;0', '0;0;0')}CD`)}\u001b[?25l`)
  })

  test('follows a cursor that moves, or is hidden and shown, while the text stays', () => {
    const text = { columns: 2, rows: 1, cells: Uint16Array.of(0x0741, 0x0742), palette: PALETTE }
    const screen = textScreen(2, 1, [0x0741, 0x0742])
    const terminal = new TerminalPicture(screen, { columns: 80, rows: 25 })
    terminal.update()
    screen.setText({ ...text, cursor: { column: 0, row: 0 } })
    expect(terminal.update()).toBe('\u001b[1;1H\u001b[?25h')
    expect(terminal.update()).toBe('')
    screen.setText({ ...text, cursor: null })
    expect(terminal.update()).toBe('\u001b[?25l')
    screen.setText({ ...text, cursor: { column: 0, row: 0 } })
    expect(terminal.update()).toBe('\u001b[1;1H\u001b[?25h')
  })

  test('shows graphics by blocks, at the largest size that keeps the shape of the picture', () => {
    const screen = new Screen()
    screen.setMode({ width: 16, height: 8, stride: 64, format: 'bgrx8888' })
    const pixels = new Uint32Array(16 * 8)
    pixels.fill(0xff_0000, 0, 64)
    screen.draw(new Uint8Array(pixels.buffer), [{ x: 0, y: 0, width: 16, height: 8 }])
    const terminal = new TerminalPicture(screen, { columns: 4, rows: 10 })
    // 16 by 8 becomes 4 by 2 blocks: one row.
    expect(terminal.update()).toContain(line(1, `${colours('255;0;0', '0;0;0')}▀▀▀▀`))
  })

  test.each([
    { width: 64, height: 48, columns: 40, rows: 10, blocks: [27, 10] },
    { width: 64, height: 10, columns: 40, rows: 10, blocks: [40, 3] },
    { width: 10, height: 400, columns: 40, rows: 10, blocks: [1, 10] },
    { width: 400, height: 3, columns: 8, rows: 10, blocks: [8, 1] },
    { width: 4, height: 4, columns: 40, rows: 10, blocks: [20, 10] },
  ])('of $columns by $rows shows $width by $height pixels as $blocks', ({ width, height, columns, rows, blocks }) => {
    const screen = new Screen()
    screen.setMode({ width, height, stride: 4 * width, format: 'bgrx8888' })
    const pixels = Uint32Array.from({ length: width * height }, (_, i) => Math.imul(i + 1, 0x9e37_79b1) >>> 0)
    screen.draw(new Uint8Array(pixels.buffer), [{ x: 0, y: 0, width, height }])
    const [across, down] = blocks as [number, number]
    /** The mean of nine pixels that lie evenly within a block. */
    const mean = (x: number, y: number): string =>
      [16, 8, 0]
        .map((shift) => {
          let sum = 0
          for (const dy of [1 / 6, 3 / 6, 5 / 6]) {
            for (const dx of [1 / 6, 3 / 6, 5 / 6]) {
              const at = Math.floor(((y + dy) * height) / (2 * down)) * width + Math.floor(((x + dx) * width) / across)
              sum += (pixels[at]! >>> shift) % 256
            }
          }
          return Math.round(sum / 9)
        })
        .join(';')
    const shown = new TerminalPicture(screen, { columns, rows }).update()
    for (let row = 0; row < rows; row++) {
      let [text, foreground, background] = ['', '', '']
      for (let column = 0; row < down && column < across; column++) {
        const [upper, lower] = [mean(column, 2 * row), mean(column, 2 * row + 1)]
        if (upper !== foreground) text += `\u001b[38;2;${(foreground = upper)}m`
        if (lower !== background) text += `\u001b[48;2;${(background = lower)}m`
        text += '▀'
      }
      expect(shown).toContain(line(row + 1, text))
    }
  })

  test('shows no more than it has room for, and no cursor outside', () => {
    const screen = textScreen(3, 3, [0x0741, 0x0742, 0x0743, 0x0744, 0x0745, 0x0746, 0x0747, 0x0748, 0x0749])
    const shown = (columns: number, rows: number, cursor: { column: number; row: number }): string => {
      const cells = screen.cells!.cells
      screen.setText({ columns: 3, rows: 3, cells, cursor, palette: PALETTE.map((colour) => colour | 0xff00_0000) })
      return new TerminalPicture(screen, { columns, rows }).update()
    }
    const first = shown(2, 2, { column: 1, row: 1 })
    expect(first).toBe(
      `${line(1, `${colours('7;14;21', '0;0;0')}AB`)}${line(2, `${colours('7;14;21', '0;0;0')}DE`)}\u001b[2;2H\u001b[?25h`,
    )
    expect(shown(2, 2, { column: 2, row: 0 }).endsWith('\u001b[?25l')).toBe(true)
    expect(shown(2, 2, { column: 0, row: 2 }).endsWith('\u001b[?25l')).toBe(true)
    expect(shown(1000, 1000, { column: 2, row: 2 }).endsWith('\u001b[3;3H\u001b[?25h')).toBe(true)
  })

  test('is cleared when the display goes off', () => {
    const screen = textScreen(1, 1, [0x0741])
    const terminal = new TerminalPicture(screen, { columns: 2, rows: 2 })
    terminal.update()
    screen.setMode(null)
    expect(terminal.update()).toBe(`${line(1, '')}\u001b[?25l`)
  })

  test.each([
    { columns: 0, rows: 1 },
    { columns: 1, rows: 1001 },
    { columns: 1.5, rows: 1 },
    { columns: 1001, rows: 1 },
    { columns: 1, rows: 0 },
  ])('%o cannot be', (size) => {
    expect(() => new TerminalPicture(new Screen(), size)).toThrow(DisplayError)
  })
})
