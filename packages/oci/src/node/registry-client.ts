/**
 * Reads manifests and blobs of a registry.
 *
 * Sources: OCI Distribution Specification 1.1, "Pull"; distribution, "Token Authentication Specification" and "Token Authentication
 * via OAuth2"; RFC 9110, sections 10.2.3, 11.6, 14.2 and 15.4; docker, "Docker Hub pull usage and limits".
 */
import type { FileHandle } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { digestText } from '../digest.ts'
import { OciError, type OciErrorCode, shown } from '../errors.ts'
import { JsonValue, MOST_BYTES } from '../json.ts'
import { type Descriptor, INDEXES, MANIFESTS } from '../manifests.ts'

/** A name of an image in a registry, as docker completes it. */
export interface ImageReference {
  /** The registry, as names have it: `docker.io`, `localhost:5000`. */
  readonly domain: string
  /** Such as `library/python`. */
  readonly repository: string
  /** `latest` for a name with neither a tag nor a digest. */
  readonly tag: string | undefined
  /** Such as `sha256:…`; it goes before the tag. */
  readonly digest: string | undefined
}

const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?'
const DOMAIN = new RegExp(String.raw`^(?:${LABEL}(?:\.${LABEL})*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?$`)
const COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/
const MOST_NAME = 255

/**
 * Reads the name of an image.
 *
 * @returns undefined for a text that no image of a registry has as its name
 *
 * Source: distribution/reference, "Grammar" and "ParseDockerRef".
 */
export function parseReference(text: string): ImageReference | undefined {
  const [, name = '', tag, digest] = /^([^@]*?)(?::([^:/@]*))?(?:@([^@]*))?$/.exec(text) ?? []
  const [first = '', ...rest] = name.split('/')
  // Docker takes the first part for a host where a user of docker.io could not have its name.
  const hasDomain = rest.length > 0 && (/[.:A-Z]/.test(first) || first === 'localhost')
  const domain = !hasDomain || first === 'index.docker.io' ? 'docker.io' : first
  const path = hasDomain ? rest : [first, ...rest]
  const isBad = !DOMAIN.test(domain) || !path.every((part) => COMPONENT.test(part)) || name.length > MOST_NAME
  // Docker reads such a text as the identifier of a local image.
  const isId = /^[0-9a-f]{64}$/.test(name)
  if (isBad || isId || (tag !== undefined && !TAG.test(tag)) || (digest !== undefined && !DIGEST.test(digest)))
    return undefined
  const repository = [...(domain === 'docker.io' && path.length === 1 ? ['library'] : []), ...path].join('/')
  return { domain, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}

/** The whole name of an image. */
export const nameOf = ({ domain, repository, tag, digest }: ImageReference): string =>
  [`${domain}/${repository}`, tag && `:${tag}`, digest && `@${digest}`].join('')

/** How a registry knows its user. No message has a part of it. */
export interface Credentials {
  /** `user:password` in base64. */
  readonly basic?: string | undefined
  /** A token for the token service, in place of a password. */
  readonly identityToken?: string | undefined
  /** Why there are none, where a program should have told them. */
  readonly lack?: string | undefined
}

/** Options of {@link RegistryClient}. */
export interface RegistryOptions {
  readonly fetch: (url: string, init: RequestInit & { readonly signal: AbortSignal }) => Promise<Response>
  /** Asked once, when the registry wants a login or a token. */
  readonly credentials: () => Promise<Credentials>
  readonly signal: AbortSignal
  /** Time without data after which a connection is given up; default 30,000. */
  readonly stallMs?: number
  /** Wait before a second try, doubled before each further one; default 500. */
  readonly pauseMs?: number
}

type Headers = Readonly<Record<string, string>>
type Use<T> = (response: Response, parts: AsyncIterable<Uint8Array>) => Promise<T>

const MOST_REDIRECTS = 10
/** Tries in a row without a byte, and all tries for a blob. */
const MOST_FAILED = 4
const MOST_TRIES = 50
/** The longest wait that a registry may ask for; a longer one is told to the user. */
const LONGEST_WAIT_MS = 20_000

/** A failure after which another try is of use. */
class PassingFailure extends OciError {
  /** Wait that the registry asks for. */
  waitMs?: number | undefined
}

/** A client for one repository. Requests may be made at the same time. */
export class RegistryClient {
  readonly #image: ImageReference
  readonly #options: RegistryOptions
  readonly #api: string
  #credentials: Promise<Credentials> | undefined
  /** The value of `Authorization`, which is for all of the repository. */
  #authorization: Promise<string> | undefined

  constructor(image: ImageReference, options: RegistryOptions) {
    this.#image = image
    this.#options = options
    const host = image.domain === 'docker.io' ? 'registry-1.docker.io' : image.domain
    // Docker, too, speaks plain HTTP to registries of this host alone.
    const scheme = isLoopback(new URL(`http://${host}`)) ? 'http' : 'https'
    this.#api = `${scheme}://${host}/v2/${image.repository}`
  }

  /**
   * Reads a manifest, an index or a config, with the registry's headers: an empty text for an absent one.
   *
   * @param path - in the repository, such as `manifests/latest`
   * @throws OciError `ERR_MISSING`, `ERR_ACCESS`, `ERR_RATE`, `ERR_NETWORK`; the reason of an aborted signal
   */
  read(path: string): Promise<{ bytes: Uint8Array; mediaType: string; digest: string }> {
    const headers: Headers = path.startsWith('manifests/') ? { accept: [...INDEXES, ...MANIFESTS].join(', ') } : {}
    const take: Use<Awaited<ReturnType<typeof this.read>>> = async (response, parts) => ({
      bytes: await this.#small(parts),
      mediaType: response.headers.get('content-type')?.split(';')[0]?.trim() ?? '',
      digest: response.headers.get('docker-content-digest') ?? '',
    })
    return this.#again(() => this.#open(path, headers, take))
  }

  /**
   * Reads a blob, whose digest the caller checks, and goes on at the end of a file.
   *
   * @param came - is told numbers of bytes, negative ones for a file that begins anew
   * @throws OciError as {@link read}, and `ERR_DIGEST`
   */
  async blob({ digest, size }: Descriptor, file: FileHandle, came: (bytes: number) => void): Promise<void> {
    const name = digestText(digest)
    let { size: bytes } = await file.stat()
    came(bytes)
    const take: Use<void> = async ({ status, headers }, parts) => {
      const isPart = status === 206 && headers.get('content-range')?.startsWith(`bytes ${bytes}-`) === true
      if (bytes > 0 && !isPart) {
        await file.truncate()
        came(-bytes)
        bytes = 0
      }
      if (status !== 200 && !isPart) throw this.#passing(`${this.#image.domain} sends another part than was asked for`)
      for await (const part of parts) {
        bytes += part.length
        if (bytes > size) throw this.#error('ERR_DIGEST', `${name} has more than ${size} bytes`)
        await file.appendFile(part)
        came(part.length)
      }
      if (bytes < size) throw this.#passing(`${this.#image.domain} ended ${name} after ${bytes} of ${size} bytes`)
    }
    const open = () => this.#open(`blobs/${name}`, bytes > 0 ? { range: `bytes=${bytes}-` } : {}, take)
    if (bytes < size) await this.#again(open, () => bytes)
  }

  /** Tries again after failures that may pass. @param came - number of bytes that have come: progress permits further tries */
  async #again<T>(act: () => Promise<T>, came: () => number = () => 0): Promise<T> {
    const { signal, pauseMs = 500 } = this.#options
    for (let [all, failed] = [1, 0]; ; all++) {
      const before = came()
      try {
        return await act()
      } catch (error) {
        failed = came() > before ? 0 : failed + 1
        signal.throwIfAborted()
        if (!(error instanceof PassingFailure) || failed === MOST_FAILED || all === MOST_TRIES) throw error
        const waitMs = error.waitMs ?? (pauseMs * 2 ** failed) / 2
        if (waitMs > LONGEST_WAIT_MS) throw error
        await pause(waitMs, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** Requests a part of the API, with a token or a login where the registry wants it. */
  async #open<T>(path: string, headers: Headers, use: Use<T>): Promise<T> {
    const send = (authorization?: string) => {
      const all = { ...headers, ...(authorization !== undefined && { authorization }) }
      return this.#request(`${this.#api}/${path}`, { headers: all }, async (response, parts) => {
        if (response.status === 401) return { challenge: response.headers.get('www-authenticate') ?? '' }
        if (![200, 206, 416].includes(response.status)) throw await this.#refusal(response, path)
        return { value: await use(response, parts) }
      })
    }
    const used = this.#authorization
    let answer = await send(await used)
    if ('challenge' in answer) {
      // Another request may have renewed it.
      if (this.#authorization === used)
        this.#authorization = this.#authorize(answer.challenge).catch((error: unknown) => {
          this.#authorization = undefined
          throw error
        })
      answer = await send(await this.#authorization)
    }
    if ('challenge' in answer) throw await this.#noAccess()
    return answer.value
  }

  /** Follows redirects; another origin is not told the authorization. A connection on which nothing comes for long is ended. */
  async #request<T>(url: string, init: { headers: Headers; body?: string }, use: Use<T>, hops = 0): Promise<T> {
    const { fetch, signal, stallMs = 30_000 } = this.#options
    const stop = new AbortController()
    const timer = setTimeout(() => stop.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs)
    const at = new URL(url)
    const failed = (error: unknown): never => {
      const cause = causeOf(stop.signal.aborted ? stop.signal.reason : error)
      const remedy = isLoopback(at) ? '' : '; connect this host, or set https_proxy'
      throw this.#passing(`${at.host} cannot be reached: ${cause}${remedy}`)
    }
    try {
      const response = await fetch(url, {
        ...init,
        headers: { 'accept-encoding': 'identity', ...init.headers },
        ...(init.body !== undefined && { method: 'POST' }),
        redirect: 'manual',
        signal: AbortSignal.any([signal, stop.signal]),
      }).catch(failed)
      const to = response.headers.get('location')
      if (Math.floor(response.status / 100) !== 3 || to === null) return await use(response, parts(response))
      const next = URL.canParse(to, url) ? new URL(to, url) : undefined
      if (next === undefined || hops === MOST_REDIRECTS || !isSafe(next))
        throw this.#error('ERR_NETWORK', `${at.host} redirects to ${shown(next?.origin ?? to)}, which is not followed`)
      const { authorization, ...others } = init.headers
      const headers = next.origin === at.origin && authorization ? { ...others, authorization } : others
      return await this.#request(next.href, { headers }, use, hops + 1)
    } finally {
      clearTimeout(timer)
      // An answer that is not read to its end would hold the connection.
      stop.abort()
    }
    async function* parts({ body }: Response): AsyncGenerator<Uint8Array, void> {
      try {
        for await (const part of body ?? []) {
          timer.refresh()
          yield part
        }
      } catch (error) {
        failed(error)
      }
    }
  }

  /** Gets the value of `Authorization` that a challenge asks for. @throws OciError `ERR_ACCESS` */
  async #authorize(challenge: string): Promise<string> {
    const { domain, repository } = this.#image
    const { basic, identityToken } = await this.#login()
    const login = basic === undefined ? undefined : `Basic ${basic}`
    const [, given] = /\bBearer\s(.*)/i.exec(challenge) ?? []
    if (given === undefined) {
      if (login !== undefined && /\bBasic\b/i.test(challenge)) return login
      throw await this.#noAccess()
    }
    const pairs = [...given.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|([^\s",]+))/g)]
    // The first field of a name counts.
    const fields = new Map(
      pairs.toReversed().map(([, name = '', quoted, plain = '']) => [name.toLowerCase(), quoted ?? plain]),
    )
    const realm = fields.get('realm') ?? ''
    if (!URL.canParse(realm) || !isSafe(new URL(realm)))
      throw this.#error('ERR_ACCESS', `${domain} names the token service '${shown(realm)}', which is no https address`)
    const url = new URL(realm)
    const query = new URLSearchParams({ scope: fields.get('scope') ?? `repository:${repository}:pull` })
    if (fields.has('service')) query.set('service', fields.get('service')!)
    const read: Use<string> = async (response, parts) => {
      if (response.status !== 200) throw await this.#refusal(response)
      const json = JsonValue.parse(await this.#small(parts), `the answer of ${url.host}`)
      const token = json.at('token').text || json.at('access_token').text
      // Fetch would put a token that no header can have into its message.
      if (!/^[\x21-\x7e]+$/.test(token)) throw await this.#noAccess()
      return `Bearer ${token}`
    }
    if (identityToken === undefined) {
      for (const [name, value] of query) url.searchParams.append(name, value)
      return this.#request(url.href, { headers: login === undefined ? {} : { authorization: login } }, read)
    }
    const form = { grant_type: 'refresh_token', client_id: 'retrap', refresh_token: identityToken }
    for (const [name, value] of Object.entries(form)) query.set(name, value)
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    return this.#request(realm, { headers, body: `${query}` }, read)
  }

  #login(): Promise<Credentials> {
    return (this.#credentials ??= this.#options.credentials())
  }

  async #noAccess(): Promise<OciError> {
    const { domain, repository } = this.#image
    const { basic, identityToken, lack } = await this.#login()
    const isRefused = (basic ?? identityToken) !== undefined
    const why = isRefused ? `refuses docker's login for ${repository}` : `has no ${repository}, or wants a login for it`
    return this.#error('ERR_ACCESS', `${domain} ${why}: docker login ${domain}${lack === undefined ? '' : `; ${lack}`}`)
  }

  /** The error for an answer without the wanted file. */
  async #refusal({ status, headers }: Response, path = 'token'): Promise<OciError> {
    const { domain, repository } = this.#image
    if (status === 401 || status === 403) return this.#noAccess()
    const what = path.replace(/^manifests\/([^:]*)$/, "tag '$1'").replace(/s\//, ' ')
    if (status === 404) return this.#error('ERR_MISSING', `${domain} has no ${what} of ${repository}`)
    const answers = `${domain} answers with status ${status}`
    if (status < 500 && status !== 429) return this.#error('ERR_NETWORK', answers)
    const after = headers.get('retry-after') ?? ''
    // Seconds, or a date.
    const waitMs = /^\d{1,9}$/.test(after) ? Number(after) * 1000 : Math.max(0, Date.parse(after) - Date.now())
    const isTold = !Number.isNaN(waitMs)
    const again = `try again ${isTold ? `in ${Math.ceil(waitMs / 1000)} s` : 'later'}`
    const [, count, seconds] = /^(\d+);w=(\d+)/.exec(headers.get('ratelimit-limit') ?? '') ?? []
    const limit = count === undefined ? '' : ` than ${count} in ${Number(seconds) / 3600} hours`
    const { basic, identityToken } = await this.#login()
    const login = (basic ?? identityToken) === undefined ? `, or docker login ${domain}` : ''
    const isRate = status === 429
    const reason = isRate ? `${domain} allows no more requests${limit}: ${again}${login}` : `${answers}: ${again}`
    const failure = this.#passing(reason, isRate ? 'ERR_RATE' : 'ERR_NETWORK')
    return Object.assign(failure, { waitMs: isTold ? waitMs : undefined })
  }

  /** Reads an answer of JSON. */
  async #small(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const all: Uint8Array[] = []
    let bytes = 0
    for await (const part of parts) {
      bytes += part.length
      if (bytes > MOST_BYTES) throw this.#error('ERR_LIMIT', `a manifest of more than ${MOST_BYTES} bytes`)
      all.push(part)
    }
    return Buffer.concat(all)
  }

  #error(code: OciErrorCode, reason: string): OciError {
    return new OciError(code, nameOf(this.#image), reason)
  }

  #passing(reason: string, code: OciErrorCode = 'ERR_NETWORK'): PassingFailure {
    return new PassingFailure(code, nameOf(this.#image), reason)
  }
}

/** Whether a server is on this host: packets to it leave no computer. */
const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)

const isSafe = (url: URL): boolean => url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))

/** The innermost cause: `fetch failed` says nothing. */
function causeOf(error: unknown): string {
  let inner = error
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause
  const first: unknown = inner instanceof AggregateError ? inner.errors[0] : inner
  return first instanceof Error ? first.message : String(first)
}
