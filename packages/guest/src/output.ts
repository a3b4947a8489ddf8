import {
  type Answer,
  BLOCK_BYTES,
  decodeBase64,
  MOST_FETCHED_BYTES,
  MOST_PUT_BYTES,
  MOST_TAKEN_BYTES,
  quote,
  RAW_BLOCK_BYTES,
} from './lines.ts'
import { GuestError } from './errors.ts'

/** The output of a command, in one buffer that grows: a guest may send it byte by byte. */
export class Output {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MOST_FETCHED_BYTES)
  #length = 0
  readonly #listener: ((bytes: Uint8Array) => void) | undefined

  /** @param listener - gets each part, as a copy */
  constructor(listener: ((bytes: Uint8Array) => void) | undefined) {
    this.#listener = listener
  }

  /** Number of bytes received. */
  get length(): number {
    return this.#length
  }

  /** A copy of the received bytes. */
  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  /** The block with the next byte, for `fetch` or `take`. */
  blockFor(operation: string): number {
    return Math.floor(this.#length / (operation === 'take' ? RAW_BLOCK_BYTES : BLOCK_BYTES))
  }

  /**
   * Takes an answer to `fetch` or `take` of {@link Output.blockFor}, which may begin with bytes that have come before.
   *
   * @returns whether the response has the maximum length
   * @throws GuestError `ERR_GUEST_PROTOCOL`
   */
  take({ words, payload }: Answer): boolean {
    const [ok, text = '', ...more] = words
    const whole = payload ?? (ok === 'ok' && more.length === 0 ? decodeBase64(text) : null)
    const most = payload === undefined ? MOST_FETCHED_BYTES : MOST_TAKEN_BYTES
    const known = this.#length % (payload === undefined ? BLOCK_BYTES : RAW_BLOCK_BYTES)
    // Of a last block that is not whole, nothing is taken.
    if (payload?.length === 0) return false
    if (whole === null || whole.length > most || whole.length < known)
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
    return whole.length === most
  }
}

/** Yields the parts of a file to send, at least one. */
export function* partsOf(bytes: Uint8Array): Generator<Uint8Array> {
  let at = 0
  do {
    yield bytes.subarray(at, at + MOST_PUT_BYTES)
    at += MOST_PUT_BYTES
  } while (at < bytes.length)
}
