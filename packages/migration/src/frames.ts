import { crc32 } from '@retrap/snapshot'
import { MigrationError } from './errors.ts'

/** Carries bytes to the other side and back, in order: a socket, a message port, a pipe. Its ends are the caller's to make. */
export interface Channel {
  /** Sends bytes, which then belong to the channel. Resolves when there is room for more; rejects after the connection's end. */
  send(bytes: Uint8Array): Promise<void>
  /** Returns the next received bytes, as many as available; null at the end. */
  receive(): Promise<Uint8Array | null>
  /** Ends the connection, whatever is under way. */
  close(): void
}

/** The kind of a frame. Each begins with four letters, the number of bytes that follow, and checksums of these and of the rest. */
export type FrameType =
  /** Source: the protocol's version, as JSON with the machine's description. */
  | 'HELO'
  /** Destination: accepts the machine. */
  | 'TAKE'
  /** Source: contents of pages. */
  | 'PAGE'
  /** Source: state, as a snapshot file. The guest has stopped. */
  | 'STAT'
  /** Destination: its machine is whole and waits. */
  | 'REDY'
  /** Source: the hand-over record, and whether the user has paused the machine. From here on the machine is the destination's. */
  | 'HAND'
  /** Destination: the guest runs here. */
  | 'RUNS'
  /** Either side: it ends the migration, with the reason. After the hand-over record it returns the machine to the source. */
  | 'NOTE'

const HEAD_BYTES = 20
/** "RTM2", before the type: the protocol's version. */
const MAGIC = 0x324d_5452
/** "RTMG": version 1, without checksums, which refuses our frames as another protocol's. */
const FIRST_MAGIC = 0x474d_5452
/** Bytes of the head before its own CRC-32, including the payload's. */
const CHECKED_BYTES = 16
/** Bytes that go out in one: a side that reads has taken them after a while. */
const PIECE_BYTES = 1 << 20
/** Most bytes of a payload, by type; other types hold at most a line of text. */
const MOST_BYTES: Readonly<Partial<Record<FrameType, number>>> = {
  HELO: 16 << 20,
  PAGE: 1 << 20,
  // A state with the memories of its devices, and the last pages.
  STAT: 2 ** 31,
}
const MOST_LINE_BYTES = 1 << 16

/** Sends and receives whole frames. */
export class FrameStream {
  readonly #channel: Channel
  readonly #sendMs: number
  /** Pieces that have arrived and are not taken. */
  readonly #pieces: Uint8Array[] = []
  #bytes = 0
  /** Number of bytes sent. */
  sent = 0

  /** @param sendMs - how long the other side may take to read a MiB; default for ever */
  constructor(channel: Channel, sendMs: number = Infinity) {
    this.#channel = channel
    this.#sendMs = sendMs
  }

  /** Ends the connection. */
  close(): void {
    this.#channel.close()
  }

  /** Sends a frame. @throws MigrationError `ERR_CUT` */
  async send(type: FrameType, ...parts: readonly Uint8Array[]): Promise<void> {
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    const frame = new Uint8Array(HEAD_BYTES + length)
    const view = new DataView(frame.buffer)
    view.setUint32(0, MAGIC, true)
    for (let i = 0; i < 4; i++) frame[4 + i] = type.charCodeAt(i)
    view.setUint32(8, length, true)
    let at = HEAD_BYTES
    for (const part of parts) {
      frame.set(part, at)
      at += part.length
    }
    view.setUint32(12, crc32(frame.subarray(HEAD_BYTES)), true)
    view.setUint32(CHECKED_BYTES, crc32(frame.subarray(0, CHECKED_BYTES)), true)
    for (let begin = 0; begin < frame.length; begin += PIECE_BYTES) {
      const piece = frame.length <= PIECE_BYTES ? frame : frame.slice(begin, begin + PIECE_BYTES)
      await this.#sendPiece(piece)
    }
    this.sent += frame.length
  }

  async #sendPiece(piece: Uint8Array): Promise<void> {
    try {
      await within(this.#sendMs, 'room for more at the other side', this.#channel.send(piece))
    } catch (error) {
      throw error instanceof MigrationError ? error : cut(error)
    }
  }

  /** Receives a frame of one of some types. @throws MigrationError `ERR_CUT`, `ERR_PROTOCOL`; `ERR_REFUSED` for a note */
  async receive<Type extends FrameType>(...types: readonly Type[]): Promise<{ type: Type; payload: Uint8Array }> {
    const head = await this.#take(HEAD_BYTES)
    const view = new DataView(head.buffer, head.byteOffset)
    const type = String.fromCharCode(...head.subarray(4, 8))
    const length = view.getUint32(8, true)
    if (view.getUint32(0, true) === FIRST_MAGIC)
      throw new MigrationError('ERR_PROTOCOL', 'the other side is an older version, whose frames have no checksums')
    if (view.getUint32(0, true) !== MAGIC)
      throw new MigrationError('ERR_PROTOCOL', 'the other side does not migrate machines, or not by this protocol')
    if (crc32(head.subarray(0, CHECKED_BYTES)) !== view.getUint32(CHECKED_BYTES, true))
      throw damaged('the head of a frame')
    // Check the type before keeping any data.
    if (type !== 'NOTE' && !(types as readonly string[]).includes(type))
      throw new MigrationError('ERR_PROTOCOL', `the other side has sent ${text(type)}: expected ${types.join(' or ')}`)
    if (length > (MOST_BYTES[type as FrameType] ?? MOST_LINE_BYTES))
      throw new MigrationError('ERR_PROTOCOL', `the other side sends ${length} bytes of ${type}: that is too much`)
    const payload = await this.#take(length)
    if (crc32(payload) !== view.getUint32(12, true)) throw damaged(`a frame ${type}`)
    if (type === 'NOTE') {
      const why = text(new TextDecoder().decode(payload.subarray(0, 1000)))
      throw new MigrationError('ERR_REFUSED', `the other side says: ${why}`)
    }
    return { type: type as Type, payload }
  }

  /** Receives this many bytes. Memory is only allocated for received bytes. */
  async #take(count: number): Promise<Uint8Array> {
    while (this.#bytes < count) {
      let piece: Uint8Array | null
      try {
        piece = await this.#channel.receive()
      } catch (error) {
        throw cut(error)
      }
      if (piece === null) throw cut(undefined)
      this.#pieces.push(piece)
      this.#bytes += piece.length
    }
    const taken = new Uint8Array(count)
    let at = 0
    while (at < count) {
      const piece = this.#pieces[0]!
      const part = piece.subarray(0, count - at)
      taken.set(part, at)
      at += part.length
      if (part.length === piece.length) this.#pieces.shift()
      else this.#pieces[0] = piece.subarray(part.length)
    }
    this.#bytes -= count
    return taken
  }
}

/** A text of the other side for people to read: without control characters. */
// oxlint-disable-next-line no-control-regex -- control characters are meant
const text = (given: string): string => given.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ' ')

const damaged = (what: string): MigrationError =>
  new MigrationError('ERR_PROTOCOL', `${what} was damaged on its way: its checksum is another`)

function cut(cause: unknown): MigrationError {
  const why = cause instanceof Error ? `: ${cause.message}` : ''
  return new MigrationError('ERR_CUT', `the other side has gone, and the connection with it${why}`, { cause })
}

/** Waits with a time limit. @throws MigrationError `ERR_CUT` when the time has passed */
export async function within<T>(ms: number, what: string, waiting: Promise<T>): Promise<T> {
  if (ms === Infinity) return waiting
  let timer: unknown
  const late = new Promise<never>((_, reject) => {
    const error = new MigrationError('ERR_CUT', `${what} has not come within ${ms} ms`)
    timer = setTimeout(() => reject(error), ms)
  })
  try {
    return await Promise.race([waiting, late])
  } finally {
    clearTimeout(timer)
  }
}
