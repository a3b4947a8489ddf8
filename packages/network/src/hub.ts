import type { PacketBackend, PacketClient } from '@retrap/device'
import { HOST_CLOCK, type NetworkClock } from './clock.ts'
import { FrameQueue } from './frame-queue.ts'

/** A frame with a VLAN tag. */
export const MAXIMUM_TAGGED_FRAME = 1518

/** Options of {@link Hub}. */
export interface HubOptions {
  /** Default the host's time. */
  readonly clock?: NetworkClock
}

/** Joins the cards of several machines, and other networks: each frame goes to all others. */
export class Hub {
  readonly #clock: NetworkClock
  readonly #members = new Set<FrameQueue>()

  constructor(options: HubOptions = {}) {
    this.#clock = options.clock ?? HOST_CLOCK
  }

  /** Makes a place for a card. */
  port(): PacketBackend & { close(): void } {
    const queue = this.#join()
    return {
      linkUp: true,
      maximumBytes: MAXIMUM_TAGGED_FRAME,
      connect: (client) => queue.connect(client),
      send: (frame) => {
        if (frame.length <= MAXIMUM_TAGGED_FRAME) this.#pass(new Uint8Array(frame), queue)
        return true
      },
      ready: () => queue.ready(),
      close: () => this.#members.delete(queue),
    }
  }

  /** Joins a network, such as the way to the outside, as a card would. @returns a function that removes it from the hub */
  attach(network: PacketBackend): () => void {
    const queue = this.#join()
    const most = Math.min(network.maximumBytes, MAXIMUM_TAGGED_FRAME)
    const client: PacketClient = {
      receive: (frame) => {
        this.#pass(new Uint8Array(frame), queue)
        return true
      },
      drained: () => queue.ready(),
      linkChanged() {},
    }
    // Frames of the other networks are sent to this network.
    queue.connect({ ...client, receive: (frame) => frame.length > most || network.send(frame) })
    network.connect(client)
    return () => this.#members.delete(queue)
  }

  #join(): FrameQueue {
    const queue = new FrameQueue(this.#clock)
    this.#members.add(queue)
    return queue
  }

  #pass(frame: Uint8Array, from: FrameQueue): void {
    if (!this.#members.has(from)) return
    for (const member of this.#members) if (member !== from) member.push(frame)
  }
}
