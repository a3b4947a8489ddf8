import { latin1 } from '@retrap/basics'

/** A request line and its fields are no longer than this together. */
const MOST_HEAD_BYTES = 64 << 10
const MOST_BODY_BYTES = 16 << 20
/** A chunk's size and extensions, or a trailer's line. */
const MOST_LINE_BYTES = 4096
const CR = 13
const LF = 10
/** First byte of a TLS record that begins a handshake. Source: RFC 8446 §5.1. */
const TLS_HANDSHAKE = 22

/** A guest's request. */
export interface HttpRequest {
  readonly method: string
  /** Target of the request line: a path with a query, or an absolute address. */
  readonly target: string
  /** Whether the guest understands HTTP/1.1: answers in chunks. */
  readonly isHttp11: boolean
  /** Names in lower case; the last field of a name counts. */
  readonly fields: ReadonlyMap<string, string>
  readonly body: Uint8Array<ArrayBuffer>
}

/** The fault of a request: the status to answer, or `tls`. */
export type HttpFault = 400 | 411 | 413 | 431 | 501 | 505 | 'tls'

type Head = Omit<HttpRequest, 'body'>

/**
 * Takes a request apart as its bytes come.
 *
 * Source: RFC 9112 §2.2 to §7.1.
 */
export class HttpRequestParser {
  /** The request; null until it is complete. */
  request: HttpRequest | null = null
  fault: HttpFault | null = null
  /** The guest waits for leave before it sends the body (RFC 9110 §10.1.1); the reader clears it. */
  expectsContinue = false
  readonly #bytes = new GrowingBytes()
  #head: Head | null = null
  /** Offset of the next byte to look at: for the end of the head, and for chunks. */
  #at = 0
  /** Length of the body; null: it comes in chunks. */
  #bodyBytes: number | null = 0
  /** The content of the chunks. */
  readonly #body = new GrowingBytes()

  get heldBytes(): number {
    return this.#bytes.capacity + this.#body.capacity
  }

  /** Takes bytes. Bytes after a complete request are dropped: its connection ends with its answer. */
  push(bytes: Uint8Array): void {
    if (this.request !== null || this.fault !== null) return
    this.#bytes.append(bytes)
    if (this.#head === null) this.#readHead()
    if (this.#head === null || this.fault !== null) return
    if (this.#bodyBytes === null) this.#readChunks(this.#head)
    else if (this.#bytes.length >= this.#bodyBytes)
      this.#complete(this.#head, this.#bytes.view.slice(0, this.#bodyBytes))
  }

  #readHead(): void {
    if (this.#bytes.view[0] === TLS_HANDSHAKE) return void (this.fault = 'tls')
    const end = this.#endOfHead()
    if (end === null) {
      if (this.#bytes.length > MOST_HEAD_BYTES) this.fault = 431
      return
    }
    const text = latin1(this.#bytes.view.subarray(0, end))
    this.#bytes.drop(end)
    const head = readHead(text)
    if (typeof head !== 'object') return void (this.fault = head)
    this.#head = head
    this.expectsContinue = head.isHttp11 && head.fields.get('expect')?.toLowerCase() === '100-continue'
    const length = bodyLength(head.fields)
    if (typeof length === 'object') this.fault = length.fault
    else this.#bodyBytes = length === 'chunked' ? null : length
  }

  /** Offset behind the empty line that ends the head; empty lines before a request are passed over. */
  #endOfHead(): number | null {
    if (this.#at === 0) {
      const first = this.#bytes.view.findIndex((byte) => byte !== CR && byte !== LF)
      this.#bytes.drop(first < 0 ? this.#bytes.length : first)
    }
    const bytes = this.#bytes.view
    for (; this.#at < bytes.length; this.#at++) {
      if (bytes[this.#at] !== LF) continue
      const before = bytes[this.#at - 1] === CR ? this.#at - 2 : this.#at - 1
      if (bytes[before] === LF) return this.#at + 1
    }
    return null
  }

  #readChunks(head: Head): void {
    const bytes = this.#bytes.view
    let at = 0
    for (;;) {
      const end = bytes.indexOf(LF, at)
      if (end < 0 ? bytes.length - at > MOST_LINE_BYTES : end - at > MOST_LINE_BYTES) return void (this.fault = 400)
      if (end < 0) break
      const size = /^([\da-f]{1,8})[ \t]*(;.*)?\r?\n$/i.exec(latin1(bytes.subarray(at, end + 1)))?.[1]
      if (size === undefined) return void (this.fault = 400)
      const count = Number.parseInt(size, 16)
      if (this.#body.length + count > MOST_BODY_BYTES) return void (this.fault = 413)
      // Behind the last chunk there may be a trailer, which is of no use here.
      if (count === 0) return this.#complete(head, this.#body.view.slice())
      // A chunk, CR and LF.
      const whole = end + 1 + count + 2
      if (bytes.length < whole) break
      if (bytes[whole - 2] !== CR || bytes[whole - 1] !== LF) return void (this.fault = 400)
      this.#body.append(bytes.subarray(end + 1, whole - 2))
      at = whole
    }
    this.#bytes.drop(at)
  }

  #complete(head: Head, body: Uint8Array<ArrayBuffer>): void {
    this.request = { ...head, body }
    this.expectsContinue = false
    this.#bytes.drop(this.#bytes.length)
    this.#body.drop(this.#body.length)
  }
}

/** A buffer that grows. */
class GrowingBytes {
  #bytes = new Uint8Array()
  #length = 0

  get length(): number {
    return this.#length
  }

  get capacity(): number {
    return this.#bytes.length
  }

  /** The appended bytes; valid until the next change. */
  get view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length)
  }

  append(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length, 1024))
      larger.set(this.view)
      this.#bytes = larger
    }
    this.#bytes.set(bytes, this.#length)
    this.#length = needed
  }

  /** Drops the first bytes. */
  drop(count: number): void {
    if (count === 0) return
    this.#bytes.copyWithin(0, count, this.#length)
    this.#length -= count
    if (this.#length === 0) this.#bytes = new Uint8Array()
  }
}

function readHead(text: string): Head | HttpFault {
  const [first = '', ...lines] = text.split(/\r?\n/)
  const [, method, target, major, minor] = /^([\w!#$%&'*+.^`|~-]+) (\S+) HTTP\/(\d)\.(\d)$/.exec(first) ?? []
  if (method === undefined || target === undefined) return 400
  if (major !== '1') return 505
  const fields = new Map<string, string>()
  for (const line of lines) {
    if (line === '') continue
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) return 400
    fields.set(name.toLowerCase(), value)
  }
  return { method, target, isHttp11: minor !== '0', fields }
}

function bodyLength(fields: ReadonlyMap<string, string>): number | 'chunked' | { readonly fault: HttpFault } {
  const coding = fields.get('transfer-encoding')
  if (coding !== undefined) return coding.toLowerCase() === 'chunked' ? 'chunked' : { fault: 501 }
  const length = fields.get('content-length') ?? '0'
  if (!/^\d{1,15}$/.test(length)) return { fault: 400 }
  return Number(length) > MOST_BODY_BYTES ? { fault: 413 } : Number(length)
}
