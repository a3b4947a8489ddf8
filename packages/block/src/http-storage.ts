import { BlockError } from '@retrap/device'
import { ChunkCache } from './chunk-cache.ts'
import { ImageError } from './image.ts'
import type { HttpFileState, RangeStore } from './range-store.ts'
import type { BlockStorage } from './storage.ts'

/** An HTTP response, as far as used here. */
export interface HttpResponse {
  /** Status code. A page sees 0 for a redirect that is not followed. */
  readonly status: number
  /** Header fields. */
  readonly headers: {
    /** Returns a header field; null if it is absent, or hidden from a page. */
    get(name: string): string | null
  }
  /** The content. */
  readonly body: {
    /** Reads the response in order. */
    getReader(): {
      /** The next part. */
      read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
      /** Takes no more. */
      cancel(): Promise<void>
    }
  } | null
}

/** Makes a request, as `fetch` does. */
export type HttpFetch = (
  url: string,
  init: {
    readonly method: string
    readonly headers: Record<string, string>
    readonly signal: AbortSignal
    /** Absent: redirects are followed. */
    readonly redirect?: 'manual'
  },
) => Promise<HttpResponse>

/** Options of {@link HttpStorage}. */
export interface HttpStorageOptions {
  /** Bytes of a request, at least; default 256 KiB. */
  readonly chunkBytes?: number
  /** Memory for cached data; default 32 MiB. */
  readonly cacheBytes?: number
  /** Header fields to send, such as an authorisation. */
  readonly headers?: Readonly<Record<string, string>>
  /** A request that takes longer has failed; default 30,000. */
  readonly timeoutMs?: number
  /** Number of retries of a failed request; default 2. */
  readonly retries?: number
  /**
   * Called after all retries of a range have failed for a temporary reason: the range is requested again when this resolves.
   * Without this function, or if it throws, the read fails.
   */
  readonly unreachable?: () => Promise<void>
  /**
   * A file of at most this many bytes is read as a whole, and kept in memory, where the server answers no requests for a range;
   * default 0: such a server is refused.
   */
  readonly wholeBytes?: number
  /** The server may redirect requests to itself only: no request goes to another origin. Default false. */
  readonly sameOrigin?: boolean
  /** The function that makes requests; `fetch` unless given. */
  readonly fetch?: HttpFetch
  /**
   * Cache that outlives this storage, in chunks like the requests'. Used if the server sends a strong `ETag` without
   * `Cache-Control: no-store`; it also replaces an unreachable server. `close` closes the cache.
   */
  readonly store?: RangeStore
}

const option = (name: string, value: number, least: number): number => {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new ImageError('ERR_OPTION', `${name} ${value}: expected an integer of at least ${least}`)
}

/**
 * Reads a file on a web server by ranges, and caches the chunks read, up to a limit. It cannot be written: put an `Overlay`
 * or a qcow2 image over it.
 *
 * Source: RFC 9110, section 14, "Range Requests".
 */
export class HttpStorage implements BlockStorage {
  /** Writes are refused. */
  readonly readOnly = true
  /** Size of the file. */
  readonly bytes: number
  readonly #client: Client
  readonly #cache: ChunkCache
  /** The ranges that were read before; null: nothing is kept. */
  #store: RangeStore | null

  private constructor(client: Client, bytes: number, options: HttpStorageOptions) {
    this.#client = client
    this.bytes = bytes
    const { store = null } = options
    const chunkBytes = option('chunkBytes', store?.chunkBytes ?? options.chunkBytes ?? 256 << 10, 512)
    this.#store = client.strongTag !== null && store?.use({ tag: client.strongTag, bytes }) === true ? store : null
    if (this.#store === null) store?.close()
    this.#cache = new ChunkCache({
      bytes,
      chunkBytes,
      cacheBytes: option('cacheBytes', options.cacheBytes ?? 32 << 20, 0),
      load: (offset, length) => this.#load(offset, length, chunkBytes),
    })
  }

  /**
   * Asks a server for a file.
   *
   * @throws ImageError `ERR_OPEN` if ranges are not supported; `ERR_BACKING` for a redirect that `sameOrigin` refuses; `ERR_OPTION`
   */
  static async open(url: string, options: HttpStorageOptions = {}): Promise<HttpStorage> {
    try {
      const client = new Client(url, options)
      return new HttpStorage(client, await client.size(options.store?.kept ?? null), options)
    } catch (error) {
      options.store?.close()
      throw error
    }
  }

  /** Bytes that requests have brought so far. */
  get fetchedBytes(): number {
    return this.#client.fetchedBytes
  }

  /** The whole file, if the server does not support range requests; otherwise null. */
  get whole(): Uint8Array | null {
    return this.#client.whole
  }

  /** The server's name for this state of the file: its `ETag`, or its last change; null where the server does not say. */
  get tag(): string | null {
    return this.#client.tag
  }

  /** Fills `into`. @throws BlockError `ERR_MEDIUM` where the server fails, or the file has changed on the server */
  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#cache.read(offset, into)
  }

  /** Refuses. */
  write(): Promise<void> {
    return Promise.reject(new BlockError('ERR_READ_ONLY', 'a file on a web server cannot be written'))
  }

  /** Does nothing, because the file is read-only. */
  async flush(): Promise<void> {}

  /** Drops cached data, except the store's. */
  async close(): Promise<void> {
    this.#cache.clear()
    const store = this.#store
    // Pending requests then store nothing.
    this.#store = null
    store?.close()
  }

  /** Reads whole chunks: cached ones, and one request for each gap. */
  async #load(offset: number, length: number, chunkBytes: number): Promise<Uint8Array> {
    const store = this.#store
    if (store === null) return this.#client.range(offset, length, this.bytes)
    const into = new Uint8Array(length)
    const missing: { start: number; end: number }[] = []
    for (let start = 0; start < length; start += chunkBytes) {
      const kept = store.read((offset + start) / chunkBytes)
      const end = Math.min(start + chunkBytes, length)
      if (kept !== null) into.set(kept, start)
      else if (missing.at(-1)?.end === start) missing.at(-1)!.end = end
      else missing.push({ start, end })
    }
    await Promise.all(
      missing.map(async ({ start, end }) => {
        const content = await this.#client.range(offset + start, end - start, this.bytes)
        into.set(content, start)
        for (let at = 0; at < content.length; at += chunkBytes)
          this.#store?.write((offset + start + at) / chunkBytes, content.subarray(at, at + chunkBytes))
      }),
    )
    return into
  }
}

/** Makes the requests for one file. */
class Client {
  fetchedBytes = 0
  /** See `HttpStorage.whole`. */
  whole: Uint8Array | null = null
  /** The server's name for this state of the file. */
  tag: string | null = null
  /**
   * The file's ETag if it is strong, as a key for cached ranges; otherwise null.
   *
   * Source: RFC 9110, section 8.8.1, and RFC 9111, section 5.2.2.5, "no-store".
   */
  strongTag: string | null = null
  readonly #url: string
  readonly #fetch: HttpFetch
  readonly #headers: Readonly<Record<string, string>>
  readonly #timeoutMs: number
  readonly #retries: number
  readonly #unreachable: HttpStorageOptions['unreachable']
  readonly #wholeBytes: number
  readonly #sameOrigin: boolean

  constructor(url: string, options: HttpStorageOptions) {
    const host = (globalThis as { fetch?: HttpFetch }).fetch
    const { fetch = host } = options
    if (fetch === undefined) throw new ImageError('ERR_OPTION', 'this host has no fetch; give one')
    this.#url = url
    this.#fetch = (...request) => fetch(...request)
    this.#headers = options.headers ?? {}
    this.#timeoutMs = option('timeoutMs', options.timeoutMs ?? 30_000, 1)
    this.#sameOrigin = options.sameOrigin ?? false
    this.#unreachable = options.unreachable
    this.#wholeBytes = option('wholeBytes', options.wholeBytes ?? 0, 0)
    this.#retries = option('retries', options.retries ?? 2, 0)
  }

  /**
   * @param kept - the state that stands in for a server that cannot be reached; null: none
   * @throws ImageError `ERR_OPEN`, `ERR_BACKING`
   */
  async size(kept: HttpFileState | null): Promise<number> {
    const refuse = (reason: string, cause?: unknown): ImageError =>
      new ImageError('ERR_OPEN', `${this.#url}: ${reason}`, { cause })
    const response = await this.#requestAgain('GET', 'bytes=0-0').catch((error: unknown) => {
      if (error instanceof ImageError) throw error
      if (kept === null) throw refuse(`the request failed: ${reasonOf(error)}`, error)
      return null
    })
    await response?.body?.getReader().cancel()
    if (kept !== null && (response === null || mayPass(response.status))) {
      this.tag = this.strongTag = kept.tag
      return kept.bytes
    }
    if (response === null) throw refuse('the request failed')
    if (response.status === 200) return this.#takeWhole(Number(response.headers.get('content-length') ?? -1), refuse)
    // An empty file has no first byte.
    if (response.status === 416 && response.headers.get('content-range') === 'bytes */0') return 0
    if (response.status !== 206) throw refuse(`the server answers with status ${response.status}`)
    if (response.headers.get('content-encoding') !== null) throw refuse('the server sends it compressed')
    const etag = response.headers.get('etag')
    this.tag = etag ?? response.headers.get('last-modified')
    const mayKeep = !/\bno-store\b/i.test(response.headers.get('cache-control') ?? '')
    this.strongTag = mayKeep && etag?.startsWith('"') === true ? etag : null
    const [, total] = /^bytes 0-0\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? []
    // A page sees this field only if the server permits it (Access-Control-Expose-Headers).
    const bytes = Number(total ?? (await this.#lengthByHead()))
    if (!(bytes > 0) && response.headers.get('content-range') === null) throw refuse(UNEXPOSED)
    if (!Number.isSafeInteger(bytes) || bytes <= 0) throw refuse('the server does not say how long it is')
    return bytes
  }

  /** @throws ImageError `ERR_OPEN` */
  async #takeWhole(bytes: number, refuse: (reason: string, cause?: unknown) => ImageError): Promise<number> {
    const noRanges = 'the server does not answer requests for a range'
    if (this.#wholeBytes === 0 || bytes < 0) throw refuse(noRanges)
    if (bytes > this.#wholeBytes)
      throw refuse(
        `${noRanges}, and the file has ${bytes} bytes: expected such a server, or at most ${this.#wholeBytes}`,
      )
    try {
      const response = await this.#request('GET', null, WHOLE_TIMEOUT_MS)
      this.tag = response.headers.get('etag') ?? response.headers.get('last-modified')
      this.whole = await readExactly(response, bytes)
    } catch (error) {
      throw refuse(`${noRanges}, and all of the file could not be read: ${reasonOf(error)}`, error)
    }
    this.fetchedBytes += bytes
    return bytes
  }

  async #lengthByHead(): Promise<string | null> {
    const response = await this.#requestAgain('HEAD', null).catch(() => null)
    return response?.status === 200 ? response.headers.get('content-length') : null
  }

  /** @throws BlockError `ERR_MEDIUM` */
  async range(offset: number, length: number, bytes: number): Promise<Uint8Array> {
    if (this.whole !== null) return this.whole.subarray(offset, offset + length)
    const failed = (reason: string, cause?: unknown): BlockError =>
      new BlockError('ERR_MEDIUM', `${this.#url}: ${reason}`, { cause })
    const last = offset + length - 1
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await this.#request('GET', `bytes=${offset}-${last}`)
        const trouble = this.#troubleWith(response, `bytes ${offset}-${last}/${bytes}`)
        if (trouble !== null) {
          // Cancel the unread body, so that the connection becomes free.
          response.body
            ?.getReader()
            .cancel()
            .catch(() => {})
          throw trouble.isFinal ? failed(trouble.reason) : new Error(trouble.reason)
        }
        const content = await readExactly(response, length)
        this.fetchedBytes += length
        return content
      } catch (error) {
        if (error instanceof BlockError) throw error
        if (error instanceof ImageError) throw new BlockError('ERR_MEDIUM', error.message, { cause: error })
        if (attempt < this.#retries) continue
        if (this.#unreachable === undefined) throw failed(String(error), error)
        await this.#unreachable()
      }
    }
  }

  /** Why an answer cannot be used; another attempt is of use unless it is final. An error's answer has tags of its own. */
  #troubleWith({ status, headers }: HttpResponse, expected: string): { reason: string; isFinal: boolean } | null {
    const final = (reason: string): { reason: string; isFinal: boolean } => ({ reason, isFinal: true })
    const tag = headers.get('etag') ?? headers.get('last-modified')
    if (status === 200 || (status === 206 && tag !== this.tag)) return final('it has changed on the server')
    if (status === 416) return final(`it does not have ${expected} any more`)
    if (status !== 206) return { reason: `the server answers with status ${status}`, isFinal: false }
    const range = headers.get('content-range')
    return range === null || range === expected ? null : final(`the server sends ${range}`)
  }

  /** Repeats a request that has failed, or that a busy server has refused. */
  async #requestAgain(method: string, range: string | null): Promise<HttpResponse> {
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await this.#request(method, range)
        if (!mayPass(response.status) || attempt >= this.#retries) return response
        await response.body?.getReader().cancel()
      } catch (error) {
        if (error instanceof ImageError || attempt >= this.#retries) throw error
      }
    }
  }

  #request(method: string, range: string | null, timeoutMs = this.#timeoutMs): Promise<HttpResponse> {
    const headers = { ...this.#headers, ...(range !== null && { range }) }
    const init = { method, headers, signal: AbortSignal.timeout(timeoutMs) }
    return this.#sameOrigin ? this.#requestAtOrigin(init) : this.#fetch(this.#url, init)
  }

  /** @throws ImageError `ERR_BACKING` if the server redirects this host to another origin */
  async #requestAtOrigin(init: Parameters<HttpFetch>[1]): Promise<HttpResponse> {
    const refuse = (reason: string): ImageError => new ImageError('ERR_BACKING', `${this.#url}: ${reason}`)
    let url = this.#url
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
      const response = await this.#fetch(url, { ...init, redirect: 'manual' })
      if (!REDIRECTS.includes(response.status)) return response
      await response.body?.getReader().cancel()
      const to = response.headers.get('location')
      if (to === null || !URL.canParse(to, url)) throw refuse('the server redirects it, and does not say where to')
      const next = new URL(to, url)
      if (next.origin !== new URL(this.#url).origin)
        throw refuse(`the server redirects it to ${next.origin}; an image of a web server may name files there only`)
      next.username = ''
      next.password = ''
      url = next.href
    }
    throw refuse('the server redirects it too often')
  }
}

/** Browsers, Workers and Node all have URL. */
const { URL } = globalThis as unknown as {
  readonly URL: {
    new (
      url: string,
      base?: string,
    ): { readonly origin: string; readonly href: string; username: string; password: string }
    canParse(url: string, base?: string): boolean
  }
}

/** Source: WHATWG, Fetch, 3.3.3, "HTTP responses": a page sees few fields of an answer from another origin. */
const UNEXPOSED =
  'the answer has no Content-Range that this program may see, so its size is not known; for a page from elsewhere the server has to ' +
  'send Access-Control-Expose-Headers: Content-Range, ETag'

/** Time limit for a download of the whole file over a slow link, in milliseconds. */
const WHOLE_TIMEOUT_MS = 600_000

/** As many as `fetch` follows. Source: the Fetch standard, section 4.4, "HTTP-redirect fetch". */
const MOST_REDIRECTS = 20
/** Source: the Fetch standard, section 2.2.3, "Statuses". A page sees 0, and not where to. */
const REDIRECTS = [0, 301, 302, 303, 307, 308]

/** The cause of a failed `fetch` says more than its own message. */
function reasonOf(error: unknown): string {
  const { cause } = error instanceof Error ? error : {}
  if (!(cause instanceof Error)) return String(error)
  return cause.message || ('code' in cause ? String(cause.code) : String(error))
}

/** Statuses that another attempt may not have. Source: RFC 9110, section 15.5.9 and 15.6; RFC 6585, section 4. */
const mayPass = (status: number): boolean => status === 408 || status === 429 || status >= 500

/** Reads the content of an answer, which must have this length. A longer one is not taken. */
async function readExactly(response: HttpResponse, length: number): Promise<Uint8Array> {
  const reader = response.body?.getReader()
  const into = new Uint8Array(length)
  let done = 0
  for (;;) {
    const part = (await reader?.read())?.value
    if (part === undefined) break
    if (part.length > length - done) {
      await reader?.cancel()
      throw new Error(`the answer has more than ${length} bytes`)
    }
    into.set(part, done)
    done += part.length
  }
  if (done === length) return into
  throw new Error(`the answer ends after ${done} of ${length} bytes`)
}
