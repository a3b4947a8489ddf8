const CTRL_A = 0x01

/** The user's keys, split into the guest's and ours. */
export interface Typed {
  readonly forGuest: Uint8Array
  /** Ctrl-A x: the user wants to leave. Nothing after it counts. */
  readonly leave: boolean
  /** Ctrl-A p: the user presses the power button. */
  readonly power: boolean
  /** Ctrl-A s: the user saves the machine. */
  readonly save: boolean
  /** Ctrl-A h or Ctrl-A ?: the user wants to know the keys. */
  readonly help: boolean
  /** Ctrl-A d: the user presses Ctrl-Alt-Delete, where the guest has a keyboard here. */
  readonly restart: boolean
  /** Ctrl-A c: the user wants to type a command. */
  readonly prompt: boolean
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
    let help = false
    let leave = false
    let power = false
    let save = false
    let restart = false
    let prompt = false
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
      if (byte === 0x78 || byte === 0x58) {
        leave = true
        break
      }
      if (byte === 0x68 || byte === 0x3f) help = true
      else if (byte === 0x63 || byte === 0x43) {
        if (this.#stays && wasAsked) continue
        this.#line = new PromptLine()
        prompt = true
      } else if (byte === 0x70 || byte === 0x50) power = true
      else if (byte === 0x73 || byte === 0x53) save = true
      else if (this.#keyboard && (byte === 0x64 || byte === 0x44)) restart = true
      else forGuest[length++] = byte
    }
    const line = { prompt, echo: Uint8Array.from(echo), commands }
    return { forGuest: forGuest.slice(0, length), leave, help, power, save, restart, ...line }
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
