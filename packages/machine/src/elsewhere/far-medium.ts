import {
  type BlockBackend,
  BlockError,
  type BlockProperties,
  type BlockRequest,
  type BlockTray,
  type BlockTrayClient,
} from '@retrap/device'
import { BLOCK_ERRORS } from '../devices/media.ts'
import { fromJson, MESSAGE, type Message, type Post } from '../back-ends/messages.ts'

/** A write that is to be durable. The other flags of a request count changes of the medium that the model has heard of. */
export const DURABLE = 1

/** The flags of a request, made after this many changes. */
export const requestFlags = (changes: number, durable: boolean): number =>
  ((changes << 1) & 0xff) | (durable ? DURABLE : 0)
/** The guest's changes to a tray. */
export const OPEN = 1
export const LOCKED = 2
/** Bytes of one request: two of them fit between the threads. */
const MOST_BYTES = 32 << 10

/** A request that the machine has not answered. */
interface Pending {
  readonly into: Uint8Array | null
  readonly resolve: () => void
  readonly reject: (error: BlockError) => void
}

/** A medium of the machine's thread, as a model of another thread uses it. */
export class FarMedium implements BlockBackend {
  properties: BlockProperties
  readonly tray?: BlockTray
  readonly #post: Post
  readonly #listeners = new Set<() => void>()
  readonly #pending = new Map<number, Pending>()
  #client: BlockTrayClient | null = null
  #nextId = 0
  /** How often the medium has changed. */
  #changes = 0

  constructor(properties: BlockProperties, hasTray: boolean, post: Post) {
    this.#post = post
    this.properties = limited(properties)
    if (hasTray)
      this.tray = {
        connect: (client) => void (this.#client = client),
        moved: ({ open, locked }) => post(MESSAGE.tray, { flags: (open ? OPEN : 0) | (locked ? LOCKED : 0) }),
      }
  }

  /** Takes what the machine says. */
  receive({ kind, id, flags, bytes }: Message): void {
    if (kind === MESSAGE.ejectRequested) this.#client?.ejectRequested()
    else if (kind === MESSAGE.changed) {
      this.#changes++
      this.properties = limited(fromJson(bytes) as BlockProperties)
      for (const listener of this.#listeners) listener()
    } else this.#answered(id, flags, bytes)
  }

  #answered(id: number, error: number, bytes: Uint8Array): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    if (error !== 0) return pending.reject(new BlockError(BLOCK_ERRORS[error - 1] ?? 'ERR_MEDIUM', 'the medium failed'))
    pending.into?.set(bytes)
    pending.resolve()
  }

  #ask(
    kind: number,
    message: Partial<Message>,
    request: BlockRequest | undefined,
    into: Uint8Array | null = null,
  ): Promise<void> {
    const id = this.#nextId
    this.#nextId = (id + 1) >>> 0
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#pending.set(id, { into, resolve, reject })
    const flags = requestFlags(this.#changes, request?.durable === true)
    this.#post(kind, { ...message, id, flags })
    const signal = request?.signal
    if (signal === undefined) return promise
    const cancel = (): void => this.#post(MESSAGE.cancel, { id })
    if (signal.aborted) cancel()
    signal.addEventListener('abort', cancel)
    return promise.finally(() => signal.removeEventListener('abort', cancel))
  }

  read(offset: number, into: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask(MESSAGE.read, { offset, length: into.length }, request, into)
  }

  write(offset: number, from: Uint8Array, request?: BlockRequest): Promise<void> {
    return this.#ask(MESSAGE.write, { offset, length: from.length, bytes: from }, request)
  }

  flush(request?: BlockRequest): Promise<void> {
    return this.#ask(MESSAGE.flush, {}, request)
  }

  discard(offset: number, length: number, request?: BlockRequest): Promise<void> {
    return this.#ask(MESSAGE.discard, { offset, length }, request)
  }

  writeZeroes(offset: number, length: number, request?: BlockRequest): Promise<void> {
    return this.#ask(MESSAGE.zeroes, { offset, length }, request)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

/** A block may be larger. */
const limited = (properties: BlockProperties): BlockProperties => ({
  ...properties,
  maximumBytes: Math.max(properties.blockBytes, Math.min(properties.maximumBytes, MOST_BYTES)),
})
