import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A web server for the pages of a test. */
export interface PageServer {
  /** Address, without a slash at the end. */
  readonly origin: string
  close(): void
}

/** Answers a request in its own way. @returns false: as usual */
type Answer = (request: IncomingMessage, response: ServerResponse) => boolean

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  css: 'text/css',
  svg: 'image/svg+xml',
}

/** Options of {@link servePages}. */
export interface PageServerOptions {
  /** Whether pages are cross-origin isolated; default true. */
  readonly isolated?: boolean
  /** Header fields of all answers. */
  readonly headers?: Readonly<Record<string, string>>
  /** Answers requests before the files do. */
  readonly answer?: Answer
}

/** Serves files on the loopback, by ranges too. */
export async function servePages(
  files: ReadonlyMap<string, string | Uint8Array>,
  { isolated = true, headers = {}, answer = () => false }: PageServerOptions = {},
): Promise<PageServer> {
  const server = createServer((request, response) => {
    if (isolated) {
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
    }
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    if (answer(request, response)) return
    const path = new URL(request.url ?? '/', 'http://localhost').pathname.slice(1) || 'index.html'
    const file = files.get(path)
    if (file === undefined) return void response.writeHead(404).end()
    const bytes = Buffer.from(file)
    response.setHeader('content-type', TYPES[path.split('.').at(-1) ?? ''] ?? 'application/octet-stream')
    response.setHeader('etag', `"${bytes.length}"`)
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    if (first === undefined) return void response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    const end = Math.min(last === '' ? bytes.length : Number(last) + 1, bytes.length)
    response.writeHead(206, { 'content-range': `bytes ${first}-${end - 1}/${bytes.length}` })
    response.end(bytes.subarray(Number(first), end))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
