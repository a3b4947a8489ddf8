import { get16, put16 } from '../frames/bytes.ts'
import type { TcpSocket, TcpSocketClient } from '../sockets.ts'
import type { DnsForwarder } from './dns.ts'

/** Bytes of the length in front of each message. */
const LENGTH_BYTES = 2

/**
 * A guest's TCP connection to the name server. Questions are answered one after the other, so that a guest that asks much and
 * reads nothing has us keep one answer.
 *
 * Source: RFC 7766 §5 and §8; RFC 1035 §4.2.2.
 */
export class DnsStream implements TcpSocket {
  readonly #dns: DnsForwarder
  readonly #client: TcpSocketClient
  #received: Uint8Array = new Uint8Array(0)
  #isAsking = false
  #paused = false
  /** `write` has asked to wait. */
  #full = false
  #guestEnded = false
  #over = false

  /** @param soon - calls back when the present call has returned */
  constructor(dns: DnsForwarder, client: TcpSocketClient, soon: (callback: () => void) => void) {
    this.#dns = dns
    this.#client = client
    soon(() => {
      if (!this.#over) client.connected()
    })
  }

  write(bytes: Uint8Array): boolean {
    const received = new Uint8Array(this.#received.length + bytes.length)
    received.set(this.#received)
    received.set(bytes, this.#received.length)
    this.#received = received
    this.#next()
    this.#full = this.#isAsking || this.#paused
    return !this.#full
  }

  end(): void {
    this.#guestEnded = true
    this.#next()
  }

  abort(): void {
    this.#over = true
    this.#received = new Uint8Array(0)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#next()
  }

  /** Handles the next query, if it is complete. */
  #next(): void {
    if (this.#over || this.#isAsking || this.#paused) return
    const question = this.#take()
    if (question !== null) this.#ask(question)
    else if (this.#full) {
      this.#full = false
      this.#client.drained()
    } else if (this.#guestEnded) {
      this.#over = true
      this.#client.ended()
      this.#client.closed('finished')
    }
  }

  #take(): Uint8Array | null {
    const bytes = this.#received
    if (bytes.length < LENGTH_BYTES) return null
    const end = LENGTH_BYTES + get16(bytes, 0)
    if (bytes.length < end) return null
    this.#received = bytes.subarray(end)
    return bytes.subarray(LENGTH_BYTES, end)
  }

  #ask(question: Uint8Array): void {
    this.#isAsking = true
    const answered = (answer: Uint8Array): void => {
      this.#isAsking = false
      if (this.#over) return
      const message = new Uint8Array(LENGTH_BYTES + answer.length)
      put16(message, 0, answer.length)
      message.set(answer, LENGTH_BYTES)
      this.#client.data(message)
      this.#next()
    }
    if (this.#dns.receive(question, answered, true)) return
    // An invalid query, or too many of them: closing the connection is the only way to refuse.
    this.abort()
    this.#client.closed('reset')
  }
}
