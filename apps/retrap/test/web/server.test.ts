/** The server of the site. */
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { serveSite, siteFolder } from '../../src/commands/web/server.ts'
import { runFake } from '../support/run-fake.ts'

const parent = temporaryFolder('site')
const folder = join(parent, 'site')
mkdirSync(join(folder, 'assets'), { recursive: true })
writeFileSync(join(parent, 'secret.txt'), 'secret')
const INDEX = `<!doctype html><meta http-equiv="Content-Security-Policy" content="script-src 'self' 'sha256-x'" />`
writeFileSync(join(folder, 'index.html'), INDEX)
writeFileSync(join(folder, 'assets/main.js'), 'export {}')
for (const name of ['machine.svg', 'bios.wasm', 'note.md', 'kernel.unheard-of'])
  writeFileSync(join(folder, 'assets', name), '')

test('files have their types, isolate their page, and have a strict policy; nothing beyond the folder is served', async () => {
  const site = await serveSite(folder, 0)
  const page = await fetch(site.url)
  expect(await page.text()).toBe(INDEX)
  expect(Object.fromEntries(page.headers)).toMatchObject({
    'content-type': 'text/html; charset=utf-8',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
  })
  // Workers, and the document of the playground, have the page's policy by this.
  for (const { headers } of [page, await fetch(`${site.url}assets/main.js`)])
    expect(headers.get('content-security-policy')).toBe("script-src 'self' 'sha256-x'; frame-ancestors 'none'")
  const script = await fetch(`${site.url}assets/main.js`, { method: 'HEAD' })
  expect([script.headers.get('content-type'), await script.text()]).toEqual(['text/javascript; charset=utf-8', ''])
  const types = ['machine.svg', 'bios.wasm', 'note.md', 'kernel.unheard-of'].map(async (name) => {
    const { headers } = await fetch(`${site.url}assets/${name}`)
    return headers.get('content-type')
  })
  // A picture of another type is not shown.
  expect(await Promise.all(types)).toEqual([
    'image/svg+xml',
    'application/wasm',
    'text/markdown; charset=utf-8',
    'application/octet-stream',
  ])
  // `fetch` would tidy the paths.
  const raw = (path: string, method = 'GET'): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const { port } = new URL(site.url)
      request({ port, path, method }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
  expect(
    await Promise.all(
      ['/../secret.txt', '/%2e%2e/secret.txt', '/assets/', '/assets', '//', '/nothing'].map((path) => raw(path)),
    ),
  ).toEqual([404, 404, 404, 404, 404, 404])
  expect(await Promise.all(['/%zz', '/a%00'].map((path) => raw(path)))).toEqual([400, 400])
  expect(await raw('/', 'POST')).toBe(405)
  const { headers } = await fetch(`${site.url}nothing`)
  expect(headers.get('cross-origin-embedder-policy')).toBe('require-corp')
  site.close()
  await expect(fetch(site.url)).rejects.toThrow()
})

test('a page that has its own name lead here reads nothing; names that were given do', async () => {
  const site = await serveSite(folder, 0, new Map(), ['box.example'])
  const { port } = new URL(site.url)
  const statusFor = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ port, headers: { host: `${host}:${port}` } }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end()
    })
  const hosts = ['127.0.0.1', 'localhost', '[::1]', 'Box.example', 'evil.test']
  expect(await Promise.all(hosts.map(statusFor))).toEqual([200, 200, 200, 200, 421])
  site.close()
})

test('files beside the folder are served, and parts of files are, as a snapshot is read', async () => {
  const list = new TextEncoder().encode('[]')
  const site = await serveSite(folder, 0, new Map([['systems/systems.json', list]]))
  expect(await (await fetch(`${site.url}systems/systems.json`)).text()).toBe('[]')
  const part = async (range: string, path = 'assets/main.js'): Promise<unknown> => {
    const response = await fetch(site.url + path, { headers: { range } })
    return [response.status, response.headers.get('content-range'), await response.text()]
  }
  expect(await part('bytes=1-1', 'systems/systems.json')).toEqual([206, 'bytes 1-1/2', ']'])
  expect(await part('bytes=2-2', 'systems/systems.json')).toEqual([416, 'bytes */2', ''])
  expect(await part('bytes=0-0')).toEqual([206, 'bytes 0-0/9', 'e'])
  expect(await part('bytes=7-100')).toEqual([206, 'bytes 7-8/9', '{}'])
  expect(await part('bytes=7-')).toEqual([206, 'bytes 7-8/9', '{}'])
  expect(await part('bytes=-2')).toEqual([206, 'bytes 7-8/9', '{}'])
  expect(await part('bytes=-100')).toEqual([206, 'bytes 0-8/9', 'export {}'])
  for (const all of ['bytes=3-2', 'bytes=-', 'lines=1-2']) expect(await part(all)).toEqual([200, null, 'export {}'])
  for (const none of ['bytes=9-10', 'bytes=9-', 'bytes=-0']) expect(await part(none)).toEqual([416, 'bytes */9', ''])
  site.close()
})

test('programs and lists are compressed as the browser asks; snapshots, and parts of files, are as they are', async () => {
  const list = new TextEncoder().encode(JSON.stringify(Array(999).fill('Debian')))
  writeFileSync(join(folder, 'assets/large.js'), list)
  const files = ['systems/systems.json', 'systems/machine.snapshot'].map((name) => [name, list] as const)
  const site = await serveSite(folder, 0, new Map(files))
  const ask = async (path: string, headers: Record<string, string>): Promise<unknown> => {
    const response = await fetch(site.url + path, { headers })
    return [response.headers.get('content-encoding'), (await response.arrayBuffer()).byteLength]
  }
  for (const path of ['assets/large.js', 'systems/systems.json'])
    for (const encoding of ['br', 'gzip'])
      expect(await ask(path, { 'accept-encoding': encoding })).toEqual([encoding, list.length])
  expect(await ask('systems/machine.snapshot', { 'accept-encoding': 'br, gzip' })).toEqual([null, list.length])
  expect(await ask('assets/large.js', { 'accept-encoding': 'br', range: 'bytes=0-1' })).toEqual([null, 2])
  site.close()
})

test('a range is of GET, and of a file that is the same still; a type is that of the name, not of the query', async () => {
  const site = await serveSite(folder, 0, new Map([['systems/kernel', new Uint8Array(3)]]))
  const ask = async (path: string, init: RequestInit): Promise<unknown> => {
    const { status, headers } = await fetch(site.url + path, init)
    return [status, headers.get('content-length'), headers.get('content-type')]
  }
  const script = 'text/javascript; charset=utf-8'
  const range = 'bytes=0-0'
  expect(await ask('assets/main.js', { method: 'HEAD', headers: { range } })).toEqual([200, '9', script])
  expect(await ask('assets/main.js', { headers: { range, 'if-range': '"x"' } })).toEqual([200, '9', script])
  const tag = (await fetch(`${site.url}assets/main.js`)).headers.get('etag')!
  expect(tag).toMatch(/^"[^"]{20,}"$/)
  expect(await ask('assets/main.js', { headers: { range, 'if-range': tag } })).toEqual([206, '1', script])
  for (const has of [tag, `"x", W/${tag}`, '*'])
    expect(await ask('assets/main.js', { headers: { 'if-none-match': has } })).toEqual([304, null, null])
  expect(await ask('assets/main.js', { headers: { 'if-none-match': '"x"' } })).toEqual([200, '9', script])
  expect((await fetch(`${site.url}systems/kernel`)).headers.get('etag')).not.toBe(tag)
  expect(await ask('systems/kernel?a.html', {})).toEqual([200, '3', 'application/octet-stream'])
  site.close()
})

test('a part of a file too large for one read is read alone, and a file that has changed has another tag', async () => {
  const site = await serveSite(folder, 0)
  const path = join(folder, 'disk.img')
  const ask = async (condition = ''): Promise<unknown> => {
    const headers = { range: 'bytes=-2', ...(condition !== '' && { 'if-range': condition }) }
    const response = await fetch(`${site.url}disk.img`, { headers })
    await response.body?.cancel()
    return [response.status, response.headers.get('content-range'), response.headers.get('etag')]
  }
  writeFileSync(path, '')
  truncateSync(path, 2 ** 32)
  const [status, range, tag] = (await ask()) as [number, string, string]
  expect([status, range]).toEqual([206, `bytes ${2 ** 32 - 2}-${2 ** 32 - 1}/${2 ** 32}`])
  expect(await ask(tag)).toEqual([status, range, tag])
  truncateSync(path, 3)
  const changed = (await ask(tag)) as unknown[]
  expect(changed).toEqual([200, null, expect.any(String)])
  expect(changed[2]).not.toBe(tag)
  site.close()
})

// The command serves the site that has been built.
const isBuilt = existsSync(join(siteFolder(), 'index.html'))
const lacksSite = skipNote(isBuilt, 'the site is not built: npx turbo run build --filter=@retrap/site')

test.skipIf(!isBuilt)(`the command says that a port is taken${lacksSite}`, async () => {
  const site = await serveSite(folder, 0)
  // Before anything is fetched, or booted.
  const { code, stderr } = await runFake('web', '--port', new URL(site.url).port, '--debian', '--no-open')
  expect([code, stderr]).toEqual([74, expect.stringMatching(/--port \d+: .*EADDRINUSE/)])
  expect(stderr).not.toContain('booting')
  site.close()
})

test('a port that is taken is an error, and one that is none is said', async () => {
  const site = await serveSite(folder, 0)
  await expect(serveSite(folder, Number(new URL(site.url).port))).rejects.toMatchObject({ code: 'EADDRINUSE' })
  site.close()
  const { code, stderr } = await runFake('web', '--port', '65536')
  expect([code, stderr]).toEqual([2, expect.stringContaining("--port '65536': expected a number from 0 to 65535")])
})
