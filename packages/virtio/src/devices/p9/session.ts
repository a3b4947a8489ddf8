import { type Fid, Fids, type SavedFid } from './fids.ts'
import { MessageReader, MessageWriter } from './messages.ts'
import { OPERATIONS, type P9Connection } from './operations.ts'
import { errorNumber, finish, isLater, type Share, ShareError, type Soon, soon, type Steps } from './share.ts'

/** Largest message, and the least that a driver may ask for. */
export const MOST_BYTES = 0x8_0000
const LEAST_BYTES = 4096
const DIALECT = '9P2000.L'
const NO_TAG = 0xffff

const VERSION = 100
const FLUSH = 108
const ERROR = 7

/** Saved form of a {@link P9Session}. */
export interface P9SessionState {
  readonly messageBytes: number
  readonly fids: readonly SavedFid[]
}

/** A connection of a driver with a share. Requests are answered one after the other. */
export class P9Session implements P9Connection {
  readonly share: Share
  readonly readOnly: boolean
  readonly fids: Fids = new Fids()
  /** Bytes of a message; 0: the driver has not said its version. */
  messageBytes = 0
  /** The end of the requests that are under way; null: none is. */
  #last: Promise<void> | null = null

  constructor(share: Share, readOnly: boolean) {
    this.share = share
    this.readOnly = readOnly
  }

  /**
   * Answers a message.
   *
   * @param message - with its head
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
    }
  }

  /** Acts when nothing is under way any more: at once where that is now. */
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
    if (operation === undefined) throw new ShareError('EOPNOTSUPP')
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

  /** Looks for the files of a saved state by their names. A driver is told of those that are not there when it uses them. */
  restore({ messageBytes, fids }: P9SessionState): void {
    this.messageBytes = messageBytes
    void this.#next(() => this.#findAll(fids))
  }

  *#findAll(fids: readonly SavedFid[]): Steps<void> {
    yield* this.fids.clear()
    for (const saved of fids) {
      try {
        yield* this.#find(saved)
      } catch {
        // The driver is told when it uses the file.
      }
    }
  }

  *#find({ fid: number, path, access, names }: SavedFid): Steps<void> {
    let { place } = yield* this.fids.enter(yield* soon(this.share.root()), null, '')
    for (const name of path) {
      const before = place
      try {
        ;({ place } = yield* this.fids.step(before, name))
      } finally {
        this.fids.release(before)
      }
    }
    this.fids.set(number, place)
    const fid: Fid = this.fids.get(number)
    if (names !== null) this.fids.list(fid, names)
    if (access !== null && names === null) fid.file = yield* soon(place.node.open({ ...access, truncate: false }))
    fid.access = access
  }
}
