import type { CancelSignal } from '@retrap/device'
import type { RingMemory } from './ring-memory.ts'

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
  /** Where the device writes. */
  readonly writable: WritableBytes
  /** The driver has reset the device: nothing reaches the guest any more. */
  readonly cancelled: boolean
  /** Aborts when the driver resets the device. */
  readonly signal: CancelSignal
  /**
   * Gives the chain back to the driver. A chain that is cancelled, or was given back before, is left alone.
   *
   * @param written - bytes of `writable` from its beginning on that have been written
   */
  complete(written: number): void
}

/** The part of its queue that a chain needs. */
export interface ChainOwner {
  readonly memory: RingMemory
  complete(chain: RequestChain, written: number): void
  /** Hands a chain out once more. */
  again(chain: RequestChain): void
  /** The driver has named memory that is not RAM. */
  broken(): void
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
  /** Takes what would be written into guest memory; null: it is written. */
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

  /** Keeps writes from guest memory until `endWrites`. @returns gets them */
  keepWrites(): readonly (readonly [offset: number, bytes: Uint8Array])[] {
    return (this.#writes = [])
  }

  /** Lets writes through again. */
  endWrites(): void {
    this.#writes = null
  }

  /** Keeps a write, where writes are kept. */
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
