import { IoreqError } from '../../errors.ts'
import { decodeFrame, encodeFrame } from '../frame-coding.ts'
import type { Frame } from '../frames.ts'
import { dataPacket, type PacketSocket } from './packet-socket.ts'

/*
 * Frames over a connection that may break. Each frame has a number; the receiver says which it has, the sender keeps
 * what has not been acknowledged and sends it again over the next connection. So every frame arrives once and in order,
 * however often the connection is lost: a request is never made twice, and an answer that was under way is sent again.
 */

/** Bytes that wait for an acknowledgement, above which a sender should wait for {@link Session.drained}. */
const HIGH_WATER = 1 << 20
/** Bytes above which the receiver has given up on us. */
const LIMIT = 1 << 26
/** Frames after which a receiver acknowledges at once; otherwise at the end of the event loop's turn. */
const ACK_EVERY = 64

/** One end of a conversation that outlives its connections. */
export class Session {
  readonly #onFrame: (frame: Frame) => void
  readonly #onLost: (error: Error | null) => void
  readonly #onEnded: (why: string) => void
  /** Sent and not acknowledged: packets from number `#acked + 1` on. */
  #unacked: Uint8Array[] = []
  #unackedBytes = 0
  #acked = 0
  #sent = 0
  #received = 0
  #acknowledged = 0
  #ackPlanned = false
  #socket: PacketSocket | null = null
  #drained: (() => void)[] = []
  #paused = false
  #closed = false

  /**
   * @param onFrame - may throw: the session then ends with the error
   * @param onLost - the connection is lost; with an error there must not be another
   * @param onEnded - the other side has ended the session, and may say why
   */
  constructor(onFrame: (frame: Frame) => void, onLost: (error: Error | null) => void, onEnded: (why: string) => void) {
    this.#onFrame = onFrame
    this.#onLost = onLost
    this.#onEnded = onEnded
  }

  /** Number of the last frame that has arrived. */
  get received(): number {
    return this.#received
  }

  get connected(): boolean {
    return this.#socket !== null
  }

  /** Nothing is sent or taken any more. */
  get closed(): boolean {
    return this.#closed
  }

  /** False: the receiver lags. Wait for `drained`. */
  get writable(): boolean {
    return this.#unackedBytes < HIGH_WATER
  }

  /** Settles when `writable`, or when the session has ended. */
  drained(): Promise<void> {
    if (this.writable || this.#closed) return Promise.resolve()
    return new Promise((resolve) => this.#drained.push(resolve))
  }

  /** Takes no frames until `resume`: the other side is held back by what it has not had acknowledged. */
  pause(): void {
    this.#paused = true
    this.#socket?.pause()
  }

  /** Takes frames again. */
  resume(): void {
    this.#paused = false
    this.#socket?.resume()
  }

  /** Goes on over a socket whose other side has all up to frame `peerReceived`. */
  connect(socket: PacketSocket, peerReceived: number): void {
    this.#socket?.socket.destroy()
    this.#socket = socket
    socket.onData = (number, bytes) => this.#data(number, bytes)
    socket.onAck = (number) => this.#ack(number)
    socket.onBye = (why) => {
      if (this.#closed) return
      this.close()
      this.#onEnded(why)
    }
    if (this.#paused) socket.pause()
    socket.onEnd = (error) => {
      if (this.#socket !== socket) return
      this.#socket = null
      if (!this.#closed) this.#onLost(error)
    }
    this.#ack(peerReceived)
    for (const bytes of this.#unacked) socket.socket.write(bytes)
  }

  send(frame: Frame): void {
    if (this.#closed) return
    this.#sent = (this.#sent + 1) >>> 0
    // The frame's own length is the packet's business.
    const bytes = dataPacket(this.#sent, encodeFrame(frame).subarray(4))
    this.#unacked.push(bytes)
    this.#unackedBytes += bytes.length
    if (this.#unackedBytes > LIMIT) {
      this.#fail(new IoreqError('ERR_NO_SPACE', `the other side has not taken the last ${LIMIT} bytes`))
      return
    }
    this.#socket?.socket.write(bytes)
  }

  #fail(error: Error): void {
    this.close()
    this.#onLost(error)
  }

  #ack(number: number): void {
    const count = (number - this.#acked) >>> 0
    if (count > this.#unacked.length) {
      this.#fail(new IoreqError('ERR_PROTOCOL', `frame ${number} was acknowledged, ${this.#sent} is the last`))
      return
    }
    for (const bytes of this.#unacked.splice(0, count)) this.#unackedBytes -= bytes.length
    this.#acked = number
    if (this.writable) for (const resolve of this.#drained.splice(0)) resolve()
  }

  #data(number: number, bytes: Uint8Array): void {
    if (this.#closed) return
    const ahead = (number - this.#received) >>> 0
    // Sent again over a new connection although it had arrived.
    if (ahead === 0 || ahead > 0x7fff_ffff) return
    if (ahead !== 1) {
      this.#fail(new IoreqError('ERR_PROTOCOL', `frame ${number} follows ${this.#received}`))
      return
    }
    this.#received = number
    this.#planAck()
    try {
      this.#onFrame(decodeFrame(bytes))
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #planAck(): void {
    if ((this.#received - this.#acknowledged) >>> 0 >= ACK_EVERY) {
      this.#sendAck()
      return
    }
    if (this.#ackPlanned) return
    this.#ackPlanned = true
    setImmediate(() => {
      this.#ackPlanned = false
      this.#sendAck()
    })
  }

  #sendAck(): void {
    if (this.#acknowledged === this.#received || this.#socket === null) return
    this.#acknowledged = this.#received
    this.#socket.ack(this.#received)
  }

  /** Ends the conversation; what has been sent still goes out. @param why - for the other side's people */
  close(why = ''): void {
    if (this.#closed) return
    this.#closed = true
    this.#sendAck()
    this.#socket?.finish(why)
    this.#socket = null
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}
