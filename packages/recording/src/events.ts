import { PAGE_BYTES } from '@retrap/snapshot'
import { RecordingError } from './errors.ts'
import { type Instant, MOST_LOG_BYTES, MOST_SECTION_BYTES } from './format.ts'

/** The kind of an event of a recording. */
export type EventKind =
  /** An input from outside entered the machine at this instant. */
  | 'input'
  /** A back end's response; the machine itself knows when it needs the response. */
  | 'answer'
  /** A digest of the machine at this instant: a replay must match. */
  | 'check'
  /** A name that a person gave to this instant. */
  | 'mark'

/** One event. */
export interface RecordedEvent extends Instant {
  /** The kind of the event. */
  readonly kind: EventKind
  /** Number of the input's party; 0 for checks and marks. */
  readonly source: number
  /** Contents, in the party's own form. */
  readonly data: Uint8Array
  /** Place of the event's body in the file, for `Recording.readBody`. */
  readonly body?: EventBody
}

/** Place of an event's large data in the file, where each page is stored once. */
export interface EventBody {
  /** Number of bytes. */
  readonly bytes: number
  /** Pages: of each run the number of its first page, and how many follow each other; of zeros the number is 0. */
  readonly runs: readonly number[]
}

const KINDS: readonly EventKind[] = ['input', 'answer', 'check', 'mark']
/** Flag in the byte of the kind: a body follows. */
const HAS_BODY = 0x80
/** Largest contents of an event, which are written with others. */
const MOST_EVENT_BYTES = MOST_LOG_BYTES / 2
/** Most events of a section: a writer begins another after 256 KiB, and none has fewer than five bytes. */
const MOST_EVENTS = 2 ** 16
/** Most bytes of a number. */
const NUMBER_BYTES = 8

/** Encodes events: the kind, the distance from the previous event, its source, length, contents and body. */
export class EventEncoder {
  #bytes = new Uint8Array(4096)
  #length = 0
  #last: Instant = { round: 0, instructions: 0 }

  /** Bytes encoded since `take`. */
  get length(): number {
    return this.#length
  }

  /** The first event is measured from here. */
  begin(at: Instant): void {
    this.#last = at
  }

  /** Adds an event. The bytes of `data` are copied. @throws RecordingError `ERR_STATE` for one that is before the last, or too large */
  add(kind: EventKind, at: Instant, source: number, data: Uint8Array, body?: EventBody): void {
    const [rounds, instructions] = [at.round - this.#last.round, at.instructions - this.#last.instructions]
    if (rounds < 0 || instructions < 0)
      throw new RecordingError(
        'ERR_STATE',
        `an event at instruction ${at.instructions}: expected ${this.#last.instructions} or later`,
      )
    if (data.length > MOST_EVENT_BYTES)
      throw new RecordingError('ERR_STATE', `an event of ${data.length} bytes: expected at most ${MOST_EVENT_BYTES}`)
    this.#grow(1 + NUMBER_BYTES * (6 + (body?.runs.length ?? 0)) + data.length)
    this.#bytes[this.#length++] = KINDS.indexOf(kind) | (body === undefined ? 0 : HAS_BODY)
    this.#number(rounds)
    this.#number(instructions)
    this.#number(source)
    this.#number(data.length)
    this.#bytes.set(data, this.#length)
    this.#length += data.length
    if (body !== undefined) {
      this.#number(body.bytes)
      this.#number(body.runs.length / 2)
      for (const value of body.runs) this.#number(value)
    }
    this.#last = { round: at.round, instructions: at.instructions }
  }

  /** Returns the encoded bytes, and starts anew after them. */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }

  #grow(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + bytes))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }

  /** Seven bits a byte, the lowest first; the last byte has bit 7 clear. */
  #number(value: number): void {
    let left = value
    for (; left > 0x7f; left = Math.floor(left / 0x80)) this.#bytes[this.#length++] = (left % 0x80) | 0x80
    this.#bytes[this.#length++] = left
  }
}

/** Reads events. @throws RecordingError `ERR_DAMAGED` for bytes that {@link EventEncoder} cannot have written */
export function decodeEvents(bytes: Uint8Array, from: Instant): RecordedEvent[] {
  if (bytes.length > MOST_LOG_BYTES) throw damaged()
  const events: RecordedEvent[] = []
  let at = 0
  let { round, instructions } = from
  const number = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes[at++]
      if (byte === undefined) throw damaged()
      value += (byte & 0x7f) * scale
      if (!Number.isSafeInteger(value)) throw damaged()
      if (byte < 0x80) return value
    }
  }
  const bodyOf = (): EventBody => {
    const length = number()
    const runs: number[] = []
    if (length > MOST_SECTION_BYTES) throw damaged()
    let left = Math.ceil(length / PAGE_BYTES)
    for (let count = number(); count > 0; count--) {
      const [first, pages] = [number(), number()]
      left -= pages
      if (pages === 0 || left < 0) throw damaged()
      runs.push(first, pages)
    }
    if (left > 0) throw damaged()
    return { bytes: length, runs }
  }
  while (at < bytes.length) {
    const word = bytes[at++]!
    const kind = KINDS[word & ~HAS_BODY]
    if (kind === undefined || events.length === MOST_EVENTS) throw damaged()
    round += number()
    instructions += number()
    const source = number()
    const length = number()
    if (length > bytes.length - at) throw damaged()
    const data = bytes.subarray(at, at + length)
    at += length
    const event = { kind, round, instructions, source, data }
    events.push((word & HAS_BODY) === 0 ? event : { ...event, body: bodyOf() })
  }
  return events
}

const damaged = (): RecordingError =>
  new RecordingError('ERR_DAMAGED', 'the recording is damaged: it has events that were not written')
