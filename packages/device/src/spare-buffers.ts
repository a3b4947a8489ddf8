/** Total bytes of spare buffers; further ones are left to the garbage collector. */
const MOST_SPARE = 4 << 20
const SMALLEST_LOG = 9

/**
 * Lends buffers for the data of requests, and reuses returned buffers.
 *
 * A new buffer of some size costs more than the data that it is for: the host clears it, maps its pages, and collects it.
 */
export class SpareBuffers {
  /** Spare buffers by logarithm of their size. */
  readonly #spare: Uint8Array[][] = []
  #bytes = 0

  /** Returns a buffer of this length, with any content. */
  take(length: number): Uint8Array {
    const log = sizeLog(length)
    const spare = this.#spare[log]?.pop()
    if (spare === undefined) return new Uint8Array(2 ** log).subarray(0, length)
    this.#bytes -= spare.length
    return spare.subarray(0, length)
  }

  /**
   * Takes a buffer back. The caller has no other view of it, and nor has the medium. A buffer whose size `take` never
   * lends is dropped.
   */
  give(buffer: Uint8Array): void {
    const whole = new Uint8Array(buffer.buffer)
    if (whole.length !== 2 ** sizeLog(whole.length)) return
    if (this.#bytes + whole.length > MOST_SPARE) return
    this.#bytes += whole.length
    const spare = (this.#spare[sizeLog(whole.length)] ??= [])
    spare.push(whole)
  }
}

const sizeLog = (length: number): number => Math.max(SMALLEST_LOG, 32 - Math.clz32(Math.max(1, length) - 1))
