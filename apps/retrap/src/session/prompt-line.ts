const ENTER: ReadonlySet<number> = new Set([0x0d, 0x0a])
const BACKSPACE: ReadonlySet<number> = new Set([0x7f, 0x08])
/** Ctrl-C, Ctrl-D, Escape. */
const GIVE_UP: ReadonlySet<number> = new Set([0x03, 0x04, 0x1b])
const MOST_BYTES = 4096

/** A line that the user types for this program and not for the guest. */
export class PromptLine {
  readonly #bytes: number[] = []

  /**
   * Takes a key.
   *
   * @returns what to show; and the line, once it is whole, or null where the user has given it up
   */
  push(byte: number): { readonly echo: readonly number[]; readonly line?: string | null } {
    if (ENTER.has(byte)) return { echo: NEW_LINE, line: new TextDecoder().decode(Uint8Array.from(this.#bytes)) }
    if (GIVE_UP.has(byte)) return { echo: NEW_LINE, line: null }
    if (BACKSPACE.has(byte)) {
      let last = this.#bytes.pop()
      if (last === undefined) return { echo: [] }
      // A letter of several bytes is one on the terminal.
      while (last !== undefined && (last & 0xc0) === 0x80) last = this.#bytes.pop()
      return { echo: RUB_OUT }
    }
    if (byte < 0x20 || this.#bytes.length === MOST_BYTES) return { echo: [] }
    this.#bytes.push(byte)
    return { echo: [byte] }
  }
}

const NEW_LINE: readonly number[] = [0x0d, 0x0a]
const RUB_OUT: readonly number[] = [0x08, 0x20, 0x08]
