/** Lends bytes of host memory, first come first served, so that a guest's requests take no more than this much at once. */
export class ByteBudget {
  #free: number
  readonly #waiting: { readonly bytes: number; readonly resolve: () => void }[] = []

  /** @param bytes - total of the budget, at least as large as one loan */
  constructor(bytes: number) {
    this.#free = bytes
  }

  /** Whether requests wait for bytes that others have. */
  get isShort(): boolean {
    return this.#waiting.length > 0
  }

  /** Waits until this many bytes are free, and takes them. */
  async take(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && bytes <= this.#free) {
      this.#free -= bytes
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push({ bytes, resolve }))
  }

  /** Gives the bytes back. */
  give(bytes: number): void {
    this.#free += bytes
    for (let first = this.#waiting[0]; first !== undefined && first.bytes <= this.#free; first = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= first.bytes
      first.resolve()
    }
  }
}
