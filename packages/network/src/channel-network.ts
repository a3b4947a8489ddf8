import type { NetworkClock } from './clock.ts'
import { QueuedNetwork } from './frame-queue.ts'
import { MAXIMUM_TAGGED_FRAME } from './hub.ts'

/** Bytes sent at once: a channel does not report when receivers have taken them, so the next burst follows a moment later. */
const BURST_BYTES = 1 << 20
const PAUSE_MS = 10
const ETHERNET_HEADER = 14

/** The part of a `BroadcastChannel` that is used. */
export interface FrameChannel {
  /** Sends a message to all other channels of the same name. */
  postMessage(message: Uint8Array<ArrayBuffer>): void
  /** Calls `listener` with each message of the others. */
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  /** Ends the channel. */
  close(): void
}

/** Options of {@link ChannelNetwork}. */
export interface ChannelNetworkOptions {
  /** Default the host's time. */
  readonly clock?: NetworkClock | undefined
}

/**
 * A hub between the tabs and Workers of an origin, or the threads of a process: frames over a `BroadcastChannel`, each a message
 * of a `Uint8Array`. Other messages are passed over.
 */
export class ChannelNetwork extends QueuedNetwork {
  /** Always plugged in. */
  readonly linkUp: boolean = true
  /** A frame with a VLAN tag. */
  readonly maximumBytes: number = MAXIMUM_TAGGED_FRAME
  readonly #channel: FrameChannel
  /** Bytes that may be sent before the next moment. */
  #allowance = BURST_BYTES
  #cancel: (() => void) | null = null
  #waits = false
  #closed = false

  /** @param channel - `new BroadcastChannel(name)`; it is closed with the network */
  constructor(channel: FrameChannel, options: ChannelNetworkOptions = {}) {
    super(options)
    this.#channel = channel
    channel.addEventListener('message', ({ data }) => {
      if (this.#closed || !(data instanceof Uint8Array)) return
      if (data.length >= ETHERNET_HEADER && data.length <= this.maximumBytes) this.queue.push(data)
    })
  }

  /** Sends a frame. @returns false where too much was sent within a moment */
  send(frame: Uint8Array): boolean {
    if (this.#closed || frame.length > this.maximumBytes) return true
    this.#cancel ??= this.clock.after(PAUSE_MS, () => this.#refill())
    if (this.#allowance < frame.length) {
      this.#waits = true
      return false
    }
    this.#allowance -= frame.length
    this.#channel.postMessage(new Uint8Array(frame))
    return true
  }

  /** Leaves the channel. */
  close(): void {
    this.#closed = true
    this.#cancel?.()
    this.#cancel = null
    this.#channel.close()
  }

  #refill(): void {
    this.#cancel = null
    this.#allowance = BURST_BYTES
    if (!this.#waits) return
    this.#waits = false
    this.queue.client?.drained()
  }
}
