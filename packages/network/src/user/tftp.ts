import { Alarm, type NetworkClock } from '../clock.ts'
import { get16, put16 } from '../frames/bytes.ts'
import type { UdpEnd } from './udp-gateway.ts'

export const TFTP_PORT = 69
const READ = 1
const WRITE = 2
const DATA = 3
const ACKNOWLEDGMENT = 4
const ERROR = 5
const OPTIONS = 6
const NOT_FOUND = 1
const ACCESS_VIOLATION = 2
const ILLEGAL = 4
const DEFAULT_BLOCK = 512
/** The largest block that fits an Ethernet frame. RFC 2348 allows more, which would come in fragments. */
const MOST_BLOCK = 1468
const MOST_TRANSFERS = 16
/** Files that are read at once: each is in memory as a whole. More requests are dropped, and a client asks again. */
const MOST_READS = 4

/**
 * A client that has said nothing for this long has gone, and its file with it. RFC 1350 leaves the time open; clients ask again
 * after seconds.
 */
const IDLE_MS = 60_000

/** A message that nothing has followed for this long is sent again; then after twice the time, and so on. */
const FIRST_WAIT_MS = 1000

/** Reads a file that guests may load. @returns null for an unknown name */
export type ReadBootFile = (name: string) => Promise<Uint8Array | null>

interface Transfer {
  readonly bytes: Uint8Array
  readonly blockBytes: number
  /** Number of the block that was sent last; 0: the options were. */
  block: number
  usedMs: number
  /** Sends the last message again. */
  again: () => void
  /** Time of the next transmission, and the interval. */
  againMs: number
  waitMs: number
}

/** Lets guests load files. Source: RFC 1350; RFC 2347; RFC 2348 (`blksize`); RFC 2349 (`tsize`). */
export class TftpServer {
  readonly #read: ReadBootFile | undefined
  readonly #clock: NetworkClock
  /** Alarm, set while any transfer is active. */
  readonly #watch: Alarm
  /** Transfers in the order of use. */
  readonly #transfers = new Map<string, Transfer>()
  /** Clients whose files are being read. */
  readonly #reading = new Set<string>()
  #closed = false

  /** @param read - undefined: every request is answered with an error */
  constructor(read: ReadBootFile | undefined, clock: NetworkClock) {
    this.#read = read
    this.#clock = clock
    this.#watch = new Alarm(clock, () => this.#look())
  }

  /** Ends all transfers. */
  close(): void {
    this.#closed = true
    this.#transfers.clear()
    this.#watch.close()
  }

  /** Takes a message of a client. @param reply - sends one back */
  receive(client: UdpEnd, message: Uint8Array, reply: (message: Uint8Array) => void): void {
    if (message.length < 4) return
    const key = `${client.address}:${client.port}`
    const code = get16(message, 0)
    if (code === READ) void this.#open(key, message, reply)
    else if (code === WRITE) reply(errorMessage(ACCESS_VIOLATION, 'files are only read'))
    else if (code === ACKNOWLEDGMENT) this.#acknowledged(key, get16(message, 2), reply)
    else if (code === ERROR) this.#transfers.delete(key)
  }

  async #open(key: string, message: Uint8Array, reply: (message: Uint8Array) => void): Promise<void> {
    const [name = '', mode = '', ...pairs] = texts(message)
    if (!/^(octet|netascii)$/i.test(mode)) {
      reply(errorMessage(ILLEGAL, `mode ${mode}: expected octet`))
      return
    }
    if (this.#read === undefined) {
      reply(errorMessage(ACCESS_VIOLATION, 'this network has no folder of files: tftp=DIR names one'))
      return
    }
    if (this.#reading.has(key) || this.#reading.size === MOST_READS) return
    this.#reading.add(key)
    const bytes = await this.#read(name).catch(() => null)
    this.#reading.delete(key)
    if (this.#closed) return
    if (bytes === null) {
      reply(errorMessage(NOT_FOUND, `${name}: there is no such file`))
      return
    }
    const options = new Map<string, string>()
    for (let i = 0; i + 1 < pairs.length; i += 2) options.set(pairs[i]!.toLowerCase(), pairs[i + 1]!)
    const asked = Number(options.get('blksize') ?? DEFAULT_BLOCK)
    const blockBytes = Number.isInteger(asked) && asked >= 8 ? Math.min(asked, MOST_BLOCK) : DEFAULT_BLOCK
    const answers = [
      ...(options.has('blksize') ? ['blksize', String(blockBytes)] : []),
      ...(options.has('tsize') ? ['tsize', String(bytes.length)] : []),
    ]
    this.#transfers.delete(key)
    const [oldest] = this.#transfers.keys()
    if (this.#transfers.size === MOST_TRANSFERS) this.#transfers.delete(oldest!)
    const transfer: Transfer = { bytes, blockBytes, block: 0, usedMs: 0, again: () => {}, againMs: 0, waitMs: 0 }
    this.#use(key, transfer)
    if (answers.length > 0) this.#send(transfer, withTexts(OPTIONS, null, answers), reply)
    else this.#sendBlock(transfer, reply)
  }

  #acknowledged(key: string, number: number, reply: (message: Uint8Array) => void): void {
    const transfer = this.#transfers.get(key)
    if (transfer === undefined) return
    this.#use(key, transfer)
    // An acknowledgment of an earlier block: the block was sent twice. It is no reason to send the next one twice, too; that
    // is sent again when its time has come (RFC 1123 §4.2.3.1).
    if (number !== (transfer.block & 0xffff)) return
    if (transfer.block > 0 && transfer.block * transfer.blockBytes > transfer.bytes.length) {
      this.#transfers.delete(key)
      return
    }
    this.#sendBlock(transfer, reply)
  }

  /** Notes activity of a client. */
  #use(key: string, transfer: Transfer): void {
    transfer.usedMs = this.#clock.now()
    this.#transfers.delete(key)
    this.#transfers.set(key, transfer)
  }

  /** Drops silent clients, and repeats blocks that may have been lost. */
  #look(): void {
    const now = this.#clock.now()
    for (const [key, transfer] of this.#transfers) {
      if (transfer.usedMs + IDLE_MS <= now) this.#transfers.delete(key)
      else if (transfer.againMs <= now) {
        transfer.waitMs *= 2
        transfer.againMs = now + transfer.waitMs
        transfer.again()
      }
    }
    this.#setWatch()
  }

  #setWatch(): void {
    let next = Infinity
    for (const { usedMs, againMs } of this.#transfers.values()) next = Math.min(next, usedMs + IDLE_MS, againMs)
    if (next !== Infinity) this.#watch.set(next - this.#clock.now())
  }

  #sendBlock(transfer: Transfer, reply: (message: Uint8Array) => void): void {
    const { bytes, blockBytes } = transfer
    const from = transfer.block * blockBytes
    transfer.block++
    const part = bytes.subarray(from, from + blockBytes)
    const message = new Uint8Array(4 + part.length)
    put16(message, 0, DATA)
    put16(message, 2, transfer.block & 0xffff)
    message.set(part, 4)
    this.#send(transfer, message, reply)
  }

  #send(transfer: Transfer, message: Uint8Array, reply: (message: Uint8Array) => void): void {
    transfer.again = () => reply(message)
    transfer.waitMs = FIRST_WAIT_MS
    transfer.againMs = this.#clock.now() + FIRST_WAIT_MS
    this.#setWatch()
    reply(message)
  }
}

/** Returns the texts of a request; an unterminated one is left out. */
function texts(message: Uint8Array): string[] {
  const parts = String.fromCharCode(...message.subarray(2, 1024)).split('\0')
  return parts.slice(0, -1)
}

function withTexts(code: number, number: number | null, parts: readonly string[]): Uint8Array {
  const text = parts.map((part) => `${part.replaceAll('\0', '')}\0`).join('')
  const head = number === null ? 2 : 4
  const message = new Uint8Array(head + text.length)
  put16(message, 0, code)
  if (number !== null) put16(message, 2, number)
  message.set(
    [...text].map((character) => character.charCodeAt(0)),
    head,
  )
  return message
}

const errorMessage = (number: number, text: string): Uint8Array => withTexts(ERROR, number, [text])
