import { Alarm, type NetworkClock } from '../clock.ts'
import { TCP_FIN, TCP_PSH } from '../frames/tcp.ts'
import { type BufferBudget, StreamBuffer } from './buffer-budget.ts'
import { Congestion } from './congestion.ts'

/** Interface of the sending half to its connection. */
export interface SenderPort {
  /** Sends a segment with the bytes from `position` on. */
  emit(position: number, length: number, flags: number): void
  /** The peer has acknowledged nothing for too long. */
  gaveUp(): void
}

/** The window that an acknowledgment grants. */
export interface Grant {
  /** Acknowledged position. */
  readonly position: number
  /** Bytes beyond the acknowledged position. */
  readonly window: number
  /** Position of the segment in the peer's stream, which tells old windows from new ones. */
  readonly at: number
  /** The segment brings neither data nor an end. */
  readonly isPure: boolean
}

/** RFC 9293 §3.8.3, R2: with the doubled timeouts, more than ten minutes. */
const MOST_RETRIES = 14
const MOST_SYN_RETRIES = 6

/**
 * The sending half of a connection. Positions count from the first byte of data; SYN is at -1, FIN behind the last byte.
 *
 * Source: RFC 9293 §3.8; RFC 6298 §5.
 */
export class Sender {
  readonly #clock: NetworkClock
  readonly #port: SenderPort
  /** Bytes of the stream. */
  readonly buffer: StreamBuffer
  readonly #congestion = new Congestion(536)
  readonly #roundTrip = new RoundTrip()
  readonly #retransmit: Alarm
  readonly #persist: Alarm
  /** First unacknowledged position. */
  #una = -1
  /** Next position to send. */
  #next = -1
  /** Position after all data ever sent. */
  #highest = -1
  /** Position after all queued data. */
  #end = 0
  #ending = false
  #mss = 536
  #window = 0
  #largestWindow = 0
  #windowFrom = 0
  #windowAck = -1
  #retries = 0
  /** The segment whose round trip is measured. */
  #timed: { readonly position: number; readonly sentMs: number } | null = null

  constructor(clock: NetworkClock, budget: BufferBudget, port: SenderPort) {
    this.#clock = clock
    this.#port = port
    this.buffer = new StreamBuffer(budget)
    this.#retransmit = new Alarm(clock, () => this.#onTimeout())
    this.#persist = new Alarm(clock, () => this.#probe())
  }

  /**
   * Position for a segment without data: after all sent data, but within the peer's window, or the peer would ignore it.
   */
  get acknowledgeFrom(): number {
    return Math.max(this.#una, Math.min(this.#highest, this.#una + this.#window))
  }

  get una(): number {
    return this.#una
  }

  /** Follows all that the peer may acknowledge. */
  get highest(): number {
    return this.#highest
  }

  /** Number of bytes that can be queued. */
  get room(): number {
    return this.#ending ? 0 : this.buffer.capacity - (this.#end - Math.max(0, this.#una))
  }

  /** No more data will be queued. */
  get isEnding(): boolean {
    return this.#ending
  }

  /** Whether the peer has acknowledged all data and the FIN. */
  get isFinished(): boolean {
    return this.#ending && this.#una > this.#end
  }

  /** Queues bytes. @returns how many were taken */
  write(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.room)
    if (length === 0) return 0
    this.buffer.put(this.#end, bytes.subarray(0, length))
    this.#end += length
    this.send()
    return length
  }

  /** No data follows. */
  end(): void {
    if (this.#ending) return
    this.#ending = true
    this.send()
  }

  /** Sends SYN. */
  open(): void {
    this.#next = this.#highest = 0
    this.#timed = { position: -1, sentMs: this.#clock.now() }
    this.#port.emit(-1, 0, 0)
    this.#retransmit.set(this.#roundTrip.timeoutMs)
  }

  /** Takes the options of the peer's SYN. */
  configure(mss: number, window: number, at: number): void {
    this.#mss = mss
    this.#congestion.setMss(mss)
    this.#window = this.#largestWindow = window
    this.#windowFrom = at
  }

  /** Takes an acknowledgment of no more than `highest`. @returns whether there is more room */
  acknowledge({ position, window, at, isPure }: Grant): boolean {
    if (position < this.#una) return false
    const isNew = position > this.#una
    const sameWindow = window === this.#window
    if (at > this.#windowFrom || (at === this.#windowFrom && position >= this.#windowAck)) {
      this.#window = window
      this.#largestWindow = Math.max(this.#largestWindow, window)
      this.#windowFrom = at
      this.#windowAck = position
    }
    // A peer that keeps its window closed is alive, for however long (RFC 9293 §3.8.6.1).
    if (window === 0 || !this.#retransmit.isSet) this.#retries = 0
    if (isNew) this.#advance(position)
    else if (isPure && sameWindow && this.#una < this.#next && this.#una >= 0) {
      if (this.#congestion.duplicate(this.#una, this.#highest) === 'retransmit') this.#sendFirst()
    }
    if (this.#window > 0) this.#persist.clear()
    this.send()
    return isNew
  }

  /** Sends as much as the windows allow. */
  send(): void {
    // SYN is not acknowledged yet.
    if (this.#una < 0) return
    const limit = this.#una + Math.min(this.#congestion.window, this.#window)
    for (;;) {
      const queued = this.#end - this.#next
      const length = Math.min(queued, limit - this.#next, this.#mss)
      const ends = this.#ending && length >= 0 && length === queued && this.#next + length < limit
      if (length <= 0 && !ends) break
      // Silly windows: a part of a segment waits for more room (RFC 9293 §3.8.6.2.1). Data is not held back for more data.
      if (length < this.#mss && length < queued && length < this.#largestWindow / 2) break
      this.#emit(this.#next, length, ends)
    }
    const waits = this.#next < this.#end + (this.#ending ? 1 : 0)
    if (waits && this.#una === this.#next && !this.#persist.isSet) this.#persist.set(this.#roundTrip.timeoutMs)
  }

  /** Asks the peer for a sign of life: a byte that it has. Source: RFC 9293 §3.8.4. */
  keepAlive(): void {
    this.#port.emit(this.#una - 1, 0, 0)
  }

  /** Gives the memory and the timers back. */
  close(): void {
    this.#retransmit.close()
    this.#persist.close()
    this.buffer.close()
  }

  #emit(position: number, length: number, ends: boolean): void {
    const isLast = position + length === this.#end
    const sent = position + length + (ends ? 1 : 0)
    // Retransmitted segments are not measured: the acknowledgement could belong to either transmission.
    if (position >= this.#highest) this.#timed ??= { position, sentMs: this.#clock.now() }
    else if (this.#timed !== null && this.#timed.position < sent) this.#timed = null
    this.#next = Math.max(this.#next, sent)
    this.#highest = Math.max(this.#highest, sent)
    this.#port.emit(position, length, (isLast ? TCP_PSH : 0) | (ends ? TCP_FIN : 0))
    if (!this.#retransmit.isSet) this.#retransmit.set(this.#roundTrip.timeoutMs)
  }

  #advance(position: number): void {
    const acknowledged = position - this.#una
    if (this.#timed !== null && position > this.#timed.position) {
      this.#roundTrip.sample(this.#clock.now() - this.#timed.sentMs)
      this.#timed = null
    }
    this.#una = position
    this.#next = Math.max(this.#next, position)
    this.#retries = 0
    this.buffer.maybeGrow(Math.min(position, this.#end), position)
    const action = this.#congestion.acknowledged(acknowledged, position, this.#next - position)
    if (this.#una === this.#highest) this.#retransmit.clear()
    else this.#retransmit.set(this.#roundTrip.timeoutMs)
    if (action === 'retransmit') this.#sendFirst()
  }

  /** Sends the first segment that is not acknowledged again. */
  #sendFirst(): void {
    if (this.#una >= this.#highest) return
    const length = Math.min(this.#mss, this.#end - this.#una)
    const ends = this.#ending && this.#una + length === this.#end && this.#highest > this.#end
    if (length > 0 || ends) this.#emit(this.#una, Math.max(0, length), ends)
  }

  #onTimeout(): void {
    this.#retries++
    if (this.#retries > (this.#una < 0 ? MOST_SYN_RETRIES : MOST_RETRIES)) {
      this.#port.gaveUp()
      return
    }
    this.#roundTrip.backOff()
    this.#timed = null
    if (this.#una < 0) {
      this.#port.emit(-1, 0, 0)
      this.#retransmit.set(this.#roundTrip.timeoutMs)
      return
    }
    this.#congestion.timedOut(this.#una, this.#highest)
    // All that follows is sent again as the window opens.
    this.#next = this.#una
    this.#retransmit.set(this.#roundTrip.timeoutMs)
    // The window has shrunk below the data in flight: send one segment nevertheless.
    if (this.#window === 0) this.#sendFirst()
    else this.send()
  }

  /** Sends one byte into a closed window (RFC 9293 §3.8.6.1). */
  #probe(): void {
    if (this.#una !== this.#next) return
    this.#retries++
    if (this.#retries > MOST_RETRIES) {
      this.#port.gaveUp()
      return
    }
    this.#roundTrip.backOff()
    const length = Math.min(1, this.#end - this.#una)
    const ends = length === 0 && this.#ending
    this.#highest = Math.max(this.#highest, this.#una + 1)
    if (length > 0 || ends) this.#port.emit(this.#una, length, ends ? TCP_FIN : TCP_PSH)
    this.#persist.set(this.#roundTrip.timeoutMs)
  }
}

/** The retransmission timeout's limits. RFC 6298 §2.4 and §2.5. */
const LEAST_MS = 1000
const MOST_MS = 60_000
/** RFC 6298 §2.3, G. */
const GRANULARITY_MS = 10

/** Measures round trips and derives the retransmission timeout. Source: RFC 6298 §2, §5. */
export class RoundTrip {
  #smoothed: number | null = null
  #variation = 0
  #timeout = LEAST_MS

  /** Timeout for an acknowledgment, in milliseconds. */
  get timeoutMs(): number {
    return this.#timeout
  }

  /** Takes the time that an acknowledgment took, of a segment that was sent once (Karn's algorithm). */
  sample(milliseconds: number): void {
    if (this.#smoothed === null) {
      this.#smoothed = milliseconds
      this.#variation = milliseconds / 2
    } else {
      this.#variation += (Math.abs(this.#smoothed - milliseconds) - this.#variation) / 4
      this.#smoothed += (milliseconds - this.#smoothed) / 8
    }
    this.#timeout = limit(this.#smoothed + Math.max(GRANULARITY_MS, 4 * this.#variation))
  }

  /** Doubles the timeout, as no acknowledgment came. */
  backOff(): void {
    this.#timeout = limit(2 * this.#timeout)
  }
}

const limit = (milliseconds: number): number => Math.min(MOST_MS, Math.max(LEAST_MS, milliseconds))
