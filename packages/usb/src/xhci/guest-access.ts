import type { Dma } from '@retrap/device'

/** Guest memory as the controller reaches it. An access beyond RAM stops the controller. */
export class GuestAccess {
  readonly #dma: Dma
  readonly #failed: () => void

  /** @param failed - called for accesses outside RAM */
  constructor(dma: Dma, failed: () => void) {
    this.#dma = dma
    this.#failed = failed
  }

  /** @returns null outside RAM */
  view(gpa: number, bytes: number): DataView | null {
    const into = new Uint8Array(bytes)
    return this.read(gpa, into) ? new DataView(into.buffer) : null
  }

  read(gpa: number, into: Uint8Array): boolean {
    if (into.length === 0) return true
    const done = Number.isSafeInteger(gpa + into.length) && this.#dma.read(gpa, into)
    if (!done) this.#failed()
    return done
  }

  write(gpa: number, from: Uint8Array): boolean {
    if (from.length === 0) return true
    const done = Number.isSafeInteger(gpa + from.length) && this.#dma.write(gpa, from)
    if (!done) this.#failed()
    return done
  }

  writeWords(gpa: number, words: readonly number[]): boolean {
    const view = new DataView(new ArrayBuffer(4 * words.length))
    words.forEach((word, i) => view.setUint32(4 * i, word, true))
    return this.write(gpa, new Uint8Array(view.buffer))
  }
}
