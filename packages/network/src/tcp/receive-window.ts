import { OUR_MSS, type TcpEndpoints } from '../frames/tcp.ts'
import type { ReceiveQueue } from './receive-queue.ts'
import type { NetworkClock } from '../clock.ts'
import type { BufferBudget } from './buffer-budget.ts'

/** Window scale of our windows, if the peer supports scaling. Source: RFC 7323 §2.2. */
export const OUR_SHIFT = 4
const LARGEST_FIELD = 0xffff

/** The window advertised to the peer. It grows in steps of at least a segment. Source: RFC 9293 §3.8.6.2.2. */
export class ReceiveWindow {
  readonly #queue: ReceiveQueue
  /** Position of the window's end, as advertised to the peer. */
  #edge = 0
  #shift = OUR_SHIFT

  constructor(queue: ReceiveQueue) {
    this.#queue = queue
  }

  /** Position that the peer may send up to. */
  get edge(): number {
    return this.#edge
  }

  get isScaled(): boolean {
    return this.#shift > 0
  }

  /** The window of a SYN, which is not scaled. */
  get initial(): number {
    return Math.min(this.#queue.capacity, LARGEST_FIELD)
  }

  /** Takes the shift of the peer's SYN. */
  begin(shift: number): void {
    this.#shift = shift
    this.#edge = this.initial
  }

  /** Advances the window if the step is large enough. @returns the window field of a segment */
  advertise(): number {
    const { capacity, next, edge } = this.#queue
    const most = next + LARGEST_FIELD * 2 ** this.#shift
    if (edge - this.#edge >= Math.min(capacity / 2, OUR_MSS)) this.#edge = Math.min(edge, most)
    return Math.max(0, this.#edge - next) >>> this.#shift
  }

  /** Whether the peer waits for the room that reading has made. */
  get isWorthTelling(): boolean {
    const { capacity, edge, next } = this.#queue
    const gain = edge - this.#edge
    return gain >= capacity / 2 || (this.#edge - next < OUR_MSS && gain >= OUR_MSS)
  }
}

/** The reason why a connection has ended. */
export type TcpEnd = 'finished' | 'reset' | 'refused' | 'timeout' | 'aborted'

/** Is notified of a connection. */
export interface TcpClient {
  /** Called when the handshake is done. */
  connected(): void
  /** Called when bytes can be read, or the peer has ended its stream. */
  readable(): void
  /** Called when more can be written. */
  writable(): void
  /** The connection is no more; comes once, and nothing after it. */
  closed(end: TcpEnd): void
}

/** The options of a connection. */
export interface TcpOptions extends TcpEndpoints {
  readonly clock: NetworkClock
  readonly budget: BufferBudget
  /** First sequence number. */
  readonly initialSequence: number
  readonly client: TcpClient
  /** Takes a frame without its Ethernet header. */
  transmit(frame: Uint8Array): void
}
