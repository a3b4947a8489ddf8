// The site's service worker: keeps the site's files, so that it works without a network, and gives them the headers that isolate
// the page, where the server cannot. The build puts `SITE` before it, and strips the types: it imports nothing.

/** All files of this build, and a name for the build. */
declare const SITE: { readonly version: string; readonly files: readonly string[] }

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
  const requests = SITE.files.map((name) => new Request(new URL(name, world.registration.scope), { cache: 'no-cache' }))
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(requests)))
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
