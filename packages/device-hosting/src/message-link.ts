import { IoreqError } from '@retrap/ioreq'
import { decodeFrame, encodeFrame } from './frame-coding.ts'
import { MAX_FRAME_BYTES, type Frame } from './frames.ts'

/** The part of a `MessagePort` that is used: a page's, a Worker's, or Node's. */
export interface FramePort {
  /** Sends a message. */
  postMessage(message: unknown): void
  /** Calls `listener` with each message. */
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void
  /** Begins to receive messages. */
  start(): void
  /** Ends the port. */
  close(): void
}

/** Frames after which a receiver acknowledges all that it has taken. */
const ACK_EVERY = 64
/** Frames on their way, above which a sender that can wait does. */
const HIGH_WATER = 1024
const LENGTH_BYTES = 4

/** Frames over a message port: each a message of bytes; a message that is a number says how many were taken. */
export class MessageLink {
  readonly #port: FramePort
  readonly #onFrame: (frame: Frame) => void
  readonly #onError: (error: unknown) => void
  #underWay = 0
  #taken = 0
  #closed = false
  /** Called when `writable` is true again. */
  onDrained: (() => void) | null = null

  /**
   * @param onFrame - may throw
   * @param onError - the other end does not keep to the protocol
   */
  constructor(port: FramePort, onFrame: (frame: Frame) => void, onError: (error: unknown) => void) {
    this.#port = port
    this.#onFrame = onFrame
    this.#onError = onError
  }

  /** Begins to take messages. */
  start(): void {
    this.#port.addEventListener('message', ({ data }) => this.#receive(data))
    this.#port.start()
  }

  /** False: the receiver lags. */
  get writable(): boolean {
    return this.#underWay < HIGH_WATER
  }

  send(frame: Frame): void {
    if (this.#closed) return
    this.#underWay++
    // A message has a length of its own.
    this.#port.postMessage(encodeFrame(frame).slice(LENGTH_BYTES))
  }

  /** `onDrained` is called when the receiver does not lag any more. */
  lags(): void {}

  close(): void {
    this.#closed = true
    this.#port.close()
  }

  #receive(data: unknown): void {
    if (this.#closed) return
    try {
      if (typeof data === 'number') this.#acknowledged(data)
      else this.#take(data)
    } catch (error) {
      this.#onError(error)
    }
  }

  #acknowledged(count: number): void {
    if (!Number.isInteger(count) || count < 1 || count > this.#underWay)
      throw new IoreqError('ERR_PROTOCOL', `${count} frames were taken, and ${this.#underWay} were under way`)
    const was = this.writable
    this.#underWay -= count
    if (!was && this.writable) this.onDrained?.()
  }

  #take(data: unknown): void {
    if (!(data instanceof Uint8Array) || data.length > MAX_FRAME_BYTES)
      throw new IoreqError('ERR_PROTOCOL', 'a message that is no frame')
    if (++this.#taken === ACK_EVERY) {
      this.#port.postMessage(this.#taken)
      this.#taken = 0
    }
    this.#onFrame(decodeFrame(data))
  }
}
