import { printable as plain } from '@retrap/basics'

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
function echoEnd(row: string, printed: string, line: string): number | 'begun' | 'none' {
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

/** A longer line is matched by its first characters: a guest may never end one. */
const MOST_MATCHED_CHARACTERS = 4096

/** An awaited output: a text, or an expression that is matched against one line at a time. */
export type Expected = string | RegExp

/** The output of a guest, and how far it has been read. Carriage returns are left out. */
export class PrintedText {
  readonly #decoder = new TextDecoder()
  #text = ''
  #readTo = 0
  /** No line before this place has a match of the awaited text. */
  #searchFrom = 0
  /** Output since the begin of the row at which the last wait began, with carriage returns. */
  #raw: string
  /** The typed line, whose echo is not output, and where it was typed. */
  #typed: { readonly line: string; readonly row: string; readonly at: number } | undefined

  /** @param row - text of the present row before the output */
  constructor(row: string) {
    this.#raw = row
  }

  /** The whole text. */
  get text(): string {
    return this.#text
  }

  /** The last row, with carriage returns. */
  get row(): string {
    return this.#raw.slice(this.#raw.lastIndexOf('\n') + 1)
  }

  /** The part that has not been read yet. */
  get unread(): string {
    return this.#text.slice(this.#readTo)
  }

  /** Takes bytes of UTF-8. */
  push(bytes: Uint8Array): void {
    const raw = this.#decoder.decode(bytes, { stream: true })
    this.#raw += raw
    this.#text += raw.replaceAll('\r', '')
  }

  /** Starts another search: in all unread output, or after the echo of a line typed now. */
  begin(line?: string): void {
    const { row } = this
    this.#raw = row
    this.#typed = line === undefined ? undefined : { line, row, at: this.#text.length }
    this.#searchFrom = this.#typed?.at ?? this.#readTo
  }

  /**
   * Reads up to the end of the next match.
   *
   * @returns output after the echo, and the index of the match in it; null without a match
   */
  read(expected: Expected): { readonly text: string; readonly matchStart: number } | null {
    for (;;) {
      const match = typeof expected === 'string' ? this.#find(expected) : this.#match(expected)
      const from = match === null ? null : this.#outputStart()
      if (match === null || (from === null && match.end === this.#searchFrom)) return null
      if (from === null || match.start < from) {
        // The match is a part of the echo.
        this.#searchFrom = from ?? match.end
        continue
      }
      const text = this.#text.slice(from, match.end)
      this.#readTo = this.#searchFrom = match.end
      return { text, matchStart: match.start - from }
    }
  }

  /** Returns the start of the output, after an echo; null before the echo's end. */
  #outputStart(): number | null {
    if (this.#typed === undefined) return this.#readTo
    const { line, row, at } = this.#typed
    const printed = this.#raw.slice(row.length)
    const end = echoEnd(row, printed, line)
    if (end === 'begun') return null
    return end === 'none' ? this.#readTo : at + printed.slice(0, end).replaceAll('\r', '').length
  }

  #find(expected: string): { readonly start: number; readonly end: number } | null {
    const start = this.#text.indexOf(expected, this.#searchFrom)
    if (start >= 0) return { start, end: start + expected.length }
    // A match may have begun.
    this.#searchFrom = Math.max(this.#searchFrom, this.#text.length - expected.length + 1)
    return null
  }

  #match(expected: RegExp): { readonly start: number; readonly end: number } | null {
    for (;;) {
      const newline = this.#text.indexOf('\n', this.#searchFrom)
      const end = newline < 0 ? this.#text.length : newline
      const line = this.#text.slice(this.#searchFrom, Math.min(end, this.#searchFrom + MOST_MATCHED_CHARACTERS))
      // `search` ignores and keeps the state of a global expression.
      const at = line.search(expected)
      if (at >= 0) {
        const [match = ''] = new RegExp(expected.source, expected.flags.replace(/[gy]/g, '')).exec(line) ?? []
        const start = this.#searchFrom + at
        return { start, end: start + match.length }
      }
      if (newline < 0) return null
      this.#searchFrom = newline + 1
    }
  }
}

/** Returns a guest's text without control characters, which would reach a terminal: each as `\\xNN`; lines and tabs stay. */
export const printable: (text: string) => string = plain
