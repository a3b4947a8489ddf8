import { printable } from '@retrap/test'

/** Most characters kept of a console's output; older ones are dropped. */
const MOST_CHARACTERS = 1 << 20

/** The output of a guest's console, of which the end is kept, however much a guest prints. */
export class ConsoleLog {
  readonly #decoder = new TextDecoder()
  #text = ''
  /** Number of characters dropped before `#text`. */
  #dropped = 0
  #readTo = 0
  #look: (() => void) | undefined

  /** Takes bytes of UTF-8. Carriage returns are left out. */
  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true }).replaceAll('\r', '')
    this.#look?.()
    // The text is not cut at each byte: cutting copies the string.
    if (this.#text.length < 2 * MOST_CHARACTERS) return
    this.#dropped += this.#text.length - MOST_CHARACTERS
    this.#text = this.#text.slice(-MOST_CHARACTERS)
  }

  /** Number of characters printed so far, dropped ones included. */
  get length(): number {
    return this.#dropped + this.#text.length
  }

  /** Returns unread output, or its end, without control characters. */
  take(mostCharacters: number): string {
    const text = this.#text.slice(Math.max(0, this.#readTo - this.#dropped))
    this.#readTo = this.length
    return lastOf(printable(text), mostCharacters)
  }

  /** Returns the last characters, read or not. */
  last(mostCharacters: number): string {
    const text = printable(this.#text.slice(-mostCharacters))
    return withoutFirst(this.length - mostCharacters, text)
  }

  /**
   * Waits until a text is printed. A new wait cancels the previous one.
   *
   * @param isNew - looks at text that is printed from now on, otherwise at all unread text
   */
  until(expected: string, isNew: boolean): Promise<void> {
    return new Promise((resolve) => {
      let from = isNew ? this.length : Math.max(this.#readTo, this.#dropped)
      this.#look = () => {
        const at = Math.max(0, from - this.#dropped)
        if (this.#text.indexOf(expected, at) < 0) {
          // A match may have begun.
          from = Math.max(from, this.length - expected.length + 1)
          return
        }
        this.#look = undefined
        resolve()
      }
      this.#look()
    })
  }
}

/** Returns the end of a text, with a note on how much is missing. */
export function lastOf(text: string, mostCharacters: number): string {
  const left = text.length - mostCharacters
  return withoutFirst(left, text.slice(Math.max(0, left)))
}

const withoutFirst = (characters: number, text: string): string =>
  characters > 0 ? `[${characters} characters before are left out]\n${text}` : text
