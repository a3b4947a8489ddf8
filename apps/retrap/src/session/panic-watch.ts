/** How long the rest of a panic's report may take. */
const REPORT_MS = 1000
const TAIL_LENGTH = 4096
const PANIC = /Kernel panic - not syncing: ([^\r\n]*)[\r\n]/
const END = /---\[ end Kernel panic/

/** Looks for a Linux kernel's panic in what it prints. */
export class PanicWatch {
  readonly #onPanic: (reason: string) => void
  readonly #decoder = new TextDecoder('latin1')
  #tail = ''
  #reason: string | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #told = false

  /** @param onPanic - called once, with what the kernel says, when it has printed its report */
  constructor(onPanic: (reason: string) => void) {
    this.#onPanic = onPanic
  }

  /** Takes note of what the guest printed. */
  transmitted(bytes: Uint8Array): void {
    if (this.#told) return
    this.#tail = (this.#tail + this.#decoder.decode(bytes)).slice(-TAIL_LENGTH)
    if (this.#reason === undefined) {
      this.#reason = PANIC.exec(this.#tail)?.[1]
      if (this.#reason === undefined) return
      this.#timer = setTimeout(() => this.#tell(), REPORT_MS)
    }
    if (END.test(this.#tail)) this.#tell()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #tell(): void {
    this.stop()
    this.#told = true
    this.#onPanic(this.#reason ?? '')
  }
}
