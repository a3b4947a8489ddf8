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
  ])('%o cannot be', (size) => {
    expect(() => new TerminalPicture(new Screen(), size)).toThrow(DisplayError)
  })
})
