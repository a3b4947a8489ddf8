import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { contentType } from 'mime-types'

/**
 * The headers of all answers, beside {@link policyOf}. The first two give the page shared memory and an exact clock.
 *
 * Source: WHATWG, HTML, 7.1.3 and 7.1.4, "Cross-origin opener policies" and "Cross-origin embedder policies".
 */
const HEADERS: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/** The policy of the page's own `meta` element, which Workers do not see; and nobody frames the page. */
async function policyOf(page: string | undefined): Promise<string> {
  const html = page === undefined ? '' : await readFile(page, 'utf8')
  const [, policy = "default-src 'none'"] = /"Content-Security-Policy"\s+content="([^"]*)"/.exec(html) ?? []
  return `${policy}; frame-ancestors 'none'`
}

/** A server of the site. */
export interface SiteServer {
  /** Address of the start page. */
  readonly url: string
  /** Ends the server, and connections that are open. */
  close(): void
}

/** The folder of the site: beside the bundle of this program, or, where that runs from source, the site's own. */
export function siteFolder(): string {
  const path = import.meta.url.endsWith('.ts') ? '../../../web/dist/' : './site/'
  return fileURLToPath(new URL(path, import.meta.url))
}

/** A file of the site, or what makes it when it is asked for. */
export type SiteFile = Uint8Array | (() => Promise<Uint8Array>)

/** Files that are served beside those of a folder, by their paths below the site. Others may come while it is served. */
export type MoreFiles = ReadonlyMap<string, SiteFile>

/**
 * Serves the files of a folder on the loopback, by ranges too. Names are looked up among those that are there at the start, so that no
 * request reaches beyond the folder.
 *
 * @param port - 0: any that is free
 * @param more - in place of the folder's files of the same names
 * @throws Error of `listen`, with its `code`
 */
export async function serveSite(folder: string, port: number, more: MoreFiles = new Map()): Promise<SiteServer> {
  const files = new Map<string, string>()
  for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true, recursive: true }) : []) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files.set(`/${relative(folder, path).split(sep).join('/')}`, path)
  }
  const headers = { ...HEADERS, 'content-security-policy': await policyOf(files.get('/index.html')) }
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    const { pathname } = URL.parse(request.url ?? '/', 'http://localhost') ?? { pathname: '' }
    const name = pathname === '/' ? '/index.html' : pathname
    void answer(request, response, { name, path: files.get(name), more: more.get(name.slice(1)) })
  })
  await listen(server, port)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** A file of the folder, or one that is served in its place. */
interface ServedFile {
  readonly name: string
  readonly path: string | undefined
  readonly more: SiteFile | undefined
}

async function answer(
  { method = '', headers }: IncomingMessage,
  response: ServerResponse,
  file: ServedFile,
): Promise<void> {
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
  const { path, more } = file
  if (path === undefined && more === undefined) return void response.writeHead(404).end('not found\n')
  const reading = more === undefined ? readFile(path!) : more instanceof Uint8Array ? more : more()
  const bytes = await Promise.resolve(reading).catch(() => null)
  if (bytes === null) return void response.writeHead(500).end()
  // A browser must not guess the type of a file with another extension.
  const type = contentType(extname(file.name)) || 'application/octet-stream'
  const tag = tagOf(bytes)
  response.setHeader('etag', tag)
  const has = headers['if-none-match']?.split(',').map((one) => one.trim().replace(/^W\//, '')) ?? []
  if (has.includes(tag) || has.includes('*')) return void response.writeHead(304).end()
  // Ranges are of GET alone.
  const condition = headers['if-range']
  const isPart = method === 'GET' && (condition === undefined || condition === tag)
  const range = isPart ? rangeOf(headers.range, bytes.length) : null
  const { first, end } = range ?? { first: 0, end: bytes.length }
  if (first >= end && range !== null)
    return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
  response.writeHead(range === null ? 200 : 206, {
    'content-type': type,
    'content-length': end - first,
    'accept-ranges': 'bytes',
    ...(range !== null && { 'content-range': `bytes ${first}-${end - 1}/${bytes.length}` }),
  })
  response.end(method === 'HEAD' ? undefined : bytes.subarray(first, end))
}

const tags = new WeakMap<Uint8Array, string>()

/** A strong tag: other bytes have another one. Pages keep what they read of a file by it. */
function tagOf(bytes: Uint8Array): string {
  const known = tags.get(bytes)
  if (known !== undefined) return known
  const tag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`
  tags.set(bytes, tag)
  return tag
}

/**
 * The range that a request asks for; null: all of the file; an empty one: none that the file has.
 *
 * Source: RFC 9110, section 14.2, "Range", and 14.1.2, "Byte Ranges".
 */
function rangeOf(field: string | undefined, bytes: number): { readonly first: number; readonly end: number } | null {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(field ?? '') ?? []
  if (from === undefined || to === undefined || from + to === '') return null
  // The last this many bytes.
  if (from === '') return { first: Math.max(0, bytes - Number(to)), end: bytes }
  if (to !== '' && Number(to) < Number(from)) return null
  return { first: Number(from), end: to === '' ? bytes : Math.min(Number(to) + 1, bytes) }
}
