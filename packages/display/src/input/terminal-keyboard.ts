import type { Keyboard } from './keyboard.ts'
import { keyUsage } from './keys.ts'
import { readTerminalKey, type TerminalKey } from './terminal-keys.ts'

/** Options of {@link TerminalKeyboard}. */
export interface TerminalKeyboardOptions {
  /** Host milliseconds after which an ESC that nothing follows is the key Escape. Default 50. */
  readonly escapeMs?: number
}

/** A key goes down or up. */
interface KeyChange {
  readonly usage: number
  readonly down: boolean
}

/** Most events that wait for the guest; the keys of one call of `receive` may exceed it. */
const MOST_WAITING = 1024
const ESCAPE_MS = 50
/** No key's sequence has more characters. */
const LONGEST_KEY = 64
const SHIFT = keyUsage('ShiftLeft')
const ALT_GR = keyUsage('AltRight')

/**
 * Presses and releases the keys of a {@link Keyboard} for the bytes that a terminal in raw mode sends.
 *
 * Characters are typed as the keyboard's layout has them, with Control and Alt where the terminal says so; sequences of
 * arrows, function keys and the keypad become these keys. Characters that the layout does not have are passed over.
 */
export class TerminalKeyboard {
  readonly #keyboard: Keyboard
  readonly #escapeMs: number
  readonly #decoder = new TextDecoder()
  /** The beginning of a sequence. */
  #begun = ''
  #timer: unknown
  /** Resolves when the guest has taken the keys sent. */
  #taken: Promise<unknown> = Promise.resolve()

  constructor(keyboard: Keyboard, { escapeMs = ESCAPE_MS }: TerminalKeyboardOptions = {}) {
    this.#keyboard = keyboard
    this.#escapeMs = escapeMs
  }

  /**
   * Processes the terminal's bytes, in UTF-8, split at any point.
   *
   * @returns false if so many keys wait for the guest that the sender should pause until `drained` resolves
   */
  receive(bytes: Uint8Array): boolean {
    clearTimeout(this.#timer)
    this.#begun += this.#decoder.decode(bytes, { stream: true })
    this.#read(false)
    if (this.#begun !== '') this.#timer = setTimeout(() => this.#read(true), this.#escapeMs)
    return this.#keyboard.waiting <= MOST_WAITING
  }

  /** Resolves when the guest has taken all keys received so far, or they were dropped. */
  async drained(): Promise<void> {
    await this.#taken
  }

  /** Ends the wait for the rest of a sequence. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#begun = ''
  }

  #read(whole: boolean): void {
    const events: KeyChange[] = []
    let at = 0
    while (at < this.#begun.length) {
      const { pressed, length } = readTerminalKey(this.#begun.slice(at, at + LONGEST_KEY), whole)
      if (length === 0) break
      at += length
      if (pressed !== undefined) events.push(...this.#changes(pressed))
    }
    this.#begun = this.#begun.slice(at)
    if (events.length > 0) this.#taken = this.#keyboard.sendAll(events)
  }

  /** Returns the keys that go down and up for one key of the terminal. */
  #changes({ key, held }: TerminalKey): readonly KeyChange[] {
    const plain = { shift: false, altGr: false }
    const strokes =
      'name' in key ? [{ usage: keyUsage(key.name), ...plain }] : this.#keyboard.layout.strokesOf(key.character)
    if (strokes === undefined) return []
    const modifiers = held.map(keyUsage)
    const middle = strokes.flatMap(({ usage, shift, altGr }) => {
      const more = [...(shift ? [SHIFT] : []), ...(altGr ? [ALT_GR] : [])]
      return around([...more.filter((other) => !modifiers.includes(other)), usage], [])
    })
    return around(modifiers, middle)
  }
}

/** Wraps keys in others that go down before and come up after them. */
function around(usages: readonly number[], middle: readonly KeyChange[]): readonly KeyChange[] {
  const change = (down: boolean) => (usage: number) => ({ usage, down })
  return [...usages.map(change(true)), ...middle, ...usages.toReversed().map(change(false))]
}
