/** A terminal's share in {@link PrintedBytes}. */
interface PrintingTerminal {
  /** The machine has printed this many more bytes. */
  printed(bytes: number): void
  /** Called when the machine prints no more: waiting callers continue. */
  close(): void
}

/** Counts the bytes that all terminals of a machine have printed, so that the guest does not run away from the slowest one. */
export class PrintedBytes {
  readonly #tell: (bytes: number) => void
  /** Bytes that the guest has sent. */
  #sent = 0
  /** Bytes that all terminals have printed. */
  #told = 0
  /** Number of bytes already printed, by terminal. */
  readonly #places = new Map<PrintingTerminal, number>()

  /** @param tell - called with the number of bytes that all terminals have printed; without a terminal all bytes count */
  constructor(tell: (bytes: number) => void) {
    this.#tell = tell
  }

  /** The guest has sent bytes. To be called before terminals get them. */
  sent(bytes: number): void {
    this.#sent += bytes
    this.#update()
  }

  /** Adds a terminal, which prints later output. */
  open(): PrintingTerminal {
    const terminal: PrintingTerminal = {
      printed: (bytes) => {
        const place = this.#places.get(terminal)
        if (place === undefined) return
        this.#places.set(terminal, place + bytes)
        this.#update()
      },
      close: () => {
        if (this.#places.delete(terminal)) this.#update()
      },
    }
    this.#places.set(terminal, this.#sent)
    return terminal
  }

  #update(): void {
    const least = Math.min(this.#sent, ...this.#places.values())
    if (least > this.#told) this.#tell(least - this.#told)
    this.#told = least
  }
}

/** The part of a terminal of xterm.js that is used. */
export interface TerminalLike {
  /** Prints data, and calls back when done. */
  write(data: Uint8Array, done?: () => void): void
  /** Calls back with typed text. */
  onData(listener: (text: string) => void): { dispose(): void }
}

/** An answer of the terminal itself: CPR, DA, DSR, DECRPM, or a control string. Source: ECMA-48, 8.3; DEC STD 070. */
// oxlint-disable-next-line no-control-regex -- ESC begins them
const REPORT = /^\u001b(?:\[[?>]?[\d;]*(?:[Rcn]|\$y)|[P\]])/

/** The part of a machine that a terminal uses. */
interface SerialMachine {
  on(event: 'serial' | 'console', listener: (bytes: Uint8Array) => void): () => void
  write(data: string): void
  /** The text that a machine which goes on from a snapshot had written before; null once it has written more. */
  readonly console: Uint8Array | null
}

/**
 * Connects a terminal to a machine's serial port.
 *
 * @param printing - called with the number of bytes that the terminal has printed
 * @returns a function that ends the connection
 */
export function attachTerminal(machine: SerialMachine, terminal: TerminalLike, printing: PrintingTerminal): () => void {
  const stop = machine.on('serial', (bytes) => terminal.write(bytes, () => printing.printed(bytes.length)))
  // RIS of ECMA-48, which clears the output of another instant.
  const clear = Uint8Array.of(0x1b, 0x63)
  let showing = 0
  const show = (bytes: Uint8Array): void => {
    showing++
    terminal.write(clear)
    terminal.write(bytes, () => void showing--)
  }
  if (machine.console !== null) show(machine.console)
  const stopShowing = machine.on('console', show)
  // Questions of that time, such as for the cursor's place, have been answered then; keys are of now.
  const typing = terminal.onData((text) => (showing === 0 || !REPORT.test(text)) && machine.write(text))
  return () => {
    stop()
    stopShowing()
    typing.dispose()
    printing.close()
  }
}
