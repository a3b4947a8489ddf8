import { Alarm } from '../clock.ts'
import {
  finishTcp,
  makeTcp,
  OUR_MSS,
  sackOption,
  synOptions,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
  type TcpSegment,
} from '../frames/tcp.ts'
import { ReceiveQueue } from './receive-queue.ts'
import { OUR_SHIFT, ReceiveWindow, type TcpEnd, type TcpOptions } from './receive-window.ts'
import { Sender } from './sender.ts'

type State = 'syn-sent' | 'syn-received' | 'open' | 'time-wait' | 'closed'

const DELAYED_ACK_MS = 40
/** Twice the maximum segment lifetime, as Linux has it; RFC 9293 §3.4.2 would have minutes. */
const TIME_WAIT_MS = 60_000
/** RFC 9293 §3.8.4: no less than two hours. */
const KEEP_ALIVE_MS = 7_200_000
const KEEP_ALIVE_PROBE_MS = 75_000
const KEEP_ALIVE_PROBES = 9
/** Least time between answers to empty segments that fit nowhere: two ends that disagree would answer each other for ever. */
const CHALLENGE_INTERVAL_MS = 500
const LEAST_MSS = 64
const DEFAULT_MSS = 536

/**
 * One end of a TCP connection. FIN-WAIT, CLOSE-WAIT, CLOSING and LAST-ACK are one state here, `open`: whether each
 * direction has ended says which.
 *
 * Source: RFC 9293 §3.10; RFC 5961 (resets); RFC 7323 §2 (window scale); RFC 2018 (selective acknowledgment).
 */
export class TcpConnection {
  readonly #options: TcpOptions
  readonly #sender: Sender
  readonly #queue: ReceiveQueue
  readonly #window: ReceiveWindow
  readonly #delayedAck: Alarm
  readonly #timer: Alarm
  #state: State
  /** The peer's first sequence number. */
  #remoteInitial = 0
  #peerShift = 0
  #sack = false
  /** Position of the peer's FIN; null: not seen yet. */
  #finAt: number | null = null
  #finTaken = false
  /** The peer has ended its stream before ours: it waits for late segments, and we need not. */
  #peerEndedFirst = false
  #unacknowledged = 0
  #probes = 0
  #challengedMs = -Infinity

  /**
   * @param options - the ends, and the way out
   * @param syn - the segment that asks for the connection; absent: we ask for it
   */
  constructor(options: TcpOptions, syn?: TcpSegment) {
    const { clock, budget } = options
    this.#options = options
    this.#queue = new ReceiveQueue(budget)
    this.#window = new ReceiveWindow(this.#queue)
    this.#sender = new Sender(clock, budget, {
      emit: (position, length, flags) => this.#emit(position, length, flags),
      gaveUp: () => {
        this.#reset()
        this.#close('timeout')
      },
    })
    this.#delayedAck = new Alarm(clock, () => this.#acknowledge())
    this.#timer = new Alarm(clock, () => this.#onTimer())
    this.#state = syn === undefined ? 'syn-sent' : 'syn-received'
    if (syn !== undefined) this.#takeSyn(syn)
    this.#sender.open()
  }

  /** Whether the peer has ended its stream, and all data was read. */
  get atEnd(): boolean {
    return this.#finTaken && this.#queue.readable === 0
  }

  /** Whether the connection only waits for late segments. */
  get isLingering(): boolean {
    return this.#state === 'time-wait'
  }

  /** Queues bytes to send. @returns how many were taken; `writable` reports room for more */
  write(bytes: Uint8Array): number {
    return this.#state === 'closed' || this.#state === 'time-wait' ? 0 : this.#sender.write(bytes)
  }

  /** Ends our stream. The peer's goes on. */
  end(): void {
    if (this.#state !== 'closed') this.#sender.end()
  }

  /** Reads received bytes. @returns null if none are available */
  read(most: number): Uint8Array | null {
    const bytes = this.#queue.read(most)
    if (bytes !== null && this.#state === 'open' && !this.#finTaken && this.#window.isWorthTelling) this.#acknowledge()
    if (this.#state === 'time-wait' && this.#peerEndedFirst && this.atEnd) this.#timer.set(0)
    return bytes
  }

  /** Ends both streams at once. */
  abort(): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'time-wait') this.#reset()
    this.#close('aborted')
  }

  /** Takes a segment of this connection. */
  receive(segment: TcpSegment): void {
    if (this.#state === 'closed') return
    if (this.#state === 'syn-sent') this.#receiveInSynSent(segment)
    else this.#receiveSynchronized(segment)
  }

  #receiveInSynSent(segment: TcpSegment): void {
    const { flags, acknowledgment } = segment
    const accepts = (flags & TCP_ACK) !== 0 && acknowledgment === this.#sequence(0)
    if ((flags & TCP_ACK) !== 0 && !accepts) {
      if ((flags & TCP_RST) === 0) this.#send({ sequence: acknowledgment, flags: TCP_RST })
      return
    }
    if ((flags & TCP_RST) !== 0) {
      if (accepts) this.#close('refused')
      return
    }
    if ((flags & TCP_SYN) === 0) return
    this.#takeSyn(segment)
    if (!accepts) {
      // Simultaneous open (RFC 9293, 3.5).
      this.#state = 'syn-received'
      this.#emit(-1, 0, 0)
      return
    }
    this.#state = 'open'
    this.#sender.acknowledge({ position: 0, window: segment.window, at: -1, isPure: false })
    this.#acknowledge()
    this.#opened()
  }

  #receiveSynchronized(segment: TcpSegment): void {
    const { flags, payload } = segment
    const expected = this.#expected
    const start = this.#position(segment.sequence)
    const end = start + payload.length + ((flags & TCP_FIN) !== 0 ? 1 : 0)
    const edge = Math.max(this.#window.edge, expected)
    const length = end - start
    // RFC 9293 §3.10.7.4, table 6. The first byte of an empty window may be asked after.
    const fits = length === 0 ? start >= expected && start <= edge : start < edge && end > expected && edge > expected
    if ((flags & TCP_RST) !== 0) {
      if (start === expected) this.#close(this.#state === 'syn-received' ? 'refused' : 'reset')
      else if (start > expected && start < edge) this.#challenge(true)
      return
    }
    if ((flags & TCP_SYN) !== 0) {
      // Our SYN and acknowledgment were lost.
      if (this.#state === 'syn-received' && start === -1) this.#emit(-1, 0, 0)
      else this.#challenge(true)
      return
    }
    if ((flags & TCP_ACK) === 0) return
    if (!fits && !(start === expected && edge === expected)) {
      if (this.#state === 'time-wait') this.#timer.set(TIME_WAIT_MS)
      this.#challenge(length === 0)
      return
    }
    if (!this.#takeAcknowledgment(segment, start, length === 0)) return
    if (length === 0) return
    if (!fits) {
      this.#challenge(false)
      return
    }
    this.#takeData(segment, start)
  }

  /** @returns false where the rest of the segment does not count, or the connection is no more */
  #takeAcknowledgment(segment: TcpSegment, start: number, isPure: boolean): boolean {
    const una = this.#sender.una
    const position = una + ((segment.acknowledgment - this.#sequence(una)) | 0)
    if (position > this.#sender.highest) {
      if (this.#state === 'syn-received') this.#send({ sequence: segment.acknowledgment, flags: TCP_RST })
      else this.#challenge(isPure)
      return false
    }
    if (this.#state === 'syn-received') {
      if (position < 0) return false
      this.#state = 'open'
      this.#grant(segment, position, start, isPure)
      this.#opened()
    } else if (this.#grant(segment, position, start, isPure) && this.#sender.room > 0 && !this.#sender.isFinished) {
      this.#options.client.writable()
    }
    if (this.#state === 'open') this.#keepAlive()
    this.#checkFinished()
    // The client may have ended the connection meanwhile.
    return (this.#state as State) !== 'closed'
  }

  #grant({ window }: TcpSegment, position: number, at: number, isPure: boolean): boolean {
    return this.#sender.acknowledge({ position, window: window * 2 ** this.#peerShift, at, isPure })
  }

  #takeData({ payload, flags }: TcpSegment, start: number): void {
    const queue = this.#queue
    if (this.#finTaken) {
      // The peer has not seen that we have its FIN.
      if (this.#state === 'time-wait') this.#timer.set(TIME_WAIT_MS)
      this.#acknowledge()
      return
    }
    if ((flags & TCP_FIN) !== 0) this.#finAt ??= start + payload.length
    const hadGap = queue.hasGap
    // Bytes after the FIN are dropped.
    const most = this.#finAt === null ? payload.length : Math.max(0, this.#finAt - start)
    const moved = payload.length > 0 && queue.put(start, payload.subarray(0, most))
    const ends = queue.next === this.#finAt
    if (ends) {
      this.#finTaken = true
      this.#peerEndedFirst = !this.#sender.isEnding
    }
    this.#unacknowledged += payload.length
    // RFC 5681 §4.2: at once where the peer waits for it; otherwise every second full segment, or a moment later.
    if (ends || !moved || hadGap || this.#unacknowledged >= 2 * OUR_MSS) this.#acknowledge()
    else if (!this.#delayedAck.isSet) this.#delayedAck.set(DELAYED_ACK_MS)
    if (moved || ends) this.#options.client.readable()
    this.#checkFinished()
  }

  /** Both directions have ended: the one that ended first waits for late segments. */
  #checkFinished(): void {
    if (this.#state !== 'open' || !this.#sender.isFinished || !this.#finTaken) return
    this.#sender.close()
    this.#delayedAck.close()
    if (this.#peerEndedFirst && this.#queue.readable === 0) {
      this.#close('finished')
      return
    }
    // Received bytes can still be read.
    this.#state = 'time-wait'
    this.#timer.set(TIME_WAIT_MS)
  }

  #opened(): void {
    this.#keepAlive()
    this.#options.client.connected()
  }

  #takeSyn({ sequence, mss, windowShift, sackPermitted, window }: TcpSegment): void {
    this.#remoteInitial = sequence
    this.#peerShift = windowShift ?? 0
    this.#sack = sackPermitted
    this.#sender.configure(Math.min(OUR_MSS, Math.max(LEAST_MSS, mss ?? DEFAULT_MSS)), window, -1)
    this.#window.begin(windowShift === null ? 0 : OUR_SHIFT)
  }

  /** Position that the peer is to send next, its FIN included. */
  get #expected(): number {
    return this.#queue.next + (this.#finTaken ? 1 : 0)
  }

  /** Sequence number of a position of ours. */
  #sequence(position: number): number {
    return (this.#options.initialSequence + 1 + position) >>> 0
  }

  /** Position of a sequence number of the peer's. */
  #position(sequence: number): number {
    const expected = this.#expected
    return expected + ((sequence - this.#remoteSequence(expected)) | 0)
  }

  #remoteSequence(position: number): number {
    return (this.#remoteInitial + 1 + position) >>> 0
  }

  /** Sends a segment of our stream. */
  #emit(position: number, length: number, flags: number): void {
    const isSyn = position === -1 && (this.#state === 'syn-sent' || this.#state === 'syn-received')
    if (isSyn) {
      const isFirst = this.#state === 'syn-sent'
      const options = synOptions(isFirst || this.#window.isScaled ? OUR_SHIFT : null, isFirst || this.#sack)
      this.#send({
        sequence: this.#sequence(-1),
        flags: TCP_SYN | (isFirst ? 0 : TCP_ACK),
        window: this.#window.initial,
        options,
      })
      return
    }
    this.#send({ sequence: this.#sequence(position), flags: flags | TCP_ACK, position, length })
  }

  /** Sends an acknowledgment. */
  #acknowledge(): void {
    const blocks = this.#sack && this.#queue.hasGap ? this.#queue.blocks() : []
    const runs = blocks.map(([from, to]) => [this.#remoteSequence(from), this.#remoteSequence(to)] as const)
    this.#send({
      sequence: this.#sequence(this.#sender.acknowledgeFrom),
      flags: TCP_ACK,
      ...(runs.length > 0 && { options: sackOption(runs) }),
    })
  }

  /**
   * Acknowledges the expected sequence number, to a segment outside the window. Source: RFC 5961 §3 to §5.
   *
   * @param isEmpty - whether the segment has no data; a sender of data would wait for an acknowledgment
   */
  #challenge(isEmpty: boolean): void {
    const now = this.#options.clock.now()
    if (isEmpty && now - this.#challengedMs < CHALLENGE_INTERVAL_MS) return
    if (isEmpty) this.#challengedMs = now
    this.#acknowledge()
  }

  #send(segment: {
    readonly sequence: number
    readonly flags: number
    readonly window?: number
    readonly options?: Uint8Array
    readonly position?: number
    readonly length?: number
  }): void {
    const { sequence, flags, options, position = 0, length = 0 } = segment
    let acknowledgment = 0
    let window = segment.window ?? 0
    if ((flags & TCP_ACK) !== 0) {
      acknowledgment = this.#remoteSequence(this.#expected)
      window = segment.window ?? this.#window.advertise()
      this.#unacknowledged = 0
      this.#delayedAck.clear()
    }
    const header = { sequence, acknowledgment, flags, window, ...(options !== undefined && { options }) }
    const frame = makeTcp(this.#options, header, length)
    if (length > 0) this.#sender.buffer.copy(position, length, frame.frame, frame.payloadAt)
    this.#options.transmit(finishTcp(frame, this.#options))
  }

  #keepAlive(): void {
    this.#probes = 0
    this.#timer.set(KEEP_ALIVE_MS)
  }

  #onTimer(): void {
    if (this.#state === 'time-wait') {
      if (this.#queue.readable === 0) this.#close('finished')
      else this.#timer.set(TIME_WAIT_MS)
      return
    }
    if (this.#probes++ === KEEP_ALIVE_PROBES) {
      this.#reset()
      this.#close('timeout')
      return
    }
    this.#sender.keepAlive()
    this.#timer.set(KEEP_ALIVE_PROBE_MS)
  }

  #reset(): void {
    this.#send({ sequence: this.#sequence(this.#sender.acknowledgeFrom), flags: TCP_RST | TCP_ACK })
  }

  #close(end: TcpEnd): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#sender.close()
    this.#queue.close()
    this.#delayedAck.close()
    this.#timer.close()
    this.#options.client.closed(end)
  }
}
