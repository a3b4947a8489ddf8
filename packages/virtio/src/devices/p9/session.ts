import { type Fid, Fids, type SavedFid } from './fids.ts'
import { MessageReader, MessageWriter } from './messages.ts'
import { OPERATIONS, type P9Connection } from './operations.ts'
import { errorNumber, type Share, ShareError } from './share.ts'

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
  #last: Promise<unknown> = Promise.resolve()

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
  answer(message: Uint8Array, wanted: () => boolean): Promise<Uint8Array> {
    return this.#next(async () => {
      const view = new DataView(message.buffer, message.byteOffset)
      const [type, tag] = [view.getUint8(4), view.getUint16(5, true)]
      if (!wanted()) return new Uint8Array(0)
      const reader = new MessageReader(message)
      const writer = new MessageWriter()
      try {
        await this.#perform(type, reader, writer)
        return writer.finish(type + 1, type === VERSION ? NO_TAG : tag)
      } catch (error) {
        return new MessageWriter().u32(errorNumber(error)).finish(ERROR, tag)
      }
    })
  }

  #next<T>(act: () => Promise<T>): Promise<T> {
    const next = this.#last.then(act)
    this.#last = next.catch(() => {})
    return next
  }

  async #perform(type: number, reader: MessageReader, writer: MessageWriter): Promise<void> {
    if (type === VERSION) return this.#version(reader, writer)
    if (this.messageBytes === 0) throw new ShareError('EPROTO', 'the driver has not said its version')
    // Earlier requests have been answered.
    if (type === FLUSH) return
    const operation = OPERATIONS[type]
    if (operation === undefined) throw new ShareError('EOPNOTSUPP')
    if (operation.writes && this.readOnly) throw new ShareError('EROFS')
    await operation.perform(this, reader, writer)
  }

  async #version(reader: MessageReader, writer: MessageWriter): Promise<void> {
    const bytes = Math.min(reader.u32(), MOST_BYTES)
    const known = reader.text() === DIALECT && bytes >= LEAST_BYTES
    await this.fids.clear()
    this.messageBytes = known ? bytes : 0
    writer.u32(bytes).text(known ? DIALECT : 'unknown')
  }

  /** Forgets the driver. @returns settles when nothing is in use any more */
  reset(): Promise<void> {
    this.messageBytes = 0
    return this.#next(() => this.fids.clear())
  }

  save(): P9SessionState {
    return { messageBytes: this.messageBytes, fids: this.fids.save() }
  }

  /** Looks for the files of a saved state by their names. A driver is told of those that are not there when it uses them. */
  restore({ messageBytes, fids }: P9SessionState): void {
    this.messageBytes = messageBytes
    void this.#next(async () => {
      await this.fids.clear()
      for (const saved of fids) {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        await this.#find(saved).catch(() => {})
      }
    })
  }

  async #find({ fid: number, path, access, names }: SavedFid): Promise<void> {
    const root = await this.share.root()
    let place = this.fids.place(root, (await root.stat()).id, null, '')
    for (const name of path) {
      const before = place
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      place = await this.fids.step(before, name).finally(() => this.fids.release(before))
    }
    this.fids.set(number, place)
    const fid: Fid = this.fids.get(number)
    if (names !== null) this.fids.list(fid, names)
    if (access !== null && names === null) fid.file = await place.node.open({ ...access, truncate: false })
    fid.access = access
  }
}
