import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, type Stats } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import compression from 'compression'
import send from 'send'
import { namesServer, plainLine } from '@retrap/basics'
import { CliError } from '@retrap/linux-guest/errors'

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

/** Compresses texts and programs, by Brotli or gzip. Other files, which pages read by parts, stay as they are. */
const compress = compression({
  filter: (request, response) =>
    request.headers.range === undefined &&
    response.getHeader('content-type') !== 'application/octet-stream' &&
    compression.filter(request, response),
})

/** The policy of the page's own `meta` element, which Workers do not see; and nobody frames the page. */
async function policyOf(page: string): Promise<string> {
  const html = await readFile(page, 'utf8').catch(() => '')
  const [, policy = "default-src 'none'"] = /"Content-Security-Policy"\s+content="([^"]*)"/.exec(html) ?? []
  return `${policy}; frame-ancestors 'none'`
}

export interface SiteServer {
  /** Address of the start page. */
  readonly url: string
  /** Ends the server, and connections that are open. */
  close(): void
}

/** The folder of the site: beside the bundle of this program, or, where that runs from source, the site's own. */
export function siteFolder(): string {
  const path = import.meta.url.endsWith('.ts') ? '../../../../web/dist/' : './site/'
  return fileURLToPath(new URL(path, import.meta.url))
}

/** Returns the folder of the built site. @throws CliError `ERR_INPUT` where no site was built */
export function builtSite(): string {
  const folder = siteFolder()
  if (existsSync(join(folder, 'index.html'))) return folder
  throw new CliError('ERR_INPUT', `there is no site in ${folder}; build it: npx turbo run build --filter=@retrap/site`)
}

/** A file of the site: its bytes, a function that makes them on request, or the path of a large file. */
export type SiteFile = Uint8Array | (() => Promise<Uint8Array>) | { readonly path: string }

/** Files served besides a folder's own, by path below the site. The map may grow while the site is served. */
export type MoreFiles = ReadonlyMap<string, SiteFile>

/**
 * Serves the files of a folder on the loopback, by ranges too.
 *
 * @param port - 0: any free port
 * @param more - replace the folder's files of the same names
 * @param names - names of this server, in lower case, beside addresses and localhost
 * @throws errors of `listen`, with its `code`
 */
export async function serveSite(
  folder: string,
  port: number,
  more: MoreFiles = new Map(),
  names: readonly string[] = [],
): Promise<SiteServer> {
  const headers = { ...HEADERS, 'content-security-policy': await policyOf(join(folder, 'index.html')) }
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    if (!namesServer(request.headers.host, names)) {
      response
        .writeHead(421)
        .end(`this server is not ${plainLine(request.headers.host ?? '', 200)}; --allow-host names it\n`)
      return
    }
    const { pathname } = URL.parse(request.url ?? '/', 'http://localhost') ?? { pathname: '' }
    // The types are Express's; the package works with node:http.
    compress(request as Parameters<typeof compress>[0], response as Parameters<typeof compress>[1], () => {
      void answer(request, response, { folder, pathname, more: more.get(decoded(pathname.slice(1))) })
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Decodes a path. An invalid one is left unchanged. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** A file of the folder, or a file served in its place. */
interface AskedFile {
  readonly folder: string
  /** The request's path below the folder. */
  readonly pathname: string
  readonly more: SiteFile | undefined
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { folder, pathname, more }: AskedFile,
): Promise<void> {
  const fail = (status: number): void => {
    // A file that cannot be read to its end.
    if (response.headersSent) response.destroy()
    else response.writeHead(status).end(status === 404 ? 'not found\n' : undefined)
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    return fail(405)
  }
  const elsewhere = more !== undefined && 'path' in more ? more.path : undefined
  const [root, path] =
    elsewhere === undefined ? [folder, pathname] : [dirname(elsewhere), `/${encodeURIComponent(basename(elsewhere))}`]
  const dotfiles = elsewhere === undefined ? 'ignore' : 'allow'
  const file = send(request, path, { root, dotfiles, cacheControl: false, lastModified: false })
    .on('error', ({ status }: { readonly status: number }) => fail(status))
    .on('directory', () => fail(404))
  if (more === undefined || 'path' in more) {
    file.on('file', (_, { size, mtimeMs }: Stats) => {
      response.setHeader('etag', tagOf(`${size} ${mtimeMs}`))
      tidy(request, size)
    })
    file.pipe(response)
    return
  }
  const bytes = more instanceof Uint8Array ? more : await more().catch(() => null)
  if (bytes === null) return fail(500)
  response.setHeader('etag', tagOfBytes(bytes))
  tidy(request, bytes.length)
  const stream = (_: string, { start, end }: { readonly start: number; readonly end: number }): void =>
    void response.end(bytes.subarray(start, end + 1))
  Object.assign(file, { res: response, stream }).send(pathname, { size: bytes.length } as Stats)
}

/**
 * Changes the fields of a request that `send` takes otherwise than RFC 9110, section 14.2, "Range", and 14.1.2, "Byte Ranges":
 * ranges are of GET alone; one that ends before it begins is ignored; of a short file the last bytes are all.
 */
function tidy({ method, headers }: IncomingMessage, size: number): void {
  const [, from, to] = /^bytes=(\d*)-(\d+)$/.exec(headers.range ?? '') ?? []
  if (method === 'HEAD' || (from !== '' && Number(to) < Number(from))) delete headers.range
  else if (from === '' && Number(to) > size) headers.range = 'bytes=0-'
  // `fetch` adds the header to conditions of the page's own; only caches on the way need it.
  delete headers['cache-control']
}

/** Returns a strong ETag, which identifies the bytes: pages cache parts of a file by it. */
const tagOf = (content: Uint8Array | string): string =>
  `"${createHash('sha256').update(content).digest('base64url').slice(0, 27)}"`

const tags = new WeakMap<Uint8Array, string>()

function tagOfBytes(bytes: Uint8Array): string {
  const tag = tags.get(bytes) ?? tagOf(bytes)
  tags.set(bytes, tag)
  return tag
}
