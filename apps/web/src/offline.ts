/** Set while the page has been loaded again to be isolated: once is enough. */
const RELOADED = 'retrap-reloaded'

let isTouched = false
const settled = Promise.withResolvers<void>()

/**
 * Waits until this page stays: it is not loaded again from then on.
 *
 * @param limitMs - time after which the promise resolves in any case
 */
export function stays(limitMs: number): Promise<void> {
  const timer = setTimeout(() => {
    isTouched = true
    settled.resolve()
  }, limitMs)
  return settled.promise.finally(() => clearTimeout(timer))
}

/**
 * Has a service worker keep the site, so that it works without a network. Where the server does not isolate the page, the service
 * worker does: the page is loaded again for that, once, and only if nobody has touched it.
 */
export async function keepSite(): Promise<void> {
  if (crossOriginIsolated || !('serviceWorker' in navigator) || sessionStorage.getItem(RELOADED) !== null)
    settled.resolve()
  if (!('serviceWorker' in navigator)) return
  const touched = (): void => void (isTouched = true)
  for (const type of ['pointerdown', 'keydown', 'click', 'drop']) addEventListener(type, touched, { once: true })
  try {
    // The page's own files are fetched first. WebKit has no idle callback.
    if (crossOriginIsolated)
      await new Promise((resolve) => {
        if ('requestIdleCallback' in globalThis) requestIdleCallback(resolve, { timeout: 5000 })
        else setTimeout(resolve, 2000)
      })
    await navigator.serviceWorker.register('service-worker.js')
    if (crossOriginIsolated || sessionStorage.getItem(RELOADED) !== null) return
    await navigator.serviceWorker.ready
    if (isTouched) return settled.resolve()
    sessionStorage.setItem(RELOADED, 'yes')
    location.reload()
  } catch {
    settled.resolve()
    // Without a service worker, as in a private window, the site works all the same.
  }
}
