import { Fids, LIMITS, type SavedFid } from './fids.ts'
import { MessageReader, MessageWriter } from './messages.ts'
import { OPERATIONS, type P9Connection } from './operations.ts'
import { errorNumber, finish, isLater, type Share, ShareError, type Soon, type Steps } from './share.ts'

/** Largest message, and the least that a driver may ask for. */
export const MOST_BYTES = 0x8_0000
const LEAST_BYTES = 4096
const DIALECT = '9P2000.L'
const NO_TAG = 0xffff

const VERSION = 100
const FLUSH = 108
const ERROR = 7

/** Linux's overlay asks for three extended attributes of each directory: an error of its own for each would cost a stack trace. */
const UNSUPPORTED = new ShareError('EOPNOTSUPP')

/** Saved form of a {@link P9Session}. */
export interface P9SessionState {
  readonly messageBytes: number
  readonly fids: readonly SavedFid[]
}

/** A driver's session with a share. Requests are processed one after another. */
export class P9Session implements P9Connection {
  readonly readOnly: boolean
  readonly fids: Fids
  /** Bytes of a message; 0: the driver has not said its version. */
  messageBytes = 0
  #scratch = new Uint8Array(0)
  /** Resolves when all pending requests have completed; null while none are pending. */
  #last: Promise<void> | null = null

  constructor(share: Share, readOnly: boolean, limits: typeof LIMITS = LIMITS) {
    this.fids = new Fids(share, limits)
    this.readOnly = readOnly
  }

  scratch(bytes: number): Uint8Array {
    if (bytes > this.#scratch.length) this.#scratch = new Uint8Array(bytes)
    return this.#scratch.subarray(0, bytes)
  }

  /**
   * Answers a message.
   *
   * @param message - the message including its header
   * @param wanted - whether the answer is still waited for
   */
  answer(message: Uint8Array, wanted: () => boolean): Soon<Uint8Array> {
    return this.#next(() => this.#answer(message, wanted))
  }

  *#answer(message: Uint8Array, wanted: () => boolean): Steps<Uint8Array> {
    const view = new DataView(message.buffer, message.byteOffset)
    const [type, tag] = [view.getUint8(4), view.getUint16(5, true)]
    if (!wanted()) return new Uint8Array(0)
    const writer = new MessageWriter()
    try {
      yield* this.#perform(type, new MessageReader(message), writer)
      return writer.finish(type + 1, type === VERSION ? NO_TAG : tag)
    } catch (error) {
      return new MessageWriter().u32(errorNumber(error)).finish(ERROR, tag)
    } finally {
      this.fids.trim()
    }
  }

  /** Runs an action when no request is pending, at once if possible. */
  #next<T>(act: () => Steps<T>): Soon<T> {
    const next = this.#last === null ? finish(act()) : this.#last.then(() => finish(act()))
    if (!isLater(next)) return next
    const end = (): void => {
      if (this.#last === ended) this.#last = null
    }
    const ended: Promise<void> = next.then(end, end)
    this.#last = ended
    return next
  }

  *#perform(type: number, reader: MessageReader, writer: MessageWriter): Steps<void> {
    if (type === VERSION) return yield* this.#version(reader, writer)
    if (this.messageBytes === 0) throw new ShareError('EPROTO', 'the driver has not said its version')
    // Earlier requests have been answered.
    if (type === FLUSH) return
    const operation = OPERATIONS[type]
    if (operation === undefined) throw UNSUPPORTED
    if (operation.writes && this.readOnly) throw new ShareError('EROFS')
    const performed = operation.perform(this, reader, writer)
    if (performed !== undefined) yield* performed
  }

  *#version(reader: MessageReader, writer: MessageWriter): Steps<void> {
    const bytes = Math.min(reader.u32(), MOST_BYTES)
    const known = reader.text() === DIALECT && bytes >= LEAST_BYTES
    yield* this.fids.clear()
    this.messageBytes = known ? bytes : 0
    writer.u32(bytes).text(known ? DIALECT : 'unknown')
  }

  /** Forgets the driver. @returns settles when nothing is in use any more */
  reset(): Soon<void> {
    this.messageBytes = 0
    return this.#next(() => this.fids.clear())
  }

  save(): P9SessionState {
    return { messageBytes: this.messageBytes, fids: this.fids.save() }
  }

  /** Restores the state that `save` returned, with the names of files, which are looked up when the driver uses them. */
  restore({ messageBytes, fids }: P9SessionState): void {
    this.messageBytes = messageBytes
    void this.#next(() => this.fids.restore(fids))
  }
}
