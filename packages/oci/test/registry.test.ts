import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { OciError } from '@retrap/oci'
import { isImageName, prunePulledImages, pulledImages, pullImage, type PullOptions } from '@retrap/oci/node'
import { authority, devices } from '@retrap/tooling/certificates'
import { type ImageOptions, sha256, writeLayout } from '@retrap/tooling/container-images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { proxyFetch, proxyFor } from '../src/node/proxy-fetch.ts'
import { FakeRegistry } from './fake-registry.ts'
import { openedTree } from './share-tree.ts'

const folder = temporaryFolder('oci-registry')
let count = 0
const fresh = (): string => join(folder, `${++count}`)
const base = writeTar([{ name: 'base', content: 'b'.repeat(300_000) }])
const layout = (content: string, options?: ImageOptions): string =>
  writeLayout(fresh(), [base, writeTar([{ name: 'text', content }])], options)

let registry: FakeRegistry
let cache: string
beforeEach(async () => {
  registry = await FakeRegistry.start()
  registry.tags.set('1', layout('one'))
  cache = fresh()
})
afterEach(() => registry.stop())

const pull = (options: Partial<PullOptions> = {}, name = 'a/b:1') =>
  pullImage(`${registry.host}/${name}`, { architecture: 'amd64', folder: cache, pauseMs: 1, ...options })

/** The text in an image, or the error of its pull. */
const pulled = (options: Partial<PullOptions> = {}, name?: string): Promise<string | undefined> =>
  pull(options, name).then(
    async (image) => (await openedTree(image, join(cache, 'layers'))).get('text')?.content,
    (error: unknown) =>
      error instanceof OciError ? `${error.code} ${error.message.replaceAll(registry.host, 'HOST')}` : `${error}`,
  )

const leftIn = (path: string, end: string): readonly string[] =>
  readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(end))

/** Answers requests whose paths have a text. */
const answer = (text: string, status: number, headers: Record<string, string> = {}, body = ''): void => {
  registry.fault = ({ url = '' }, response) => url.includes(text) && !!response.writeHead(status, headers).end(body)
}

test('names are those of docker; a path is none', () => {
  const hex = 'a'.repeat(64)
  const names = [
    'python:3.12',
    'a/b',
    'localhost:5000/x',
    `ghcr.io/a/b@sha256:${hex}`,
    '[::1]:5000/a:t',
    `a:1@sha256:${hex}`,
  ]
  const others = ['./a', '/a', 'A.tar', 'a//b', 'a@b', hex, '', 'a:b:c', `a@sha256:${hex}0`, '-a/b', 'a'.repeat(256)]
  expect([...names, ...others].filter(isImageName)).toEqual(names)
})

describe('an image', () => {
  test('is pulled once, kept as a layout, and named by its digest', async () => {
    const told: number[] = []
    const image = await pull({ onProgress: (fraction) => told.push(fraction) })
    expect([await pulled(), told.at(-1), image.name]).toEqual(['one', 1, `${registry.host}/a/b:1`])
    registry.stop()
    expect(await pull()).toMatchObject({ digest: image.digest })
    expect(await pulledImages(cache)).toMatchObject([{ name: image.name, architecture: 'amd64' }])
    expect(await prunePulledImages(cache)).toBeGreaterThan(300_000)
    expect(await pulledImages(cache)).toEqual([])
    expect(await pulled({ policy: 'never' })).toMatch(/^ERR_MISSING HOST\/a\/b:1: it is not kept/)
    expect(await pulled()).toMatch(/^ERR_NETWORK HOST\/a\/b:1: HOST cannot be reached: .*ECONNREFUSED/)
  })

  test('of a tag that moves is the old one until it is always pulled; a digest stays', async () => {
    const first = await pull()
    registry.tags.set('old', registry.tags.get('1')!).set('1', layout('two'))
    expect([await pulled(), await pulled({ policy: 'always' }), await pulled()]).toEqual(['one', 'two', 'two'])
    expect(await pulled({}, `a/b@${first.digest}`)).toBe('one')
  })

  test.each(['missing', 'always'] as const)('that twenty pull at once comes once (%s)', async (policy) => {
    const all = await Promise.all(Array.from({ length: 20 }, () => pull({ policy })))
    expect(new Set(all.map(({ digest }) => digest)).size).toBe(1)
    expect(registry.seen).toHaveLength(new Set(registry.seen).size)
  })

  test('comes out of an index by its platform, with the best variant that a machine has', async () => {
    const write = (...platforms: readonly string[]): void => {
      const manifests = platforms.map((text) => {
        const [os, architecture, variant, artifactType] = text.split('/')
        const path = layout(text, { architecture: architecture!, compression: 'tar+zstd' })
        registry.tags.set(path, path)
        const [one] = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')).manifests
        return { ...one, platform: { os, architecture, variant }, artifactType }
      })
      const type = 'application/vnd.docker.distribution.manifest.list.v2+json'
      answer('/manifests/1', 200, { 'content-type': type }, JSON.stringify({ manifests }))
    }
    write('unknown/unknown', 'linux/amd64//sbom', 'linux/arm/v7', 'linux/amd64/v2', 'linux/amd64/v1', 'linux/arm64/v8')
    expect([await pulled(), registry.seen.length]).toEqual(['linux/amd64/v1', 5])
    expect(await pulled({ architecture: 'arm64' })).toBe('linux/arm64/v8')
    write('unknown/unknown', 'linux/arm/v7', 'linux/amd64/v4')
    const others = 'only for linux/arm/v7, linux/amd64/v4'
    expect(await pulled({ policy: 'always' })).toMatch(`: it has no image for linux/amd64, ${others}`)
    registry.tags.set('2', layout('arm', { architecture: 'arm64' }))
    const reason = 'it has no image for linux/amd64, only for linux/arm64'
    expect(await pulled({}, 'a/b:2')).toBe(`ERR_PLATFORM HOST/a/b:2: ${reason}`)
  })
})

describe('a download', () => {
  test('goes on where its connection was cut, also in a later pull', async () => {
    registry.cut = { bytes: 50_000, times: 3 }
    expect([await pulled(), registry.seen.length]).toEqual(['one', 4 + 3])
    await prunePulledImages(cache)
    registry.cut = { bytes: 1000, times: Infinity }
    expect(await pulled()).toMatch(/^ERR_NETWORK .*HOST cannot be reached/)
    registry.cut.times = 0
    expect(await pulled()).toBe('one')
  })

  const blob = `/blobs/sha256:${sha256(base)}`
  const other = (bytes: number) => 'x'.repeat(base.length + bytes)
  const zeroes = { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }
  const limit = { 'retry-after': '300', 'ratelimit-limit': '100;w=21600' }
  test.each<[string, number, Record<string, string>, RegExp, string?]>([
    [blob, 200, {}, /^ERR_DIGEST HOST.*sha256:\w{64}: its digest is/, other(0)],
    [blob, 200, {}, /^ERR_DIGEST .* has more than \d+ bytes/, other(1)],
    [blob, 404, {}, /^ERR_MISSING .*HOST has no blob sha256:\w+ of a\/b$/],
    [blob, 503, {}, /^ERR_NETWORK .*: HOST answers with status 503: try again later$/],
    ['/1', 404, {}, /^ERR_MISSING HOST\/a\/b:1: HOST has no tag '1' of a\/b$/],
    ['/1', 429, limit, /^ERR_RATE .* than 100 in 6 hours: try again in 300 s, or docker login HOST$/],
    ['/1', 200, zeroes, /^ERR_DIGEST HOST\/a\/b:1: its digest is/],
    ['/1', 200, { 'content-type': 'a/b' }, /^ERR_UNSUPPORTED .*: the media type 'a\/b' is not known$/],
    ['/1', 302, { location: 'http://x.org/' }, /HOST redirects to http:\/\/x.org, which is not/],
  ])(
    'of %s answered with %i %o ends by %s, and the next one is complete',
    async (path, status, headers, error, body = '{}') => {
      answer(path, status, headers, body)
      expect(await pulled()).toMatch(error)
      registry.fault = () => false
      expect(await pulled()).toBe('one')
    },
  )

  test('that brings nothing is given up, and one that is stopped ends', async () => {
    registry.fault = ({ url = '' }, response) => url.includes(blob) && response.write('b')
    expect(await pulled({ stallMs: 20 })).toMatch(/^ERR_NETWORK .*nothing came for 0.02 s/)
    const stop = new AbortController()
    const stopped = pulled({ signal: stop.signal })
    await vi.waitFor(() => expect(leftIn(cache, '.lock')).toHaveLength(1))
    await prunePulledImages(cache)
    expect(leftIn(cache, '.part')).toHaveLength(1)
    stop.abort(new Error('enough'))
    expect([await stopped, leftIn(cache, 'lock')]).toEqual(['Error: enough', []])
    await prunePulledImages(cache)
    expect(leftIn(cache, '.part')).toEqual([])
  })

  test('waits as long as a busy server asks, if that is short', async () => {
    let refused = 0
    registry.fault = (_, response) => refused++ === 0 && !!response.writeHead(429, { 'retry-after': '0' }).end()
    expect(await pulled()).toBe('one')
  })

  test('takes a layer from another server, which is told no token', async () => {
    const other = await FakeRegistry.start()
    other.tags.set('1', registry.tags.get('1')!)
    registry.wantToken(() => 'secret')
    const { fault } = registry
    registry.fault = (request, response) => {
      const location = `http://${other.host}${request.url}`
      return request.url!.includes('/blobs/') ? !!response.writeHead(307, { location }).end() : fault(request, response)
    }
    expect([await pulled(), other.seen.length, other.seen.join().includes('+')]).toEqual(['one', 3, false])
    other.stop()
  })
})

describe('a login', () => {
  const basic = btoa('me:password')

  test('is not needed for a token, which serves all requests and is renewed', async () => {
    let [tokens, blobs] = [0, 0]
    registry.wantToken(() => `token-${++tokens}`)
    await pull()
    expect([tokens, registry.seen[1]]).toEqual([1, 'GET /token?scope=repository%3Aa%2Fb%3Apull&service=fake'])
    registry.tags.set('1', layout('next'))
    const { fault } = registry
    registry.fault = (request, response) => {
      if (request.url!.includes('/blobs/') && ++blobs === 2) registry.wanted = 'another'
      return fault(request, response)
    }
    await pull({ policy: 'always' })
    expect(tokens).toBe(3)
  })

  test.each([
    ['auths', { auths: { 'https://HOST/v1/': { auth: basic } } }, 'one'],
    ['credHelpers', { credHelpers: { HOST: 'fake' }, credsStore: 'absent' }, 'one'],
    ['credsStore', { credsStore: 'fake' }, 'one'],
    ['an identity token', { auths: { HOST: { identitytoken: 'me' } } }, /HOST refuses docker's login for a\/b: docker/],
    ['an absent program', { credsStore: 'absent' }, /wants a login.* docker-credential-absent, .* is not on PATH$/],
  ])("is that of docker's configuration: %s", async (_, config, seen) => {
    const docker = fresh()
    mkdirSync(docker)
    writeFileSync(join(docker, 'config.json'), JSON.stringify(config).replaceAll('HOST', registry.host))
    const helper = `#!/bin/sh\n[ "$1 $(cat)" = "get ${registry.host}" ] && echo '{"Username":"me","Secret":"password"}'`
    writeFileSync(join(docker, 'docker-credential-fake'), helper)
    chmodSync(join(docker, 'docker-credential-fake'), 0o755)
    vi.stubEnv('DOCKER_CONFIG', docker).stubEnv('PATH', `${docker}:${process.env['PATH']}`)
    const isKnown = (text = '') => text === `Basic ${basic}` || text === 'application/x-www-form-urlencoded'
    registry.wantToken(({ headers }) =>
      isKnown(headers.authorization ?? headers['content-type']) ? 'token' : undefined,
    )
    expect(await pulled()).toMatch('absent' in config ? seen : /^one$|absent/)
    Object.assign(registry, { challenge: 'Basic realm="fake"', wanted: `Basic ${basic}` })
    expect(await pulled({ policy: 'always' })).toMatch(seen)
    vi.unstubAllEnvs()
  })

  test('that is missing or refused is told without its words', async () => {
    registry.wantToken(() => undefined)
    const tell = (credentials: object) => pulled({ credentials: async () => credentials })
    expect(await tell({})).toBe('ERR_ACCESS HOST/a/b:1: HOST has no a/b, or wants a login for it: docker login HOST')
    expect(await tell({ basic })).toBe(`ERR_ACCESS HOST/a/b:1: HOST refuses docker's login for a/b: docker login HOST`)
    registry.wantToken(() => 'sp ace\u0001d')
    expect(await tell({ basic })).not.toMatch(/ace|password/)
  })
})

test('a proxy is that of the environment', async () => {
  const seen: string[] = []
  const proxy = createServer().on('connect', ({ url, headers }: IncomingMessage, socket: Socket) => {
    seen.push(`${url} ${headers['proxy-authorization']} ${headers.authorization}`)
    if (url !== 'devices.test:443') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.pipe(connect((server.address() as AddressInfo).port, '127.0.0.1')).pipe(socket)
  })
  const server = createTlsServer(devices, ({ headers }, response) => {
    response.writeHead(404, { 'x-got': headers.accept }).end('by tls')
  })
  await Promise.all([proxy, server].map((one) => new Promise<void>((done) => one.listen(0, '127.0.0.1', done))))
  const address = `http://u%20s:p@127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const environment = { HTTPS_PROXY: address, no_proxy: 'other.test, .in.test:8443' }
  const fetch = proxyFetch(environment, { ca: authority })
  const init = { headers: { accept: 'x' }, signal: AbortSignal.timeout(10_000) }
  const response = await fetch('https://devices.test/v2/', init)
  expect([response.status, response.headers.get('x-got'), await response.text()]).toEqual([404, 'x', 'by tls'])
  await expect(fetch('https://no.test/', init)).rejects.toThrow(/^the proxy 127.0.0.1:\d+ answers with status 403$/)
  await expect(fetch('https://no.test/', { ...init, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
  expect(seen).toEqual(['devices', 'no'].map((name) => `${name}.test:443 Basic ${btoa('u s:p')} undefined`))
  const direct = ['https://other.test', 'https://a.in.test:8443', 'http://127.0.0.2', 'https://a.in.test']
  expect(direct.filter((url) => proxyFor(new URL(url), environment) !== undefined)).toEqual(['https://a.in.test'])
  for (const one of [proxy, server]) one.close()
})
