// A registry on loopback that serves layouts, with a token service, and with faults that tests ask for.
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

/** Answers a request in place of the registry. @returns whether it does */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean

export class FakeRegistry {
  /** Layouts by their tags. */
  readonly tags = new Map<string, string>()
  /** The requests so far, such as `GET /v2/…`, with `+` for one with `Authorization`. */
  readonly seen: string[] = []
  fault: Fault = () => false
  /** The value of `Authorization` that is wanted; undefined: none. */
  wanted: string | undefined
  challenge = ''
  readonly #server = createServer((request, response) => this.#answer(request, response))

  static async start(): Promise<FakeRegistry> {
    const registry = new FakeRegistry()
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve))
    registry.host = `127.0.0.1:${(registry.#server.address() as AddressInfo).port}`
    return registry
  }

  /** Such as `127.0.0.1:5000`. */
  host = ''

  /** The requests whose paths have a text. */
  count(text: string): number {
    return this.seen.filter((line) => line.includes(text)).length
  }

  /** Wants a token of its own service. @param token - is asked for each time */
  wantToken(token: (authorization: string | undefined, request: IncomingMessage) => string | undefined): void {
    this.wanted = 'a token'
    this.challenge = `Bearer realm="http://${this.host}/token",service="fake",scope="repository:a/b:pull"`
    this.fault = (request, response) => {
      if (!request.url!.startsWith('/token')) return false
      const given = token(request.headers.authorization, request)
      if (given !== undefined) this.wanted = `Bearer ${given}`
      response.writeHead(given === undefined ? 401 : 200).end(JSON.stringify({ token: given }))
      return true
    }
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', headers } = request
    this.seen.push(`${request.method} ${url}${headers.authorization === undefined ? '' : ' +'}`)
    if (this.fault(request, response)) return
    if (this.wanted !== headers.authorization) {
      response.writeHead(401, { 'www-authenticate': this.challenge }).end()
      return
    }
    const [, kind, name = ''] = /^\/v2\/.+\/(manifests|blobs)\/(.+)$/.exec(url) ?? []
    const tagged = this.tags.get(name)
    const index = tagged && JSON.parse(readFileSync(join(tagged, 'index.json'), 'utf8')).manifests[0]
    const digest: string = index?.digest ?? name
    const path = [...this.tags.values()].map((one) => join(one, 'blobs', digest.replace(':', '/'))).find(existsSync)
    if (path === undefined) return void response.writeHead(404).end()
    const bytes = readFileSync(path)
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
    const type = kind === 'manifests' ? JSON.parse(String(bytes)).mediaType : 'application/octet-stream'
    response.writeHead(from > 0 ? 206 : 200, {
      'content-type': type,
      'content-length': bytes.length - from,
      ...(from > 0 && { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    })
    response.end(bytes.subarray(from))
  }
}
