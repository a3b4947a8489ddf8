import { readFileSync } from 'node:fs'
import type { Page } from 'puppeteer-core'

const GLYPH_ROWS = 16
/** Letter A of the VGA's font, which each VGA BIOS has. */
const LETTER_A = Buffer.from('000010386cc6c6fec6c6c6c600000000', 'hex')

/** The font of 8×16 in a VGA BIOS, as characters by their rows. */
export function readFont(vgaBios: string): ReadonlyMap<string, string> {
  const bytes = readFileSync(vgaBios)
  const start = bytes.indexOf(LETTER_A) - 0x41 * GLYPH_ROWS
  if (start < 0) throw new Error(`${vgaBios}: it has no font of 8×16`)
  const font = new Map<string, string>()
  for (let code = 0x20; code < 0x7f; code++) {
    const at = start + code * GLYPH_ROWS
    font.set(bytes.toString('hex', at, at + GLYPH_ROWS), String.fromCharCode(code))
  }
  return font
}

/** Reads the text off the pixels of a canvas that shows the mode 720×400; '' for another mode. `?` stands where the cursor is. */
export async function textOnScreen(page: Page, font: ReadonlyMap<string, string>): Promise<string> {
  const cells = await page.evaluate(() => {
    const canvas = document.querySelector('canvas')
    if (canvas === null || canvas.width !== 720 || canvas.height !== 400) return []
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, 720, 400)
    /** Eight pixels of a cell's nine, by their green. */
    const rowOf = (x: number, y: number): string => {
      let bits = 0
      for (let i = 0; i < 8; i++) bits = (bits << 1) | (data[4 * (y * 720 + x + i) + 1]! > 100 ? 1 : 0)
      return bits.toString(16).padStart(2, '0')
    }
    return Array.from({ length: 25 }, (_, line) =>
      Array.from({ length: 80 }, (_, column) =>
        Array.from({ length: 16 }, (_, row) => rowOf(9 * column, 16 * line + row)).join(''),
      ),
    )
  })
  return cells
    .map((line) =>
      line
        .map((cell) => font.get(cell) ?? '?')
        .join('')
        .trimEnd(),
    )
    .join('\n')
}
