import type { GuestPage } from '../shared/guest-page.ts'

/* struct xencons_interface (public/io/console.h). */
const IN = 0
const IN_BYTES = 1024
const OUT = 1024
const OUT_BYTES = 2048
const IN_CONS = 3072
const IN_PROD = 3076
const OUT_CONS = 3080
const OUT_PROD = 3084

/** So many typed bytes may wait for the guest before the sender holds back, and half of that when it goes on. */
const WAITING_BYTES = 16_384

/** A guest's console ring, from outside: hvc0 of Linux. */
export interface XenConsole {
  /** Names the listener that gets all that the guest prints, and may keep the bytes. */
  onTransmit(listener: (bytes: Uint8Array) => void): void
  /**
   * Queues bytes until the guest takes them.
   *
   * @returns false once 16 KiB wait: these bytes are queued too, and the sender should hold back until `onDrain`
   */
  receive(bytes: Uint8Array): boolean
  /** Names the listener that hears that the guest has taken most bytes after `receive` returned false. */
  onDrain(listener: () => void): void
}

/**
 * The host's end of a guest's console ring. Indices that claim more than the rings hold are a guest's mistake: what is
 * there is dropped, and the ring goes on from where the guest says it is.
 */
export class ConsoleRing {
  readonly #page: GuestPage
  readonly #notify: () => void
  readonly #transmit: (bytes: Uint8Array) => void
  /** Typed bytes that are not in the ring yet. */
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #full = false
  /** Called when the guest has taken most of the bytes after `receive` returned false. */
  drained: () => void = () => undefined

  /**
   * @param transmit - gets the guest's output, and may keep the bytes
   * @param notify - tells the guest that its ring has changed
   */
  constructor(page: GuestPage, transmit: (bytes: Uint8Array) => void, notify: () => void) {
    this.#page = page
    this.#transmit = transmit
    this.#notify = notify
  }

  /** Power-on: the page is as new. */
  reset(): void {
    this.#waiting = []
    this.#waitingBytes = 0
    this.#tellOfRoom()
    for (const index of [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD]) this.#page.write32(index, 0)
  }

  /** Queues input for the guest. @returns false where so much waits that the sender should hold back */
  receive(bytes: Uint8Array): boolean {
    this.#waiting.push(bytes.slice())
    this.#waitingBytes += bytes.length
    this.#full = this.#waitingBytes >= WAITING_BYTES
    this.service()
    return !this.#full
  }

  /** Moves as much data as possible, after an event from the guest or new input. */
  service(): void {
    const printed = this.#take()
    const typed = this.#give()
    if (printed !== undefined || typed) this.#notify()
    if (printed !== undefined && printed.length > 0) this.#transmit(printed)
    this.#tellOfRoom()
  }

  #tellOfRoom(): void {
    if (!this.#full || this.#waitingBytes > WAITING_BYTES / 2) return
    this.#full = false
    this.drained()
  }

  #take(): Uint8Array | undefined {
    const page = this.#page
    const consumer = page.read32(OUT_CONS)
    const producer = page.read32(OUT_PROD)
    const count = (producer - consumer) >>> 0
    if (count === 0) return undefined
    const bytes = new Uint8Array(count > OUT_BYTES ? 0 : count)
    page.readRing(OUT, OUT_BYTES, consumer, bytes)
    page.write32(OUT_CONS, producer)
    return bytes
  }

  #give(): boolean {
    const page = this.#page
    let moved = false
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const producer = page.read32(IN_PROD)
      const used = (producer - page.read32(IN_CONS)) >>> 0
      const count = Math.min(Math.max(0, IN_BYTES - used), first.length)
      if (count === 0) break
      page.writeRing(IN, IN_BYTES, producer, first.subarray(0, count))
      page.write32(IN_PROD, (producer + count) >>> 0)
      moved = true
      this.#waitingBytes -= count
      if (count === first.length) this.#waiting.shift()
      else this.#waiting[0] = first.subarray(count)
    }
    return moved
  }

  /** Typed bytes that are not in the ring yet. */
  save(): Uint8Array {
    const all = new Uint8Array(this.#waitingBytes)
    let at = 0
    for (const bytes of this.#waiting) {
      all.set(bytes, at)
      at += bytes.length
    }
    return all
  }

  restore(waiting: Uint8Array): void {
    this.#waiting = waiting.length === 0 ? [] : [waiting.slice()]
    this.#waitingBytes = waiting.length
    // A sender that holds back would wait for ever.
    this.#tellOfRoom()
  }
}
