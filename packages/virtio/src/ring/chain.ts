import type { CancelSignal } from '@retrap/device'
import type { RingMemory } from './ring-memory.ts'

const MOST_BYTES = 2 ** 32
const ADDRESS_END = 2 ** 52

/** The part of a chain that the device reads, as one run of bytes. */
export interface ReadableBytes {
  /** Bytes. */
  readonly length: number
  /** Copies out. @returns false where the chain is shorter or cancelled, or the guest's memory is not RAM */
  read(offset: number, into: Uint8Array): boolean
  /** Returns a copy of a part, or null where `read` would return false. */
  slice(offset: number, bytes: number): Uint8Array<ArrayBuffer> | null
}

/** The part of a chain that the device writes, as one run of bytes. */
export interface WritableBytes {
  /** Bytes. */
  readonly length: number
  /** Copies in. @returns false where the chain is shorter or cancelled, or the guest's memory is not RAM */
  write(offset: number, from: Uint8Array): boolean
}

/**
 * A request of the driver: bytes that the device reads, and bytes that it writes.
 *
 * How the driver has cut them into pieces is not seen. Bytes that overlap are the driver's own trouble.
 */
export interface VirtioChain {
  /** The bytes that the driver has written. */
  readonly readable: ReadableBytes
  /** The buffers that the device writes. */
  readonly writable: WritableBytes
  /** The driver has reset the device: nothing reaches the guest any more. */
  readonly cancelled: boolean
  /** Aborts when the driver resets the device. */
  readonly signal: CancelSignal
  /**
   * Gives the chain back to the driver. A chain that is cancelled, or was given back before, is left alone.
   *
   * @param written - number of bytes of `writable` that were written, from its beginning
   */
  complete(written: number): void
}

/**
 * The outcome of a request: how many bytes of `writable` were written, or a function that writes them and returns that.
 *
 * The function is called at the virtual instant of the answer, so that a run on deterministic time can be repeated.
 */
export type VirtioAnswer = number | (() => number)

/** The part of its queue that a chain needs. */
export interface ChainOwner {
  readonly memory: RingMemory
  complete(chain: RequestChain, written: number): void
  /** Hands a chain out once more. */
  again(chain: RequestChain): void
  /** The driver has named memory that is not RAM. */
  broken(): void
}

/**
 * Collects the pieces of one chain, and refuses what no chain may have: more pieces than the queue's size, an empty piece, a
 * piece to read behind one to write, more than 4 GiB in all, an address that no machine has.
 *
 * The limit on pieces is what ends a walk of descriptors that form a loop.
 */
export class ChainBuilder {
  readonly #most: number
  gpas: number[] = []
  lengths: number[] = []
  /** Number of pieces that the device reads, which precede those that it writes. */
  readable: number = 0
  #bytes = 0
  /** Identity of the chain within its ring. */
  id: number = 0
  /** Descriptors of the ring that it takes. */
  slots: number = 0

  /** @param most - pieces of a chain */
  constructor(most: number) {
    this.#most = most
  }

  begin(): void {
    this.gpas = []
    this.lengths = []
    this.readable = 0
    this.#bytes = 0
    this.slots = 0
  }

  /** Adds a piece. @returns false: no chain may have it */
  add(low: number, high: number, length: number, write: boolean): boolean {
    const gpa = high * 2 ** 32 + low
    this.#bytes += length
    if (this.gpas.length === this.#most || length === 0 || gpa + length > ADDRESS_END || this.#bytes > MOST_BYTES)
      return false
    if (!write) {
      if (this.readable < this.gpas.length) return false
      this.readable++
    }
    this.gpas.push(gpa)
    this.lengths.push(length)
    return true
  }
}

/** A run of guest memory in pieces. */
class Pieces implements ReadableBytes, WritableBytes {
  readonly length: number
  readonly #chain: RequestChain
  readonly #first: number
  readonly #end: number

  /** @param first - index of the first piece; `end`: behind the last one */
  constructor(chain: RequestChain, first: number, end: number) {
    this.#chain = chain
    this.#first = first
    this.#end = end
    let length = 0
    for (let i = first; i < end; i++) length += chain.lengths[i]!
    this.length = length
  }

  read(offset: number, into: Uint8Array): boolean {
    return this.#move(offset, into, false)
  }

  write(offset: number, from: Uint8Array): boolean {
    return this.#move(offset, from, true)
  }

  slice(offset: number, bytes: number): Uint8Array<ArrayBuffer> | null {
    if (!this.#holds(offset, bytes)) return null
    const copy = new Uint8Array(bytes)
    return this.read(offset, copy) ? copy : null
  }

  #holds(offset: number, bytes: number): boolean {
    return offset >= 0 && bytes >= 0 && offset + bytes <= this.length
  }

  #move(offset: number, bytes: Uint8Array, write: boolean): boolean {
    const { gpas, lengths, owner, cancelled } = this.#chain
    if (cancelled || !this.#holds(offset, bytes.length)) return false
    if (write && this.#chain.keeps(offset, bytes)) return true
    let skip = offset
    let done = 0
    for (let i = this.#first; i < this.#end && done < bytes.length; i++) {
      const length = lengths[i]!
      if (skip >= length) {
        skip -= length
        continue
      }
      const count = Math.min(length - skip, bytes.length - done)
      const part = count === bytes.length ? bytes : bytes.subarray(done, done + count)
      const gpa = gpas[i]! + skip
      if (!(write ? owner.memory.write(gpa, part) : owner.memory.read(gpa, part))) {
        owner.broken()
        return false
      }
      done += count
      skip = 0
    }
    return true
  }
}

/** A chain's pieces as plain data. */
export interface SavedChain {
  readonly id: number
  readonly slots: number
  readonly readable: number
  readonly gpas: readonly number[]
  readonly lengths: readonly number[]
}

/** The outcome of a request, as plain data. */
export interface SavedOutcome {
  /** Bytes of the chain that count as written. */
  readonly written: number
  /** Writes into the chain; null: none, and the outcome can be reported later even without access to the driver's memory. */
  readonly writes: readonly (readonly [offset: number, bytes: Uint8Array])[] | null
}

/** A chain that a queue has handed out. */
export class RequestChain implements VirtioChain {
  readonly owner: ChainOwner
  /** Identifies the chain in the ring. */
  readonly id: number
  /** Descriptors of the ring that it takes. */
  readonly slots: number
  readonly gpas: readonly number[]
  readonly lengths: readonly number[]
  readonly readable: ReadableBytes
  readonly writable: WritableBytes
  cancelled: boolean = false
  readonly #readableCount: number
  #abort: AbortController | null = null
  /** Takes what would be written into guest memory, while an answer is saved; null: it is written. */
  #writes: [offset: number, bytes: Uint8Array][] | null = null

  constructor(owner: ChainOwner, { id, slots, gpas, lengths, readable }: SavedChain) {
    this.owner = owner
    this.id = id
    this.slots = slots
    this.gpas = gpas
    this.lengths = lengths
    this.#readableCount = readable
    this.readable = new Pieces(this, 0, readable)
    this.writable = new Pieces(this, readable, gpas.length)
  }

  get signal(): CancelSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController()
      if (this.cancelled) this.#abort.abort()
    }
    return this.#abort.signal
  }

  complete(written: number): void {
    if (!this.cancelled) this.owner.complete(this, Math.min(written, this.writable.length))
  }

  /** Lets an answer write its bytes. @returns bytes that count as written */
  writtenBy(answer: VirtioAnswer): number {
    const written = typeof answer === 'function' ? answer() : answer
    return Math.max(0, Math.min(written, this.writable.length))
  }

  /** Returns a response as plain data, without writing it to guest memory. */
  saveAnswer(answer: VirtioAnswer): SavedOutcome {
    const writes: [offset: number, bytes: Uint8Array][] = []
    this.#writes = writes
    const written = this.writtenBy(answer)
    this.#writes = null
    return { written, writes: typeof answer === 'number' ? null : writes }
  }

  /** Keeps a write for later, if the chain keeps writes. */
  keeps(offset: number, bytes: Uint8Array): boolean {
    this.#writes?.push([offset, bytes.slice()])
    return this.#writes !== null
  }

  cancel(): void {
    this.cancelled = true
    this.#abort?.abort()
  }

  save(): SavedChain {
    const { id, slots, gpas, lengths } = this
    return { id, slots, readable: this.#readableCount, gpas, lengths }
  }
}

/** The outcome of the host's work at a request. It reaches the guest when the request's virtual time is over. */
export class LateOutcome {
  /** The answer of the device; throws the failure of its model. */
  readonly #answer: () => VirtioAnswer
  /** The outcome as plain data, once it was saved: a response is taken once. */
  #saved: SavedOutcome | null

  constructor(answer: () => VirtioAnswer, saved: SavedOutcome | null = null) {
    this.#answer = answer
    this.#saved = saved
  }

  /** An outcome of a saved state. */
  static of(saved: SavedOutcome): LateOutcome {
    return new LateOutcome(() => saved.written, saved)
  }

  /** Whether nothing is to be written. */
  get isPlain(): boolean {
    return this.#saved === null ? typeof this.#answer() === 'number' : this.#saved.writes === null
  }

  /** Whether the answer was taken when the machine was saved: the request is not made again. */
  get isSaved(): boolean {
    return this.#saved !== null
  }

  /** Writes into the chain. @returns bytes that count as written */
  give(chain: RequestChain): number {
    const saved = this.#saved
    if (saved === null) return chain.writtenBy(this.#answer())
    const done = saved.writes?.every(([offset, bytes]) => chain.writable.write(offset, bytes)) ?? true
    return done ? saved.written : 0
  }

  /** Returns the outcome as plain data. @throws the failure of the model */
  save(chain: RequestChain): SavedOutcome {
    return (this.#saved ??= chain.saveAnswer(this.#answer()))
  }
}

/** The failure of a chain is thrown where the response is taken, and is dropped if the chain was cancelled meanwhile. */
export function outcomeOf(promise: Promise<VirtioAnswer | LateOutcome>): Promise<LateOutcome> {
  return promise.then(
    (answer) => (answer instanceof LateOutcome ? answer : new LateOutcome(() => answer)),
    (error: unknown) =>
      new LateOutcome(() => {
        throw error
      }),
  )
}
