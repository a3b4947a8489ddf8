const CTRL_A = 0x01

/** The user leaves, presses the power button, saves the machine, asks for the keys, presses Ctrl-Alt-Delete, or types a command. */
export type EscapeKey = 'leave' | 'power' | 'save' | 'help' | 'restart' | 'prompt'

const KEYS: Readonly<Record<string, EscapeKey>> = {
  x: 'leave',
  p: 'power',
  s: 'save',
  h: 'help',
  '?': 'help',
  d: 'restart',
  c: 'prompt',
}

/** The user's keys, split into the guest's and ours. */
export interface Typed {
  readonly forGuest: Uint8Array
  /** The keys behind Ctrl-A. */
  readonly asked: ReadonlySet<EscapeKey>
  /** The part to show of a command that is being typed. */
  readonly echo: Uint8Array
  /** Complete commands. Null: a command that the user has aborted. */
  readonly commands: readonly (string | null)[]
}

/**
 * Takes the escape keys out of a stream of bytes: Ctrl-A x leaves, Ctrl-A p is the power button, Ctrl-A s saves the machine, Ctrl-A Ctrl-A stands for one Ctrl-A,
 * Ctrl-A h asks for help, Ctrl-A c begins a line with a command, and Ctrl-A d stands for Ctrl-Alt-Delete. Another key after Ctrl-A goes to the guest without it.
 * The state lives across calls, since a terminal may deliver the two keys apart.
 */
export class EscapeFilter {
  readonly #keyboard: boolean
  #escaped = false
  #line: PromptLine | null = null

  readonly #stays: boolean

  /**
   * @param keyboard - input goes to a guest's keyboard, which has keys that a terminal cannot send
   * @param stays - whether commands follow one another, until Ctrl-A c
   */
  constructor(keyboard = false, stays = false) {
    this.#keyboard = keyboard
    this.#stays = stays
  }

  push(bytes: Uint8Array): Typed {
    const forGuest = new Uint8Array(bytes.length)
    let length = 0
    const asked = new Set<EscapeKey>()
    const echo: number[] = []
    const commands: (string | null)[] = []
    for (const byte of bytes) {
      if (this.#line !== null && byte !== CTRL_A && !this.#escaped) {
        const typed = this.#line.push(byte)
        echo.push(...typed.echo)
        if (typed.line === undefined) continue
        this.#line = this.#stays && typed.line !== null ? new PromptLine() : null
        commands.push(typed.line)
        continue
      }
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true
        else forGuest[length++] = byte
        continue
      }
      this.#escaped = false
      const wasAsked = this.#line !== null
      if (wasAsked) {
        // Any other escape key cancels the line.
        this.#line = null
        commands.push(null)
      }
      const key = KEYS[String.fromCharCode(byte).toLowerCase()]
      if (key === undefined || (key === 'restart' && !this.#keyboard)) {
        forGuest[length++] = byte
        continue
      }
      if (key === 'prompt') {
        if (this.#stays && wasAsked) continue
        this.#line = new PromptLine()
      }
      asked.add(key)
      if (key === 'leave') break
    }
    return { forGuest: forGuest.slice(0, length), asked, echo: Uint8Array.from(echo), commands }
  }
}

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
   * @returns bytes to show, and the line once it is complete, or null if the user has cancelled it
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
