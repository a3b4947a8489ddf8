/** A terminal's share in {@link PrintedBytes}. */
export interface PrintingTerminal {
  /** The machine has printed this many more bytes. */
  printed(bytes: number): void
  /** The machine prints no more: nobody waits for it. */
  close(): void
}

/** Counts what all terminals of a machine have printed, so that the guest does not run away from the slowest one. */
export class PrintedBytes {
  readonly #tell: (bytes: number) => void
  /** Bytes that the guest has sent. */
  #sent = 0
  /** Bytes that all terminals have printed. */
  #told = 0
  /** By terminal: how far it is. */
  readonly #places = new Map<PrintingTerminal, number>()

  /** @param tell - is notified of bytes that all terminals have printed; of all bytes where there is no terminal */
  constructor(tell: (bytes: number) => void) {
    this.#tell = tell
  }

  /** The guest has sent bytes. To be called before terminals get them. */
  sent(bytes: number): void {
    this.#sent += bytes
    this.#update()
  }

  /** A terminal prints what comes from now on. */
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
