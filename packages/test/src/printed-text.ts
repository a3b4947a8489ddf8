/** A longer line is matched by its first characters: a guest may never end one. */
const MOST_MATCHED_CHARACTERS = 4096

/** An awaited output: a text, or an expression that is matched against one line at a time. */
export type Expected = string | RegExp

/** The output of a guest, and how far it has been read. Carriage returns are left out. */
export class PrintedText {
  readonly #decoder = new TextDecoder()
  #text = ''
  #readTo = 0
  /** No line before this place has a match of what is waited for. */
  #searchFrom = 0

  /** All of it. */
  get text(): string {
    return this.#text
  }

  /** The part that has not been read yet. */
  get unread(): string {
    return this.#text.slice(this.#readTo)
  }

  /** Takes bytes of UTF-8. */
  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true }).replaceAll('\r', '')
  }

  /** Begins to look for something else, in all that has not been read. */
  begin(): void {
    this.#searchFrom = this.#readTo
  }

  /**
   * Reads up to the end of the next match.
   *
   * @returns what was read, and where in it the match begins; null while there is no match
   */
  read(expected: Expected): { readonly text: string; readonly matchStart: number } | null {
    const match = typeof expected === 'string' ? this.#find(expected) : this.#match(expected)
    if (match === null) return null
    const text = this.#text.slice(this.#readTo, match.end)
    const matchStart = match.start - this.#readTo
    this.#readTo = this.#searchFrom = match.end
    return { text, matchStart }
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
      // `search` neither uses nor changes what a global expression remembers.
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
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|\p{Cf}|[\u2028\u2029\ufffe\uffff]/gu, (character) => {
    const code = character.codePointAt(0)!.toString(16)
    return code.length > 2 ? `\\u{${code}}` : `\\x${code.padStart(2, '0')}`
  })
}
