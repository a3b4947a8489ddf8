import type { SocketAddress, TcpSocket, TcpSocketClient } from '../sockets.ts'
import { type HttpFault, type HttpRequest, HttpRequestParser } from './http-request.ts'

/** The most bytes that all requests under way hold together. */
const MOST_HELD_BYTES = 64 << 20

/** A request: the part of `RequestInit` that is used. */
export interface FetchRequest {
  /** The guest's method. */
  readonly method: string
  /** The guest's header fields that need no CORS permission of the server. */
  readonly headers: [name: string, value: string][]
  /** The body; absent: none. */
  readonly body?: Uint8Array<ArrayBuffer>
  /** Only servers that permit cross-origin requests answer. */
  readonly mode: 'cors'
  /** No cookies. */
  readonly credentials: 'omit'
  /** The server does not learn the page's address. */
  readonly referrerPolicy: 'no-referrer'
  /** No caching, because the guest has its own cache. */
  readonly cache: 'no-store'
  /** Aborted when the guest closes its connection. */
  readonly signal: AbortSignal
}

/** The part of a `Response` that is used. */
export interface FetchedResponse {
  /** 200 to 599. */
  readonly status: number
  /** The reason phrase; empty if absent. */
  readonly statusText: string
  /** The fields that the page may see. */
  readonly headers: { forEach(callback: (value: string, name: string) => void): void }
  /** The body; null: none. */
  readonly body: {
    getReader(): { read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }> }
  } | null
}

/** Makes a request, as `fetch` does. */
export type FetchFunction = (url: string, request: FetchRequest) => Promise<FetchedResponse>

/** The part of a request that its answer depends on. */
type Answered = Pick<HttpRequest, 'method' | 'isHttp11'>

/** The state that the connections of a network share. */
export interface FetchWorld {
  readonly fetch: FetchFunction
  /** Bytes of requests that are not complete, and of bodies that no server has taken yet. */
  heldBytes: number
  refused(to: SocketAddress, reason: 'tls' | 'not-http'): void
  /** Returns the origin of a request, by the field `Host`; null: unknown. */
  originOf(to: SocketAddress, host: string | undefined): string | null
}

/** Fields of a request that a page may send without asking the server before, and those by which servers know their clients. */
const SENT: ReadonlySet<string> = new Set([
  ...['accept', 'accept-language', 'content-language', 'content-type', 'range', 'authorization'],
])
/** Fields of an answer that are of the connection, or of a coding that `fetch` has undone. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'transfer-encoding', 'content-encoding', 'content-length', 'trailer', 'upgrade'],
])
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
}
/** Answers without a body. Source: RFC 9110 §15.3.5, §15.4.5. */
const BODYLESS: readonly number[] = [204, 304]
/** Methods that `fetch` does not make. Source: WHATWG, Fetch, 2.2.1, "forbidden method". */
const FORBIDDEN: readonly string[] = ['CONNECT', 'TRACE', 'TRACK']

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
/** Encodes heads as bytes: `fetch` shows each byte as the character of the same number. Source: WHATWG, Infra, "isomorphic decode". */
const encodeHead = (lines: readonly string[]): Uint8Array =>
  Uint8Array.from(`${lines.join('\r\n')}\r\n\r\n`, (character) => character.charCodeAt(0))

/** A guest's connection, for one request and its response. */
export class FetchConnection implements TcpSocket {
  readonly #to: SocketAddress
  readonly #client: TcpSocketClient
  readonly #world: FetchWorld
  readonly #parser = new HttpRequestParser()
  readonly #control = new AbortController()
  #held = 0
  /** The answer is under way, or was made. */
  #answers = false
  #ended = false
  #guestEnded = false
  #over = false
  /** Resolved when the guest takes data again. */
  #room: { readonly promise: Promise<void>; resolve(): void } | null = null

  constructor(to: SocketAddress, client: TcpSocketClient, world: FetchWorld) {
    this.#to = to
    this.#client = client
    this.#world = world
    queueMicrotask(() => {
      if (!this.#over) client.connected()
    })
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over || this.#answers) return true
    const parser = this.#parser
    parser.push(bytes)
    this.#hold(parser.fault === null ? (parser.request?.body.length ?? parser.heldBytes) : 0)
    if (parser.expectsContinue && parser.fault === null) {
      parser.expectsContinue = false
      this.#client.data(encode('HTTP/1.1 100 Continue\r\n\r\n'))
    }
    const { request } = parser
    // From now on the browser reads the request's body, until it is complete.
    parser.request = null
    if (parser.fault !== null) this.#refuse(parser.fault)
    else if (this.#world.heldBytes > MOST_HELD_BYTES) this.#fail(503, 'Too many requests are under way.')
    else if (request !== null) this.#perform(request)
    return true
  }

  end(): void {
    this.#guestEnded = true
    // A request that is cut off gets no answer.
    if (!this.#answers) this.#end()
    this.#closeIfOver()
  }

  abort(): void {
    this.#over = true
    this.#hold(0)
    this.#control.abort()
    this.resume()
  }

  pause(): void {
    this.#room ??= Promise.withResolvers<void>()
  }

  resume(): void {
    this.#room?.resolve()
    this.#room = null
  }

  #hold(bytes: number): void {
    this.#world.heldBytes += bytes - this.#held
    this.#held = bytes
  }

  #refuse(fault: HttpFault): void {
    if (fault === 'tls') {
      this.#world.refused(this.#to, 'tls')
      this.abort()
      this.#client.closed('reset')
      return
    }
    if (fault === 400) this.#world.refused(this.#to, 'not-http')
    this.#fail(fault, 'This network passes requests of HTTP only, and this is none that it understands.')
  }

  /** Answers in the server's place. */
  #fail(status: number, text: string): void {
    this.#answers = true
    this.#hold(0)
    const body = encode(`${text}\n`)
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status] ?? ''}`,
      'Content-Type: text/plain; charset=utf-8',
      `Content-Length: ${body.length}`,
      'Connection: close',
    ]
    this.#client.data(encodeHead(head))
    this.#client.data(body)
    this.#end()
  }

  #perform(request: HttpRequest): void {
    this.#answers = true
    const { method, fields, target } = request
    const origin = this.#world.originOf(this.#to, fields.get('host'))
    if (FORBIDDEN.includes(method.toUpperCase()) || fields.has('upgrade'))
      return this.#fail(
        501,
        `A web page cannot make this request: ${method}${fields.has('upgrade') ? ', Upgrade' : ''}.`,
      )
    if (origin === null) return this.#fail(502, 'The name of this address is not known any more: look it up again.')
    // A proxy's request has a whole address.
    const url = /^https?:\/\//i.test(target) ? target : origin + (target.startsWith('/') ? target : `/${target}`)
    const { isHttp11 } = request
    void this.#pass(url, this.#fetch(url, request), { method, isHttp11 })
  }

  /** Takes the answer. The request's body is not held meanwhile. */
  async #pass(url: string, fetched: Promise<FetchedResponse>, request: Answered): Promise<void> {
    let response: FetchedResponse
    try {
      response = await fetched
      this.#hold(0)
    } catch (error) {
      if (this.#over) return
      const why = error instanceof Error ? error.message : String(error)
      return this.#fail(
        502,
        `The page could not fetch ${url}: ${why}. A page reaches hosts that answer, and that allow it (CORS).`,
      )
    }
    await this.#answer(response, request)
  }

  async #fetch(url: string, { method, fields, body }: HttpRequest): Promise<FetchedResponse> {
    const headers = [...fields].filter(([name]) => SENT.has(name) || name.startsWith('x-'))
    // A part of a file that has changed meanwhile must not be taken for one of the old file.
    const sent = fields.has('if-range') ? headers.filter(([name]) => name !== 'range') : headers
    const hasBody = body.length > 0 && method !== 'GET' && method !== 'HEAD'
    return this.#world.fetch(url, {
      method,
      headers: sent,
      ...(hasBody && { body }),
      mode: 'cors',
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
      cache: 'no-store',
      signal: this.#control.signal,
    })
  }

  async #answer(response: FetchedResponse, { method, isHttp11 }: Answered): Promise<void> {
    const { status, statusText, headers, body } = response
    const hasBody = method !== 'HEAD' && !BODYLESS.includes(status)
    const inChunks = hasBody && isHttp11
    const fields: string[] = []
    headers.forEach((value, name) => {
      if (!OWN_FIELDS.has(name)) fields.push(`${name}: ${value}`)
    })
    const head = [
      `HTTP/1.1 ${status} ${statusText}`,
      ...fields,
      ...(inChunks ? ['Transfer-Encoding: chunked'] : []),
      'Connection: close',
    ]
    if (this.#over) return
    this.#client.data(encodeHead(head))
    try {
      if (hasBody && body !== null) await this.#stream(body, inChunks)
    } catch {
      // The server has broken off: the guest sees that, as the last chunk is missing.
      if (this.#over) return
      this.abort()
      this.#client.closed('reset')
      return
    }
    if (this.#over) return
    if (inChunks) this.#client.data(encode('0\r\n\r\n'))
    this.#end()
  }

  async #stream(body: NonNullable<FetchedResponse['body']>, inChunks: boolean): Promise<void> {
    const reader = body.getReader()
    for (;;) {
      await this.#room?.promise
      const { done, value } = await reader.read()
      if (done || this.#over) return
      if (value === undefined || value.length === 0) continue
      if (inChunks) this.#client.data(encode(`${value.length.toString(16)}\r\n`))
      this.#client.data(value)
      if (inChunks) this.#client.data(encode('\r\n'))
    }
  }

  #end(): void {
    if (this.#ended || this.#over) return
    this.#ended = true
    this.#hold(0)
    this.#client.ended()
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#over || !this.#ended || !this.#guestEnded) return
    this.#over = true
    this.#client.closed('finished')
  }
}
