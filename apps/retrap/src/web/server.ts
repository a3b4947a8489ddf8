import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
}

/**
 * What all answers say. The first two give the page shared memory and an exact clock; the policy is that of the page's own
 * `meta` element, which Workers do not see.
 *
 * Source: WHATWG, HTML, 7.1.3 and 7.1.4, "Cross-origin opener policies" and "Cross-origin embedder policies".
 */
const HEADERS: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/** A server of the site. */
export interface SiteServer {
  /** Address of the start page. */
  readonly url: string
  /** Ends it, and connections that are open. */
  close(): void
}

/** The folder of the site: beside the bundle of this program, or, where that runs from source, the site's own. */
export function siteFolder(): string {
  const path = import.meta.url.endsWith('.ts') ? '../../../web/dist/' : './site/'
  return fileURLToPath(new URL(path, import.meta.url))
}

/**
 * Serves the files of a folder on the loopback. Names are looked up among those that are there at the start, so that no
 * request reaches beyond the folder.
 *
 * @param port - 0: any that is free
 * @throws Error of `listen`, with its `code`
 */
export async function serveSite(folder: string, port: number): Promise<SiteServer> {
  const files = new Map<string, string>()
  for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true, recursive: true }) : []) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) files.set(`/${relative(folder, path).split(sep).join('/')}`, path)
  }
  const server = createServer((request, response) => {
    const { pathname } = URL.parse(request.url ?? '/', 'http://localhost') ?? { pathname: '' }
    const path = files.get(pathname === '/' ? '/index.html' : pathname)
    void answer(response, request.method ?? '', path)
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

async function answer(response: ServerResponse, method: string, path: string | undefined): Promise<void> {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value)
  if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
  if (path === undefined) return void response.writeHead(404).end('not found\n')
  const bytes = await readFile(path).catch(() => null)
  if (bytes === null) return void response.writeHead(500).end()
  response.writeHead(200, {
    'content-type': TYPES[extname(path)] ?? 'application/octet-stream',
    'content-length': bytes.length,
  })
  response.end(method === 'HEAD' ? undefined : bytes)
}
