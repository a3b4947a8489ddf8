/** Cuts a stream of bytes into JSON objects, as QMP has them: nothing need be between two of them. */

/** The longest object, in bytes, and the deepest: a peer must not take more memory or stack. */
const MOST_BYTES = 1 << 20
const MOST_DEPTH = 64

const [OPEN, CLOSE, OPEN_LIST, CLOSE_LIST, QUOTE, ESCAPE] = [...'{}[]"\\'].map((one) => one.charCodeAt(0))

/** Takes bytes, and returns what is whole. */
export class JsonStream {
  #bytes: number[] = []
  #depth = 0
  #inText = false
  #escaped = false

  /**
   * Takes bytes of the peer.
   *
   * @returns the values that are whole now; an Error for one that is no JSON
   * @throws RangeError for an object that is too long or too deep: the connection is to end
   */
  push(bytes: Uint8Array): readonly unknown[] {
    const whole: unknown[] = []
    for (const byte of bytes) {
      // Blanks between objects, and the 0xFF by which a client has an older parser begin anew.
      if (this.#bytes.length === 0 && (byte <= 0x20 || byte === 0xff)) continue
      if (this.#bytes.push(byte) > MOST_BYTES) throw new RangeError(`a command has more than ${MOST_BYTES} bytes`)
      this.#look(byte)
      if (this.#depth > 0 || this.#inText) continue
      const isLine = byte === 0x0a
      if (byte === CLOSE || byte === CLOSE_LIST || isLine) whole.push(this.#parse())
    }
    return whole
  }

  #look(byte: number): void {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false
      else if (byte === ESCAPE) this.#escaped = true
      else if (byte === QUOTE) this.#inText = false
    } else if (byte === QUOTE) this.#inText = true
    else if (byte === OPEN || byte === OPEN_LIST) {
      if (++this.#depth > MOST_DEPTH) throw new RangeError(`a command is more than ${MOST_DEPTH} deep`)
    } else if (byte === CLOSE || byte === CLOSE_LIST) this.#depth--
  }

  #parse(): unknown {
    const text = new TextDecoder().decode(Uint8Array.from(this.#bytes))
    this.#bytes = []
    this.#depth = 0
    try {
      return JSON.parse(text)
    } catch (error) {
      return error
    }
  }
}
