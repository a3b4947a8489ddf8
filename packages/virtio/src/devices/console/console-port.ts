import { type ByteStreamBackend, Stateful } from '@retrap/device'
import type { VirtioChain } from '../../ring/chain.ts'
import type { VirtioQueue } from '../../queue.ts'

/** Bytes of a chain that are sent at a time. */
const MOST_BYTES = 0x1_0000

/** The part of its device that a port needs. */
export interface ConsolePortOwner {
  /** Receive and transmit queue; empty before the driver has set them up. */
  queues(): readonly VirtioQueue[]
  /** Requests another call of `transmit` soon. */
  lookAgain(): void
  /** The host's end has been closed. */
  ended(): void
}

/** One port: two queues, and a stream as back end. */
export class ConsolePort extends Stateful {
  readonly #stream: ByteStreamBackend
  readonly #owner: ConsolePortOwner
  readonly #r = this.keeps(
    {
      open: false,
      /** Bytes of the first chain that have been sent. */
      sent: 0,
      /** The host's end is closed; undefined: it is open. */
      hasEnded: undefined as true | undefined,
    },
    { recent: ['hasEnded'], lasting: ['hasEnded'] },
  )
  /** The driver has closed its end, and the stream has not been told yet. */
  #leaving = false
  /** Whether the stream offers bytes for which there was no buffer. */
  #starved = false
  /** The stream is full. */
  #full = false
  #sending: VirtioChain | null = null

  constructor(stream: ByteStreamBackend, owner: ConsolePortOwner) {
    super()
    this.#stream = stream
    this.#owner = owner
  }

  connect(): void {
    this.#stream.connect?.({
      receive: (bytes) => this.#receive(bytes),
      drained: () => {
        this.#full = false
        const [, queue] = this.#owner.queues()
        if (queue !== undefined) this.transmit(queue)
      },
      ended: () => {
        this.#r.hasEnded = true
        this.#owner.ended()
      },
    })
  }

  /** Whether the host's end is closed. */
  get hasEnded(): boolean {
    return this.#r.hasEnded === true
  }

  /** The driver opens or closes its end. */
  open(open: boolean): void {
    this.#leaving = this.#r.open && !open
    this.#r.open = open
    if (open) this.refilled()
    this.#leave()
  }

  /** Tells the stream that the driver has closed its end, once all that was given before has been sent. */
  #leave(): void {
    const [, queue] = this.#owner.queues()
    if (!this.#leaving || this.#sending !== null || queue?.isEmpty === false) return
    this.#leaving = false
    this.#stream.left?.()
  }

  #receive(bytes: Uint8Array): number {
    const [queue] = this.#owner.queues()
    let taken = 0
    while (this.#r.open && taken < bytes.length) {
      const chain = queue?.take() ?? null
      if (chain === null) break
      const part = bytes.subarray(taken, taken + chain.writable.length)
      if (!chain.writable.write(0, part)) break
      chain.complete(part.length)
      taken += part.length
    }
    this.#starved = taken < bytes.length
    return taken
  }

  /** Whether no input waits although the driver has the port open, and the queue has buffers. */
  isAtRest(receive: VirtioQueue | undefined): boolean {
    return !this.#starved || !this.#r.open || receive?.isEmpty !== false
  }

  /** Called when the driver has added buffers, for input that the stream has kept. */
  refilled(): void {
    if (!this.#starved || !this.#r.open) return
    this.#starved = false
    this.#stream.ready?.()
  }

  /** Sends the driver's output. */
  transmit(queue: VirtioQueue): void {
    for (let left = queue.size; !this.#full;) {
      this.#sending ??= queue.take()
      const chain = this.#sending
      if (chain === null) return this.#leave()
      const bytes = chain.readable.slice(this.#r.sent, Math.min(chain.readable.length - this.#r.sent, MOST_BYTES))
      if (bytes !== null && bytes.length > 0) {
        this.#r.sent += bytes.length
        this.#full = this.#stream.send(bytes) === false
      }
      // An unreadable chain is returned nevertheless.
      if (bytes === null || this.#r.sent === chain.readable.length) {
        this.#sending = null
        this.#r.sent = 0
        chain.complete(0)
      }
      if (--left > 0) continue
      // A chain may repeat the same memory up to 4 GiB, and a driver on another thread may add chains forever.
      return this.#owner.lookAgain()
    }
  }

  override reset(): void {
    super.reset()
    this.#leaving = false
    this.#sending = null
  }

  /** The chain that was being sent is taken again. */
  override restore(state: unknown): void {
    super.restore(state)
    this.#leaving = false
    this.#sending = null
    // The stream may have kept back earlier the bytes that it offers now.
    this.#starved = true
  }
}
