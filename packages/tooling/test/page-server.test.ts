/** The web server of tests: what it answers is what a page's sources rely on. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type PageServer, servePages } from '../src/page-server.ts'

let server: PageServer
beforeEach(async () => {
  const files = new Map<string, string | Uint8Array>([
    ['index.html', '<p>hello'],
    ['ten.bin', Uint8Array.from({ length: 10 }, (_, i) => i)],
  ])
  server = await servePages(files)
})
afterEach(() => server.close())

test.each([
  [undefined, 200, null, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  ['bytes=0-0', 206, 'bytes 0-0/10', [0]],
  ['bytes=3-5', 206, 'bytes 3-5/10', [3, 4, 5]],
  ['bytes=7-', 206, 'bytes 7-9/10', [7, 8, 9]],
  ['bytes=8-100', 206, 'bytes 8-9/10', [8, 9]],
  ['bytes=-3', 200, null, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
])('a request for %s is answered with %d, %s', async (range, status, contentRange, bytes) => {
  const answer = await fetch(`${server.origin}/ten.bin`, { headers: range === undefined ? {} : { range } })
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-range')).toBe(contentRange)
  expect([...new Uint8Array(await answer.arrayBuffer())]).toEqual(bytes)
})

test('the folder is its index; types are by name; what is not there is not found', async () => {
  const page = await fetch(server.origin)
  expect([page.status, page.headers.get('content-type'), await page.text()]).toEqual([200, 'text/html', '<p>hello'])
  const binary = await fetch(`${server.origin}/ten.bin`)
  expect(binary.headers.get('content-type')).toBe('application/octet-stream')
  expect(binary.headers.get('content-length')).toBe('10')
  const missing = await fetch(`${server.origin}/missing`)
  expect(missing.status).toBe(404)
})

test('pages are isolated, unless that is switched off', async () => {
  const isolated = await fetch(server.origin)
  expect(isolated.headers.get('cross-origin-opener-policy')).toBe('same-origin')
  expect(isolated.headers.get('cross-origin-embedder-policy')).toBe('require-corp')
  const other = await servePages(new Map([['index.html', '']]), { isolated: false, headers: { 'x-one': '1' } })
  try {
    const { headers } = await fetch(other.origin)
    expect([headers.get('cross-origin-opener-policy'), headers.get('x-one')]).toEqual([null, '1'])
  } finally {
    other.close()
  }
})
