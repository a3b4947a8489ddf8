import type { TerminalLike } from './terminal.ts'

/** Most characters kept. */
const MOST_CHARACTERS = 100_000
const ESCAPE = '\u001b'
/** Keys with a name, as a terminal sends them. */
const NAMED_KEYS: Readonly<Record<string, string>> = { Enter: '\r', Backspace: '\u007f', Tab: '\t', Escape: ESCAPE }

/**
 * The output of a serial port, as text: lines, carriage returns and backspaces. Escape sequences are left out, but for
 * erasing a line or everything.
 *
 * Source: ECMA-48, 5.4, "Control sequences", 8.3.41, "EL", and 8.3.105, "RIS".
 */
export class PrintedText {
  readonly #decoder = new TextDecoder()
  #before = ''
  #line: string[] = []
  #column = 0
  #sequence = ''

  /** Takes bytes. @returns all of the text */
  print(data: Uint8Array): string {
    for (const character of this.#decoder.decode(data, { stream: true })) this.#take(character)
    const text = this.#before + this.#line.join('')
    return text.slice(-MOST_CHARACTERS)
  }

  #take(character: string): void {
    if (this.#sequence !== '') this.#goOn(character)
    else if (character === ESCAPE) this.#sequence = ESCAPE
    else if (character === '\n') {
      this.#before = `${this.#before}${this.#line.join('')}\n`.slice(-MOST_CHARACTERS)
      this.#line = []
      this.#column = 0
    } else if (character === '\r') this.#column = 0
    else if (character === '\b') this.#column = Math.max(0, this.#column - 1)
    else if (character >= ' ' || character === '\t') {
      while (this.#line.length < this.#column) this.#line.push(' ')
      this.#line[this.#column++] = character
    }
  }

  #goOn(character: string): void {
    const isControl = this.#sequence.startsWith(`${ESCAPE}[`)
    this.#sequence += character
    // Parameters and intermediate bytes come before the final one.
    const ends = isControl ? character >= '@' : character !== '[' && character >= '0'
    // A longer sequence is certainly invalid.
    if (!ends && this.#sequence.length < 64) return
    if (!isControl && character === 'c') {
      this.#before = ''
      this.#line = []
      this.#column = 0
    }
    if (isControl && character === 'K') this.#line.length = Math.min(this.#line.length, this.#column)
    this.#sequence = ''
  }
}

/** A terminal that shows text in an element, for pages without another terminal. */
export class PlainTerminal implements TerminalLike {
  readonly #element: HTMLElement
  readonly #text = new PrintedText()

  constructor(element: HTMLElement) {
    this.#element = element
  }

  /** See `TerminalLike`. */
  write(data: Uint8Array, done?: () => void): void {
    const element = this.#element
    const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 4
    element.textContent = this.#text.print(data)
    // A reader who has scrolled back stays at that place.
    if (atEnd) element.scrollTop = element.scrollHeight
    done?.()
  }

  /** See `TerminalLike`. */
  onData(listener: (text: string) => void): { dispose(): void } {
    const control = new AbortController()
    this.#element.addEventListener(
      'keydown',
      (event) => {
        const text = textOf(event)
        if (text === null) return
        event.preventDefault()
        listener(text)
      },
      { signal: control.signal },
    )
    return { dispose: () => control.abort() }
  }
}

/** Returns the text that a terminal sends for a key; null: none. Tab with Shift leaves the terminal. */
function textOf({ key, ctrlKey, altKey, metaKey, shiftKey }: KeyboardEvent): string | null {
  if (altKey || metaKey || (key === 'Tab' && shiftKey)) return null
  if (ctrlKey) return /^[a-z]$/i.test(key) ? String.fromCharCode(key.toUpperCase().charCodeAt(0) - 64) : null
  return key.length === 1 ? key : (NAMED_KEYS[key] ?? null)
}
