import type { PacketBackend, PacketClient } from '@retrap/device'
import { HOST_CLOCK, type NetworkClock } from './clock.ts'
import { NetworkError } from './errors.ts'

/** More than these are dropped, as a real network does. Several connections' worth: TCP should not lose any here. */
const MOST_FRAMES = 4096
const MOST_BYTES = 4 << 20

/** Frames on their way to a card. A card is never called from within its own call. */
export class FrameQueue {
  readonly #clock: NetworkClock
  readonly #emptied: (() => void) | null
  #frames: Uint8Array[] = []
  #first = 0
  #bytes = 0
  #client: PacketClient | null = null
  /** The card has no room. */
  #blocked = false
  #scheduled = false

  /** @param emptied - called when a queue becomes empty */
  constructor(clock: NetworkClock, emptied: (() => void) | null = null) {
    this.#clock = clock
    this.#emptied = emptied
  }

  get client(): PacketClient | null {
    return this.#client
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes
  }

  /** @throws NetworkError `ERR_CONNECTED` */
  connect(client: PacketClient): void {
    if (this.#client !== null) throw new NetworkError('ERR_CONNECTED', 'this network has a card already')
    this.#client = client
  }

  /** Adds an immutable frame. @returns false if it was dropped */
  push(frame: Uint8Array): boolean {
    if (this.#client === null) return false
    if (this.#frames.length - this.#first >= MOST_FRAMES || this.#bytes + frame.length > MOST_BYTES) return false
    this.#frames.push(frame)
    this.#bytes += frame.length
    this.#schedule()
    return true
  }

  /** The card has room again. */
  ready(): void {
    this.#blocked = false
    this.#schedule()
  }

  clear(): void {
    this.#frames = []
    this.#first = this.#bytes = 0
  }

  #schedule(): void {
    if (this.#scheduled || this.#blocked || this.#first === this.#frames.length) return
    this.#scheduled = true
    this.#clock.soon(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    while (this.#first < this.#frames.length) {
      const frame = this.#frames[this.#first]!
      // The card may say that it is ready within this call.
      this.#blocked = true
      if (this.#client?.receive(frame) === false) return
      this.#blocked = false
      this.#first++
      this.#bytes -= frame.length
      // Taken frames are removed in batches.
      if (this.#first === 1024) {
        this.#frames = this.#frames.slice(1024)
        this.#first = 0
      }
    }
    this.clear()
    this.#emptied?.()
  }
}

/** A network with a queue of frames on their way to its card. */
export abstract class QueuedNetwork implements PacketBackend {
  abstract readonly linkUp: boolean
  abstract readonly maximumBytes: number
  protected readonly clock: NetworkClock
  protected readonly queue: FrameQueue

  constructor({ clock = HOST_CLOCK }: { readonly clock?: NetworkClock | undefined }) {
    this.clock = clock
    this.queue = new FrameQueue(clock)
  }

  /** Names the card. @throws NetworkError `ERR_CONNECTED` */
  connect(client: PacketClient): void {
    this.queue.connect(client)
  }

  abstract send(frame: Uint8Array): boolean

  ready(): void {
    this.queue.ready()
  }
}
