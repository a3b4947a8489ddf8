// A registry on loopback that serves layouts, with the faults that tests ask for.
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

export class FakeRegistry {
  /** Layouts by their tags. */
  readonly tags = new Map<string, string>()
  /** Requests, with `+` for one with `Authorization`. */
  readonly seen: string[] = []
  host = ''
  /** Answers a request in place of the registry. @returns whether it does */
  fault: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  /** The bytes of a blob that each of some connections brings. */
  cut = { bytes: 0, times: 0 }
  /** The value of `Authorization` that is wanted, and the challenge for it. */
  wanted: string | undefined
  challenge = ''
  readonly #server = createServer((request, response) => this.#answer(request, response))

  static async start(): Promise<FakeRegistry> {
    const registry = new FakeRegistry()
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve))
    registry.host = `127.0.0.1:${(registry.#server.address() as AddressInfo).port}`
    return registry
  }

  /** Wants a token of its own service. @param token - gives it for a request; undefined: the service refuses */
  wantToken(token: (request: IncomingMessage) => string | undefined): void {
    this.wanted = 'a token'
    this.challenge = `Bearer realm="http://${this.host}/token",service="fake",scope="repository:a/b:pull"`
    this.fault = (request, response) => {
      if (!request.url!.startsWith('/token')) return false
      const given = token(request)
      if (given !== undefined) this.wanted = `Bearer ${given}`
      return !!response.writeHead(given === undefined ? 401 : 200).end(JSON.stringify({ token: given }))
    }
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { url = '', method, headers } = request
    this.seen.push(`${method} ${url}${headers.authorization === undefined ? '' : ' +'}`)
    if (this.fault(request, response)) return
    if (this.wanted !== headers.authorization)
      return void response.writeHead(401, { 'www-authenticate': this.challenge }).end()
    const [, kind, name = ''] = /^\/v2\/.+\/(manifests|blobs)\/(.+)$/.exec(url) ?? []
    const index = this.tags.has(name) ? readFileSync(join(this.tags.get(name)!, 'index.json'), 'utf8') : undefined
    const digest: string = index === undefined ? name : JSON.parse(index).manifests[0].digest
    const path = [...this.tags.values()].map((one) => join(one, 'blobs', digest.replace(':', '/'))).find(existsSync)
    if (path === undefined) return void response.writeHead(404).end()
    const bytes = readFileSync(path)
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
    if (kind === 'manifests') response.setHeader('content-type', JSON.parse(String(bytes)).mediaType)
    if (from > 0) response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`)
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': bytes.length - from })
    const isCut = kind === 'blobs' && bytes.length > 100_000 && this.cut.times-- > 0
    if (isCut) response.write(bytes.subarray(from, from + this.cut.bytes), () => response.destroy())
    else response.end(bytes.subarray(from))
  }
}
