/** Most bytes of a header; a usual one has about 25. */
const MOST_HEADER_BYTES = 4096
/** Bytes of a message. */
const MOST_BYTES = 16 << 20
const HEADER_END = '\r\n\r\n'

/** Receives a client's messages, and errors for invalid ones. */
export interface FrameListener {
  /** Receives a message: any object. */
  readonly message: (message: object) => void
  /** Receives a sentence about invalid input. */
  readonly trouble: (sentence: string) => void
}

/**
 * Takes the messages of a client out of a stream of bytes. After bytes that are no message it goes on with the next header.
 *
 * Source: Debug Adapter Protocol, "Base Protocol".
 */
export class FrameReader {
  readonly #listener: FrameListener
  #pieces: Uint8Array[] = []
  #held = 0
  /** Length of the message whose body is being read; undefined while reading a header. */
  #message: number | undefined
  /** Whether the listener was notified that these bytes are no message. */
  #isLost = false

  constructor(listener: FrameListener) {
    this.#listener = listener
  }

  /** Takes bytes of the stream. */
  push(data: Uint8Array): void {
    this.#pieces.push(data)
    this.#held += data.length
    if (this.#held < (this.#message ?? 0)) return
    let bytes: Buffer = Buffer.concat(this.#pieces)
    for (let rest = this.#take(bytes); rest !== undefined; rest = this.#take(bytes)) bytes = rest
    this.#pieces = [bytes]
    this.#held = bytes.length
  }

  /** Reads a header or a message. @returns the following bytes; undefined: more bytes are needed */
  #take(bytes: Buffer): Buffer | undefined {
    const length = this.#message
    if (length !== undefined) {
      if (bytes.length < length) return undefined
      this.#message = undefined
      this.#read(bytes.toString('utf8', 0, length))
      return bytes.subarray(length)
    }
    const end = bytes.indexOf(HEADER_END)
    const header = bytes.toString('latin1', Math.max(0, end - MOST_HEADER_BYTES), Math.max(0, end))
    const digits = /content-length: *(\d{1,10})$/im.exec(header)?.[1]
    if (end < 0) {
      if (bytes.length <= MOST_HEADER_BYTES) return undefined
      this.#lost(`there is no header in ${bytes.length} bytes`)
      return bytes.subarray(-HEADER_END.length)
    }
    if (digits === undefined) this.#lost('a header lacks Content-Length and a number')
    else if (Number(digits) > MOST_BYTES) this.#lost(`a message has ${digits} bytes; expected up to ${MOST_BYTES}`)
    else this.#message = Number(digits)
    return bytes.subarray(end + HEADER_END.length)
  }

  #read(text: string): void {
    this.#isLost = false
    let message: unknown
    try {
      message = JSON.parse(text)
    } catch {
      return this.#listener.trouble('a message is no JSON')
    }
    if (typeof message === 'object' && message !== null && 'type' in message) this.#listener.message(message)
    else this.#listener.trouble('a message is no object with a type')
  }

  #lost(sentence: string): void {
    if (!this.#isLost) this.#listener.trouble(sentence)
    this.#isLost = true
  }
}
