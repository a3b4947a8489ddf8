import { Stateful } from '@retrap/device'
import type { GuestPage } from '../shared/guest-page.ts'
import type { StoreService } from './store.ts'
import type { StoreClient } from './store-client.ts'
import {
  answerStoreMessage,
  readStoreHeader,
  storeWatchEvent,
  STORE_HEADER_BYTES,
  STORE_PAYLOAD_MAX,
} from './store-wire.ts'

/* struct xenstore_domain_interface (public/io/xs_wire.h). */
const RING_BYTES = 1024
const REQUESTS = 0
const RESPONSES = 1024
const REQ_CONS = 2048
const REQ_PROD = 2052
const RSP_CONS = 2056
const RSP_PROD = 2060
const SERVER_FEATURES = 2064
const CONNECTION = 2068
const ERROR = 2072

const FEATURE_RECONNECTION = 1
const FEATURE_ERROR = 2
const CONNECTION_RECONNECT = 1
const ERROR_RING_INDEX = 2
const ERROR_PROTOCOL = 3

const NOTHING = new Uint8Array(0)
/** Answers that wait for room: while there are more bytes, no further request is read. */
const BACKLOG_BYTES = 64 * 1024
/**
 * One request can change a thousand nodes that a hundred watches are about: of the events that would take more than this,
 * none are kept.
 */
const EVENT_BACKLOG_BYTES = 4 * 1024 * 1024

/**
 * The store's end of a guest's ring.
 *
 * Indices run freely and the guest can write them all: what is more than the ring holds is a broken ring, which is said
 * in the page and left alone until the guest connects anew.
 */
export class StoreRing extends Stateful {
  readonly #store: StoreService
  readonly #page: GuestPage
  readonly #notify: () => void
  #client: StoreClient
  readonly #domain: number
  /** The incoming message, and the number of bytes received. */
  readonly #incoming: Uint8Array = new Uint8Array(STORE_HEADER_BYTES + STORE_PAYLOAD_MAX)
  #received = 0
  /**
   * Messages for the guest, oldest first, and how much of the first was sent. Watch events are keyed by path and token:
   * one pending event is enough.
   */
  readonly #outgoing = new Map<string, Uint8Array>()
  #outgoingBytes = 0
  #serving = false
  /** The ring is restored after the store; its page comes with machine memory. */
  readonly #r = this.keeps({
    version: 2,
    // Bytes of the message that is arriving.
    incoming: {
      save: () => this.#incoming.slice(0, this.#received),
      restore: (bytes: Uint8Array) => {
        this.#forget()
        this.#incoming.set(bytes)
        this.#received = bytes.length
      },
    },
    // Messages for the guest by name, oldest first.
    outgoing: {
      save: () => [...this.#outgoing],
      restore: (messages: readonly (readonly [key: string, bytes: Uint8Array])[]) => {
        for (const [key, bytes] of messages) this.#queue(key, bytes.slice())
      },
    },
    /** Bytes of the first message that the guest has. */
    sent: 0,
    /** Number of answered requests. */
    answers: 0,
    broken: false,
    client: () => this.#client,
  })

  /** @param notify - tells the guest that its ring has changed */
  constructor(store: StoreService, page: GuestPage, domain: number, notify: () => void) {
    super()
    this.#store = store
    this.#page = page
    this.#domain = domain
    this.#notify = notify
    this.#client = this.#connect()
    this.#page.write32(SERVER_FEATURES, FEATURE_RECONNECTION | FEATURE_ERROR)
  }

  #connect(): StoreClient {
    const client = this.#store.connect(this.#domain)
    client.onWatch = (path, token) => this.#watchEvent(path, token)
    return client
  }

  /** Power-on: the page is as new. */
  override reset(): void {
    this.#forget()
    for (let at = REQ_CONS; at <= ERROR; at += 4) this.#page.write32(at, 0)
    this.#page.write32(SERVER_FEATURES, FEATURE_RECONNECTION | FEATURE_ERROR)
  }

  #forget(): void {
    this.#client.reset()
    this.#client = this.#connect()
    this.#received = 0
    this.#outgoing.clear()
    this.#outgoingBytes = 0
    this.#r.sent = 0
    this.#r.broken = false
  }

  #watchEvent(path: string, token: string): void {
    if (this.#outgoingBytes > EVENT_BACKLOG_BYTES) return
    const key = `${path}\0${token}`
    if (this.#outgoing.has(key)) return
    const event = storeWatchEvent(path, token)
    if (event === null) return
    this.#queue(key, event)
    // While a request is executed, all messages are sent at its end.
    if (!this.#serving) this.service()
  }

  #queue(key: string, bytes: Uint8Array): void {
    this.#outgoing.set(key, bytes)
    this.#outgoingBytes += bytes.length
  }

  /** Moves as much data as possible, after an event from the guest or new output. */
  service(): void {
    if (this.#serving) return
    this.#serving = true
    const moved = this.#serve()
    this.#serving = false
    if (moved) this.#notify()
  }

  #serve(): boolean {
    const page = this.#page
    if (page.read32(CONNECTION) === CONNECTION_RECONNECT) return this.#reconnect()
    let moved = false
    for (;;) {
      if (this.#r.broken) return moved
      const sent = this.#send()
      const received = this.#outgoingBytes < BACKLOG_BYTES && this.#receive()
      if (!sent && !received) return moved
      moved = true
    }
  }

  #reconnect(): boolean {
    this.#forget()
    for (const index of [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, ERROR]) this.#page.write32(index, 0)
    this.#page.write32(CONNECTION, 0)
    return true
  }

  #fail(error: number): void {
    this.#r.broken = true
    this.#client.reset()
    this.#page.write32(ERROR, error)
  }

  /** @returns whether bytes were taken off the ring */
  #receive(): boolean {
    const page = this.#page
    const consumer = page.read32(REQ_CONS)
    const available = (page.read32(REQ_PROD) - consumer) >>> 0
    if (available > RING_BYTES) {
      this.#fail(ERROR_RING_INDEX)
      return false
    }
    if (available === 0) return false
    const wanted = this.#wanted() - this.#received
    const count = Math.min(available, wanted)
    page.readRing(REQUESTS, RING_BYTES, consumer, this.#incoming.subarray(this.#received, this.#received + count))
    this.#received += count
    page.write32(REQ_CONS, (consumer + count) >>> 0)
    if (this.#received < STORE_HEADER_BYTES) return true
    const header = readStoreHeader(this.#incoming)
    if (header.length > STORE_PAYLOAD_MAX) {
      this.#fail(ERROR_PROTOCOL)
      return true
    }
    const length = STORE_HEADER_BYTES + header.length
    if (this.#received < length) return true
    this.#received = 0
    // Events caused by a request follow its response, whose place is reserved here.
    const key = `answer ${this.#r.answers++}`
    this.#outgoing.set(key, NOTHING)
    const answer = answerStoreMessage(this.#client, header, this.#incoming.slice(STORE_HEADER_BYTES, length))
    this.#queue(key, answer)
    return true
  }

  /** Bytes of the message that arrives, as far as they are known. */
  #wanted(): number {
    if (this.#received < STORE_HEADER_BYTES) return STORE_HEADER_BYTES
    return STORE_HEADER_BYTES + readStoreHeader(this.#incoming).length
  }

  /** @returns whether bytes were put on the ring */
  #send(): boolean {
    const page = this.#page
    let moved = false
    for (const [key, first] of this.#outgoing) {
      const producer = page.read32(RSP_PROD)
      const used = (producer - page.read32(RSP_CONS)) >>> 0
      if (used > RING_BYTES) {
        this.#fail(ERROR_RING_INDEX)
        return moved
      }
      const count = Math.min(RING_BYTES - used, first.length - this.#r.sent)
      if (count === 0) return moved
      page.writeRing(RESPONSES, RING_BYTES, producer, first.subarray(this.#r.sent, this.#r.sent + count))
      page.write32(RSP_PROD, (producer + count) >>> 0)
      this.#r.sent += count
      moved = true
      if (this.#r.sent < first.length) return moved
      this.#r.sent = 0
      this.#outgoing.delete(key)
      this.#outgoingBytes -= first.length
    }
    return moved
  }
}
