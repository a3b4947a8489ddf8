// The site's service worker: keeps the site's files, so that it works without a network, and gives them the headers that isolate
// the page, where the server cannot. The build puts `SITE` before it, and strips the types: it imports nothing.

/** All files of this build, a name for the build, and the files that are there packed by gzip as well, with `.gz` at the end. */
declare const SITE: { readonly version: string; readonly files: readonly string[]; readonly packed?: readonly string[] }

/** The part of a service worker's world that is used; the DOM's types have only the page's. */
interface ServiceWorkerWorld {
  readonly registration: { readonly scope: string }
  readonly clients: { claim(): Promise<void> }
  addEventListener(
    type: 'install' | 'activate',
    listener: (event: { waitUntil(work: Promise<unknown>): void }) => void,
  ): void
  addEventListener(
    type: 'fetch',
    listener: (event: { readonly request: Request; respondWith(response: Promise<Response>): void }) => void,
  ): void
}

const world = self as unknown as ServiceWorkerWorld
// Sites at one origin, in several folders, have separate caches.
const PREFIX = `retrap-site ${world.registration.scope} `
const NAME = PREFIX + SITE.version
const FILES = new Set(SITE.files)

// Pages need the files of their own build: a new worker takes over when no page of the old build is open.
world.addEventListener('install', (event) => {
  const keep = async (cache: Cache, name: string): Promise<void> => {
    const url = new URL(name, world.registration.scope)
    const isPacked = SITE.packed?.includes(name) === true
    const response = await fetch(isPacked ? `${url}.gz` : url, { cache: 'no-cache' })
    if (!response.ok) throw new Error(`${name}: status ${response.status}`)
    if (!isPacked) return cache.put(url, response)
    // Some servers have the browser unpack it.
    const isUnpacked = response.headers.get('content-encoding') !== null
    const body = isUnpacked ? response.body : response.body!.pipeThrough(new DecompressionStream('gzip'))
    const type = name.endsWith('.css') ? 'text/css' : 'text/javascript'
    return cache.put(url, new Response(body, { headers: { 'content-type': type } }))
  }
  event.waitUntil(caches.open(NAME).then((cache) => Promise.all(SITE.files.map((name) => keep(cache, name)))))
})

world.addEventListener('activate', (event) => {
  event.waitUntil(
    (async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME)
      await Promise.all(old.map((name) => caches.delete(name)))
      await world.clients.claim()
    })(),
  )
})

world.addEventListener('fetch', (event) => {
  const { request } = event
  const { href } = new URL(request.url.replace(/[?#].*$/, ''))
  if (request.method !== 'GET' || request.headers.has('range') || !href.startsWith(world.registration.scope)) return
  const name = href.slice(world.registration.scope.length) || 'index.html'
  if (FILES.has(name) || name.startsWith(FIRMWARE)) event.respondWith(answer(request, name))
})

/** Files that may change without a new build: fetched from the server first, with the cached copy as fallback. */
const CHANGING = /^(?:systems|firmware|debian)\//
/** Firmware is no part of the build. A copy is kept when a machine needs it, for times without a network. */
const FIRMWARE = 'firmware/'

async function answer(request: Request, name: string): Promise<Response> {
  const cache = await caches.open(NAME)
  const { href } = new URL(name, world.registration.scope)
  const kept = await cache.match(href)
  const isFresh = kept === undefined || CHANGING.test(name)
  const response = isFresh ? await fetch(request).catch(() => kept ?? Response.error()) : kept
  if (response.status === 0) return response
  // Without room for the copy the machine still starts.
  if (isFresh && response.status === 200 && name.startsWith(FIRMWARE))
    await cache.put(href, response.clone()).catch(() => {})
  const headers = new Headers(response.headers)
  headers.set('cross-origin-opener-policy', 'same-origin')
  headers.set('cross-origin-embedder-policy', 'require-corp')
  headers.set('cross-origin-resource-policy', 'same-origin')
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers })
}

export {}
