const CTRL_A = 0x01

/** What the user typed, split into what the guest gets and what we are told. */
export interface Typed {
  readonly forGuest: Uint8Array
  /** Ctrl-A x: the user wants to leave. Nothing after it counts. */
  readonly leave: boolean
  /** Ctrl-A p: the user presses the power button. */
  readonly power: boolean
  /** Ctrl-A h or Ctrl-A ?: the user wants to know the keys. */
  readonly help: boolean
  /** Ctrl-A d: the user presses Ctrl-Alt-Delete, where the guest has a keyboard here. */
  readonly restart: boolean
}

/**
 * Takes the escape keys out of a stream of bytes: Ctrl-A x leaves, Ctrl-A p is the power button, Ctrl-A Ctrl-A stands for one Ctrl-A,
 * Ctrl-A h asks for help, and Ctrl-A d stands for Ctrl-Alt-Delete. Another key after Ctrl-A goes to the guest without it.
 * The state lives across calls, since a terminal may deliver the two keys apart.
 */
export class EscapeFilter {
  readonly #keyboard: boolean
  #escaped = false

  /** @param keyboard - what is typed goes to a keyboard, which has keys that a terminal cannot send */
  constructor(keyboard = false) {
    this.#keyboard = keyboard
  }

  push(bytes: Uint8Array): Typed {
    const forGuest = new Uint8Array(bytes.length)
    let length = 0
    let help = false
    let leave = false
    let power = false
    let restart = false
    for (const byte of bytes) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true
        else forGuest[length++] = byte
        continue
      }
      this.#escaped = false
      if (byte === 0x78 || byte === 0x58) {
        leave = true
        break
      }
      if (byte === 0x68 || byte === 0x3f) help = true
      else if (byte === 0x70 || byte === 0x50) power = true
      else if (this.#keyboard && (byte === 0x64 || byte === 0x44)) restart = true
      else forGuest[length++] = byte
    }
    return { forGuest: forGuest.slice(0, length), leave, help, power, restart }
  }
}
