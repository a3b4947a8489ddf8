import { readIpv4 } from '../addresses.ts'
import { get16, put16, put32 } from '../frames/bytes.ts'
import type { Sockets, TcpSocket, TcpSocketClient } from '../sockets.ts'

export const DNS_PORT = 53
const HEADER = 12
const FLAG_RESPONSE = 0x8000
const FLAG_RECURSION_DESIRED = 0x0100
const FLAG_RECURSION_AVAILABLE = 0x0080
const SERVER_FAILURE = 2
const NO_SUCH_NAME = 3
const NOT_IMPLEMENTED = 4
const TYPE_A = 1
const TYPE_AAAA = 28
const CLASS_IN = 1
const TTL_SECONDS = 30
const MOST_ANSWERS = 24
/** Questions under way; more are dropped, and a guest asks again. */
const MOST_PENDING = 64

interface Question {
  readonly name: string
  readonly type: number
  readonly class: number
  /** Follows the question. */
  readonly end: number
}

/**
 * Answers a guest's questions for addresses as the host's programs see them, with its files of hosts; others go to the
 * host's name server. There is no IPv6 behind this network, and none is answered.
 *
 * Source: RFC 1035 §4; RFC 3596 §2.
 */
export class DnsForwarder {
  readonly #sockets: Sockets
  #pending = 0

  constructor(sockets: Sockets) {
    this.#sockets = sockets
  }

  /**
   * Takes a question.
   *
   * @param reply - called once with the answer, later
   * @param overTcp - over TCP, where a response may be long
   * @returns false for an invalid query or too many queries: no response follows
   */
  receive(message: Uint8Array, reply: (answer: Uint8Array) => void, overTcp = false): boolean {
    if (message.length < HEADER || (get16(message, 2) & FLAG_RESPONSE) !== 0 || this.#pending === MOST_PENDING) {
      return false
    }
    this.#pending++
    void this.#answer(message, overTcp)
      .catch(() => makeAnswer(message, readQuestion(message), SERVER_FAILURE, []))
      .then((answer) => {
        this.#pending--
        reply(answer)
      })
    return true
  }

  async #answer(message: Uint8Array, overTcp: boolean): Promise<Uint8Array> {
    const question = readQuestion(message)
    const opcode = (get16(message, 2) >>> 11) & 15
    const asksAddress =
      question !== null && question.class === CLASS_IN && (question.type === TYPE_A || question.type === TYPE_AAAA)
    if (opcode !== 0 || question === null) return makeAnswer(message, question, NOT_IMPLEMENTED, [])
    if (!asksAddress) {
      if (this.#sockets.query === undefined) return makeAnswer(message, question, NOT_IMPLEMENTED, [])
      return this.#sockets.query(message, overTcp)
    }
    const addresses = await this.#sockets.lookup(question.name)
    if (addresses === null) return makeAnswer(message, question, NO_SUCH_NAME, [])
    const numbers = addresses.map(readIpv4).filter((address) => address !== null)
    return makeAnswer(message, question, 0, question.type === TYPE_A ? numbers.slice(0, MOST_ANSWERS) : [])
  }
}

/** Reads the one question. @returns null for several, and for a name that no host has */
function readQuestion(message: Uint8Array): Question | null {
  if (get16(message, 4) !== 1) return null
  const labels: string[] = []
  let at = HEADER
  for (;;) {
    const length = message[at]
    if (length === undefined || length > 63 || at - HEADER > 255) return null
    at++
    if (length === 0) break
    if (at + length > message.length) return null
    labels.push(String.fromCharCode(...message.subarray(at, at + length)))
    at += length
  }
  if (at + 4 > message.length) return null
  const name = labels.join('.')
  const isName = labels.every((label) => /^[\w-]+$/.test(label))
  return isName ? { name, type: get16(message, at), class: get16(message, at + 2), end: at + 4 } : null
}

function makeAnswer(
  message: Uint8Array,
  question: Question | null,
  code: number,
  addresses: readonly number[],
): Uint8Array {
  const end = question?.end ?? HEADER
  const answer = new Uint8Array(end + 16 * addresses.length)
  answer.set(message.subarray(0, end))
  const flags = get16(message, 2) & (0x7800 | FLAG_RECURSION_DESIRED)
  put16(answer, 2, flags | FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | code)
  put16(answer, 4, question === null ? 0 : 1)
  put16(answer, 6, addresses.length)
  put32(answer, 8, 0)
  for (const [index, address] of addresses.entries()) {
    const at = end + 16 * index
    // The name is that of the question.
    put16(answer, at, 0xc000 | HEADER)
    put16(answer, at + 2, TYPE_A)
    put16(answer, at + 4, CLASS_IN)
    put32(answer, at + 6, TTL_SECONDS)
    put16(answer, at + 10, 4)
    put32(answer, at + 12, address)
  }
  return answer
}

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
