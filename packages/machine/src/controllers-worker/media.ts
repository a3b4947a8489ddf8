import {
  type BlockBackend,
  type BlockProperties,
  type BlockRequest,
  type BlockTray,
  type BlockTrayState,
} from '@retrap/device'
import { askMedium, FarMedium, type MediumRequest, numberOf } from '../back-ends/media.ts'
import { fromJson, MESSAGE, type Message, type Post, toJson } from '../back-ends/messages.ts'

/** A write that is to be durable. The other flags of a request count changes of the medium that the model knows. */
const DURABLE = 1
/** The flags of a request, made after this many changes. */
const requestFlags = (changes: number, durable: boolean): number => ((changes << 1) & 0xff) | (durable ? DURABLE : 0)
/** The guest's changes to a tray. */
const OPEN = 1
const LOCKED = 2
/** Most bytes of one request: the shared ring has room for two of them. */
const MOST_BYTES = 32 << 10
/** CDs have blocks of this size, and a drive takes media whose blocks divide it. */
const CD_BLOCK_BYTES = 2048

/** A request that the machine has not answered. */
interface Pending {
  readonly asked: MediumRequest
  readonly resolve: (status: number) => void
}

/** A medium of the machine's thread, for a model in another thread. */
export class RemoteMedium extends FarMedium {
  readonly tray?: BlockTray
  readonly #post: Post
  readonly #pending = new Map<number, Pending>()
  #nextId = 0
  /** Number of changes of the medium. */
  #changes = 0

  constructor(properties: BlockProperties, hasTray: boolean, post: Post) {
    super(limited(properties))
    this.#post = post
    if (hasTray)
      this.tray = {
        connect: (client) => void (this.client = client),
        moved: ({ open, locked }) => post(MESSAGE.tray, { flags: (open ? OPEN : 0) | (locked ? LOCKED : 0) }),
      }
  }

  /** Handles a message from the machine. */
  receive({ kind, id, flags, bytes }: Message): void {
    if (kind === MESSAGE.ejectRequested) this.client?.ejectRequested()
    else if (kind === MESSAGE.changed) {
      this.#changes++
      this.changeTo(limited(fromJson(bytes) as BlockProperties))
    } else {
      const { asked, resolve } = this.#pending.get(id) ?? {}
      this.#pending.delete(id)
      if (flags === 0 && asked?.kind === MESSAGE.read) asked.bytes.set(bytes)
      resolve?.(flags)
    }
  }

  protected ask(_key: string, asked: MediumRequest, request?: BlockRequest): Promise<number> {
    const id = this.#nextId
    this.#nextId = (id + 1) >>> 0
    const { promise, resolve } = Promise.withResolvers<number>()
    this.#pending.set(id, { asked, resolve })
    const { kind, bytes, ...where } = asked
    const flags = requestFlags(this.#changes, request?.durable === true)
    this.#post(kind, { ...where, ...(kind === MESSAGE.write && { bytes }), id, flags })
    const signal = request?.signal
    if (signal === undefined) return promise
    const cancel = (): void => this.#post(MESSAGE.cancel, { id })
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel)
    return promise.finally(() => signal.removeEventListener('abort', cancel))
  }
}

/** A block may be larger. */
const limited = (properties: BlockProperties): BlockProperties => ({
  ...properties,
  maximumBytes: Math.max(properties.blockBytes, Math.min(properties.maximumBytes, MOST_BYTES)),
})

/** A medium of this thread, for a model in another thread. */
export class NearMedium {
  readonly #medium: BlockBackend
  readonly #post: Post
  readonly #running = new Map<number, AbortController>()
  readonly #unwatch: () => void
  /** Number of changes of the medium. */
  #changes = 0

  constructor(medium: BlockBackend, post: Post) {
    this.#medium = medium
    this.#post = post
    this.#unwatch = medium.onChange(() => {
      this.#changes++
      post(MESSAGE.changed, { bytes: toJson(medium.properties) })
    })
    // An eject request is accepted without the model's answer, which would be late: a CD drive accepts every one.
    medium.tray?.connect({
      ejectRequested: () => post(MESSAGE.ejectRequested, {}),
      refuses: ({ blockBytes }) =>
        CD_BLOCK_BYTES % blockBytes === 0
          ? null
          : `a disc with blocks of ${blockBytes} bytes: expected a divisor of 2048`,
    })
  }

  /** The model's thread has ended. */
  leave(): void {
    this.#unwatch()
  }

  /** Handles a message from the model. */
  receive(message: Message): void {
    const { kind, id, flags } = message
    if (kind === MESSAGE.cancel) this.#running.get(id)?.abort()
    else if (kind === MESSAGE.tray) {
      const state: BlockTrayState = { open: (flags & OPEN) !== 0, locked: (flags & LOCKED) !== 0 }
      this.#medium.tray?.moved(state)
    } else void this.#answer(message)
  }

  async #answer({ kind, id, flags, offset, length, bytes: sent }: Message): Promise<void> {
    const medium = this.#medium
    const durable = (flags & DURABLE) !== 0
    const isRead = kind === MESSAGE.read
    // Copied, because the message's buffer belongs to a stream.
    const bytes = isRead ? new Uint8Array(length) : sent.slice()
    const abort = new AbortController()
    this.#running.set(id, abort)
    // Made of the medium before, by a model that does not know of the change yet.
    const isLate = medium.tray !== undefined && flags !== requestFlags(this.#changes, durable)
    const status = isLate
      ? numberOf('ERR_NO_MEDIUM')
      : await askMedium(medium, { kind, offset, length, bytes }, { signal: abort.signal, durable })
    this.#running.delete(id)
    this.#post(MESSAGE.answer, { id, flags: status, ...(isRead && status === 0 && { bytes }) })
  }
}
