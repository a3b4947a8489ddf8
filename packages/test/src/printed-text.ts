import { printable as plain } from '@retrap/basics'
import { echoEnd } from './echo.ts'

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
