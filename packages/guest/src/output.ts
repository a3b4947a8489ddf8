import { decodeBase64 } from './base64.ts'
import { GuestError } from './errors.ts'
import { BLOCK_BYTES, MOST_FETCHED_BYTES, MOST_PUT_BYTES, quote } from './lines.ts'

/** The output of a command, in one buffer that grows: a guest may send it byte by byte. */
export class Output {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MOST_FETCHED_BYTES)
  #length = 0
  readonly #listener: ((bytes: Uint8Array) => void) | undefined

  /** @param listener - gets each part, as a copy */
  constructor(listener: ((bytes: Uint8Array) => void) | undefined) {
    this.#listener = listener
  }

  /** Bytes that have come. */
  get length(): number {
    return this.#length
  }

  /** A copy of what has come. */
  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** The block with the next byte. */
  get block(): number {
    return Math.floor(this.#length / BLOCK_BYTES)
  }

  /**
   * Takes an answer to `fetch` of {@link Output.block}, which may begin with bytes that have come before.
   *
   * @returns whether there may be more
   * @throws GuestError `ERR_GUEST_PROTOCOL`
   */
  take(words: readonly string[]): boolean {
    const [ok, text = '', ...more] = words
    const whole = ok === 'ok' && more.length === 0 ? decodeBase64(text) : null
    const known = this.#length % BLOCK_BYTES
    if (whole === null || whole.length > MOST_FETCHED_BYTES || whole.length < known)
      throw new GuestError('ERR_GUEST_PROTOCOL', `the agent answers '${quote(words)}' to 'fetch': expected base64`)
    const part = whole.subarray(known)
    const length = this.#length + part.length
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#bytes.set(part, this.#length)
    this.#length = length
    if (part.length > 0) this.#listener?.(part)
    return whole.length === MOST_FETCHED_BYTES
  }
}

/** Returns the parts of a file that is sent, at least one. */
export function* partsOf(bytes: Uint8Array): Generator<Uint8Array> {
  let at = 0
  do {
    yield bytes.subarray(at, at + MOST_PUT_BYTES)
    at += MOST_PUT_BYTES
  } while (at < bytes.length)
}
