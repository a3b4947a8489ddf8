import type { NetworkClock } from '../clock.ts'
import type { TcpEndpoints } from '../frames/tcp.ts'
import type { BufferBudget } from './buffer-budget.ts'

/** Why a connection is no more. */
export type TcpEnd = 'finished' | 'reset' | 'refused' | 'timeout' | 'aborted'

/** Is notified of a connection. */
export interface TcpClient {
  /** The handshake is done. */
  connected(): void
  /** There is something to read, or the peer has said that nothing follows. */
  readable(): void
  /** There is room for more to write. */
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
