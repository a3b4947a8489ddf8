// Browsers, Workers and Node have them.
declare function atob(text: string): string
declare function btoa(text: string): string

/** Returns bytes as base64. Source: RFC 4648, §4. */
export const encodeBase64 = (bytes: Uint8Array): string => btoa(latin1(bytes))

/**
 * Returns the bytes of a text in base64; null if invalid: a wrong length, character or padding, or set padding bits (RFC
 * 4648, §3.5). So each byte sequence has exactly one encoding.
 */
export function decodeBase64(text: string): Uint8Array | null {
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    // `atob` passes over blanks, lacking padding and set padding bits.
    return encodeBase64(bytes) === text ? bytes : null
  } catch {
    return null
  }
}

/** Marks of the two directions: a terminal that echoes sends no answers. */
const [REQUEST, ANSWER] = ['rt1> ', 'rt1< ']
/** The longest line that may be an answer; a longer one is noise. An answer has 24,000 bytes of output, in base64. */
const MOST_LINE_BYTES = 40_000
const NEWLINE = 0x0a
const RETURN = 0x0d

/** Outputs are asked for from a multiple of this many bytes on. */
export const BLOCK_BYTES = 512
/** The agent sends at most this many bytes of an output in an answer: 46 blocks. */
export const MOST_FETCHED_BYTES: number = 46 * BLOCK_BYTES
/** Bytes of a file in one request of the host's: Linux keeps 64 KiB that no process has read from a terminal. */
export const MOST_PUT_BYTES = 12_000

/** Block size of raw inputs and outputs, which are not encoded in base64. */
export const RAW_BLOCK_BYTES = 4096
/** The agent sends at most this many bytes of an output as they are. */
export const MOST_TAKEN_BYTES: number = 128 * RAW_BLOCK_BYTES

/** An answer of the agent, or a note without a request (`id` 0). */
export interface Answer {
  readonly session: string
  readonly id: number
  /** The agent's words, at least one. */
  readonly words: readonly string[]
  /** The bytes after the words. */
  readonly payload?: Uint8Array
}

/**
 * Returns the lines of a request.
 *
 * @param words - operation and arguments, without blanks
 * @param payload - sent in a line of its own, in base64; its length is added to the arguments. The payload of `load` is sent
 * raw
 */
export function encodeRequest(session: string, id: number, words: readonly string[], payload?: Uint8Array): Uint8Array {
  if (words[0] === 'load' && payload !== undefined) {
    const head = encodeRequest(session, id, words)
    const bytes = new Uint8Array(head.length + payload.length + `end ${id}\n`.length)
    bytes.set(head)
    bytes.set(payload, head.length)
    bytes.set(new TextEncoder().encode(`end ${id}\n`), head.length + payload.length)
    return bytes
  }
  const data = payload === undefined ? undefined : encodeBase64(payload)
  const line = [session, String(id), ...words, ...(data === undefined ? [] : [String(data.length)])].join(' ')
  // Begins with an empty line, to end a line of noise.
  const text = `\n${REQUEST}${line.length} ${line}\n${data === undefined ? '' : `${data}\n`}`
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

/** Returns bytes as an argument of a request, as printf's `%b` reads it (POSIX, "printf"). */
export function escapeArgument(bytes: Uint8Array): string {
  let escaped = ''
  for (const byte of bytes) {
    const isPlain = byte > 0x20 && byte < 0x7f && byte !== 0x5c
    escaped += isPlain ? String.fromCharCode(byte) : `\\0${byte.toString(8).padStart(3, '0')}`
  }
  return escaped
}

/**
 * Finds responses in a guest's output, and drops noise: other text, truncated or overlong lines, and payloads without their
 * final line. It buffers at most one line, or one payload.
 */
export class AnswerDecoder {
  readonly #line = new Uint8Array(MOST_LINE_BYTES)
  #length = 0
  /** Whether the line is too long: the rest up to its end is dropped. */
  #isTooLong = false
  readonly #found: (answer: Answer) => void
  /** The response whose payload is being received, and a buffer for payload and final line. */
  #rawAnswer: Answer | undefined
  #raw = new Uint8Array(0)
  #taken = 0

  /** @param found - called for each answer, in order */
  constructor(found: (answer: Answer) => void) {
    this.#found = found
  }

  /** Bytes that are still to come have been lost. */
  giveUp(): void {
    this.#rawAnswer = undefined
  }

  /** Processes received bytes. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#rawAnswer !== undefined) {
        at += this.#take(this.#rawAnswer, bytes.subarray(at))
        continue
      }
      const newline = bytes.indexOf(NEWLINE, at)
      const end = newline < 0 ? bytes.length : newline
      this.#add(bytes.subarray(at, end))
      if (newline < 0) return
      if (!this.#isTooLong) this.#ended()
      this.#length = 0
      this.#isTooLong = false
      at = newline + 1
    }
  }

  /** @returns number of bytes used */
  #take(answer: Answer, bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#raw.length - this.#taken)
    this.#raw.set(part, this.#taken)
    this.#taken += part.length
    if (this.#taken === this.#raw.length) {
      this.#rawAnswer = undefined
      const length = Number(answer.words[1])
      if (latin1(this.#raw.subarray(length)) === `end ${answer.id}\n`)
        this.#found({ ...answer, payload: this.#raw.subarray(0, length) })
    }
    return part.length
  }

  #add(part: Uint8Array): void {
    if (this.#length + part.length > MOST_LINE_BYTES) this.#isTooLong = true
    if (this.#isTooLong) return
    this.#line.set(part, this.#length)
    this.#length += part.length
  }

  #ended(): void {
    // A terminal that is not raw ends lines with CR LF.
    const length = this.#line[this.#length - 1] === RETURN ? this.#length - 1 : this.#length
    const answer = decodeAnswer(latin1(this.#line.subarray(0, length)))
    if (answer === null) return
    const [word, bytes = ''] = answer.words
    if (word !== 'raw' || !/^\d{1,7}$/.test(bytes) || Number(bytes) > MOST_TAKEN_BYTES) return this.#found(answer)
    this.#rawAnswer = answer
    this.#raw = new Uint8Array(Number(bytes) + `end ${answer.id}\n`.length)
    this.#taken = 0
  }
}

/** Returns the response at the end of a line; null: none. */
function decodeAnswer(text: string): Answer | null {
  const start = text.lastIndexOf(ANSWER)
  if (start < 0) return null
  const [, digits, line = ''] = /^(\d{1,5}) ([\x20-\x7e]+)$/.exec(text.slice(start + ANSWER.length)) ?? []
  if (Number(digits) !== line.length) return null
  const [session = '', id = '', ...words] = line.split(' ')
  return /^\d{1,15}$/.test(id) && words.length > 0 ? { session, id: Number(id), words } : null
}

/** Quotes an agent's words, short enough for a message. */
export function quote(words: readonly string[]): string {
  const text = words.join(' ')
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** Returns a text with a character for each byte. */
function latin1(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096))
  return text
}
