/** The width of the narrowest terminal. */
const FEWEST_COLUMNS = 20
/** Least number of output characters searched for an echo, and its maximum in multiples of the row: editors redraw rows. */
const [FEWEST_LOOKED, DRAWN_TIMES] = [1024, 8]
/** An escape sequence (ECMA-48: CSI with numbers and final byte, OSC, others, or an incomplete one), or one character. */
const TOKEN =
  // oxlint-disable-next-line no-control-regex -- terminals get control characters
  /\x1b\[[?>=]?(?<count>\d*)[\d;]*(?<final>[@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[^[\]]|\x1b(?:\[[?>=\d;]*|\].*)?$|(?<text>[^\x1b])/gu
/** A terminal that cannot go up (TERM=dumb) has one row, of which readline shows the end, behind a sign. */
const SCROLLED = /\r<([^\r]+)\r*$/

interface Token {
  /** A character, or the final byte behind `CSI`; empty for a sequence that moves nothing. */
  readonly act: string
  readonly count: number
}

/**
 * Returns where the echo of a typed line ends: behind the line feed at which a terminal shows the line from where it was typed.
 *
 * How line editors draw a line that is longer than the terminal is wide differs (readline, BusyBox ash), and no guest says how wide
 * it takes the terminal to be. So a terminal of each width draws it: it shows the whole line for the guest's width, and for no width
 * before the last of the line has been drawn.
 *
 * @param row - earlier content of the row, the prompt
 * @param printed - output since the line was typed, with carriage returns
 * @returns an index in `printed`; `begun` while a part of the line is shown, `none` without an echo
 */
export function echoEnd(row: string, printed: string, line: string): number | 'begun' | 'none' {
  const typed = [...line]
  const before = tokensOf(row)
  const most = before.length + typed.length
  const looked = printed.slice(0, FEWEST_LOOKED + DRAWN_TIMES * most)
  let tokens = before
  // The echo has no more line feeds than rows.
  for (let from = 0, rows = Math.ceil(most / FEWEST_COLUMNS) + 1; rows > 0; rows--) {
    const feed = looked.indexOf('\n', from)
    const drawn = looked.slice(from, feed < 0 ? undefined : feed)
    const scrolled = SCROLLED.exec(drawn)?.[1]
    if (scrolled !== undefined && line.includes(scrolled)) return feed < 0 ? 'begun' : feed + 1
    tokens = [...tokens, ...tokensOf(drawn)]
    // The widest terminal wraps no line: nothing can show the whole line before so much output.
    const isEnough = feed < 0 || tokens.length >= most
    for (let columns = Math.max(most, FEWEST_COLUMNS) + 1; isEnough && columns >= FEWEST_COLUMNS; columns--) {
      const { shown, left } = shownOn(columns, tokens, before.length)
      const at = shown.indexOf(line)
      if (feed >= 0 ? at >= 0 && at < left : isBegun(shown, line)) return feed >= 0 ? feed + 1 : 'begun'
    }
    if (feed < 0) return 'none'
    tokens.push({ act: '\n', count: 1 })
    from = feed + 1
  }
  return 'none'
}

const isBegun = (shown: string, line: string): boolean =>
  shown.trim() !== '' && line.trimStart().startsWith(shown.trim())

function tokensOf(text: string): Token[] {
  return [...text.matchAll(TOKEN)].map(({ groups = {} }) => ({
    act: groups['final'] === undefined ? (groups['text'] ?? '') : `CSI ${groups['final']}`,
    count: Number(groups['count'] || 1),
  }))
}

/**
 * Draws on a terminal.
 *
 * @returns the cells from where token `typedAt` is drawn, row by row, and the number of cells left in that row
 */
function shownOn(
  columns: number,
  tokens: readonly Token[],
  typedAt: number,
): { readonly shown: string; readonly left: number } {
  const cells: (string | undefined)[] = []
  let [row, column, start] = [0, 0, 0]
  const to = (nextRow: number, next: number): void => {
    row = Math.max(0, nextRow)
    column = Math.max(0, Math.min(next, columns - 1))
  }
  for (const [i, { act, count }] of tokens.entries()) {
    if (i === typedAt) start = row * columns + column
    if (act === '\r') column = 0
    else if (act === '\n') to(row + 1, column)
    else if (act === '\b' || act === 'CSI D') to(row, Math.min(column, columns - 1) - count)
    else if (act === 'CSI A') to(row - count, column)
    else if (act === 'CSI B') to(row + count, column)
    else if (act === 'CSI C') to(row, column + count)
    else if (act === 'CSI K') cells.fill(' ', row * columns + column, (row + 1) * columns)
    else if (act >= ' ' && act.length < 3) {
      // Behind the last column it wraps with the next character only.
      if (column === columns) to(row + 1, 0)
      cells[row * columns + column++] = act
    }
  }
  const shown = Array.from(cells.slice(start), (cell = ' ') => cell).join('')
  return { shown, left: columns - (start % columns) }
}
