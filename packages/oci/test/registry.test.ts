import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { OciError } from '@retrap/oci'
import {
  isImageName,
  openImageFile,
  prunePulledImages,
  pulledImages,
  pullImage,
  type PullOptions,
} from '@retrap/oci/node'
import { type ImageOptions, writeLayout } from '@retrap/tooling/container-images'
import { authority, devices } from '@retrap/tooling/certificates'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { proxyFetch, proxyFor } from '../src/node/proxy-fetch.ts'
import { FakeRegistry } from './fake-registry.ts'
import { contentOf } from './share-tree.ts'

const folder = temporaryFolder('oci-registry')
let count = 0
const fresh = (): string => join(folder, `${++count}`)

const base = writeTar([{ name: 'base', content: 'b'.repeat(300_000) }])
const BASE = createHash('sha256').update(base).digest('hex')
const layout = (text: string, options?: ImageOptions): string =>
  writeLayout(fresh(), [base, writeTar([{ name: 'text', content: text }])], options)

let registry: FakeRegistry
let cache: string
beforeEach(async () => {
  registry = await FakeRegistry.start()
  registry.tags.set('1', layout('one'))
  cache = fresh()
})
afterEach(() => registry.stop())

const pull = (name = 'a/b:1', options: Partial<PullOptions> = {}) =>
  pullImage(`${registry.host}/${name}`, { architecture: 'amd64', folder: cache, pauseMs: 1, ...options })

async function textOf(path: string, architecture = 'amd64'): Promise<string> {
  const image = await openImageFile(path, { architecture, cache: { folder: join(cache, 'layers') } })
  const text = String(await contentOf(await (await image.share.root()).child('text')))
  await image.close()
  return text
}

const errorOf = (done: Promise<unknown>): Promise<string> =>
  done.then(
    () => 'none',
    (error: unknown) =>
      error instanceof OciError ? `${error.code} ${error.message.replaceAll(registry.host, 'HOST')}` : String(error),
  )

/** Ends answers to the large layer after some bytes. */
const cut = (bytes: number, times: number): void => {
  let left = times
  registry.fault = ({ url = '', headers }, response) => {
    if (!url.endsWith(BASE) || left-- <= 0) return false
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0)
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': base.length - from,
      ...(from > 0 && { 'content-range': `bytes ${from}-${base.length - 1}/${base.length}` }),
    })
    response.write(base.subarray(from, from + bytes), () => response.destroy())
    return true
  }
}

/** Answers requests whose paths have a text. */
const answer = (text: string, status: number, headers: Record<string, string> = {}, body = ''): void => {
  registry.fault = ({ url = '' }, response) => {
    if (!url.includes(text)) return false
    response.writeHead(status, headers).end(body)
    return true
  }
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
  expect(names.filter((name) => !isImageName(name))).toEqual([])
  const others = [
    './a',
    '/a',
    'A.tar',
    'a//b',
    'a@b',
    hex,
    '',
    'a:b:c',
    `a@sha256:${hex}0`,
    '-a/b',
    `${'a'.repeat(256)}`,
  ]
  expect(others.filter((name) => isImageName(name))).toEqual([])
})

describe('an image', () => {
  test('is pulled once, kept as a layout, and named by its digest', async () => {
    const told: number[] = []
    const image = await pull('a/b:1', { onProgress: (fraction) => told.push(fraction) })
    expect(await textOf(image.path)).toBe('one')
    expect([told.at(-1), image.name.replace(registry.host, 'HOST')]).toEqual([1, 'HOST/a/b:1'])
    const before = registry.seen.length
    registry.stop()
    expect(await pull()).toMatchObject({ digest: image.digest })
    expect(registry.seen).toHaveLength(before)
    expect(await pulledImages(cache)).toMatchObject([{ name: image.name, architecture: 'amd64' }])
    // A layer that has gone is pulled again.
    expect(await prunePulledImages(cache)).toBeGreaterThan(300_000)
    expect(await pulledImages(cache)).toEqual([])
    expect(await errorOf(pull('a/b:1', { policy: 'never' }))).toMatch(/^ERR_MISSING HOST\/a\/b:1: it is not kept/)
    expect(await errorOf(pull())).toMatch(/^ERR_NETWORK HOST\/a\/b:1: HOST cannot be reached: .*ECONNREFUSED/)
  })

  test('of a tag that moves is the old one until it is always pulled; a digest stays', async () => {
    const first = await pull()
    registry.tags.set('1', layout('two'))
    expect([(await pull()).digest, await textOf((await pull()).path)]).toEqual([first.digest, 'one'])
    expect(await textOf((await pull('a/b:1', { policy: 'always' })).path)).toBe('two')
    expect(await textOf((await pull()).path)).toBe('two')
    registry.tags.set('old', layout('one'))
    const fixed = await pull(`a/b@${first.digest}`)
    expect(await textOf(fixed.path)).toBe('one')
    const count = registry.seen.length
    await pull(`a/b@${first.digest}`, { policy: 'always' })
    expect(registry.seen).toHaveLength(count)
  })

  test.each(['missing', 'always'] as const)('that twenty pull at once comes once (%s)', async (policy) => {
    const all = await Promise.all(Array.from({ length: 20 }, () => pull('a/b:1', { policy })))
    expect(new Set(all.map(({ digest }) => digest)).size).toBe(1)
    expect(registry.seen).toHaveLength(new Set(registry.seen).size)
  })

  test('comes by its platform out of an index, with the variant that a machine has', async () => {
    const [intel, arm, arm7] = [
      layout('intel'),
      layout('arm', { architecture: 'arm64' }),
      layout('arm7', { architecture: 'arm' }),
    ]
    const of = (path: string, architecture: string, variant?: string) => ({
      ...JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')).manifests[0],
      platform: { os: 'linux', architecture, variant },
    })
    for (const path of [intel, arm, arm7]) registry.tags.set(path, path)
    const list = 'application/vnd.docker.distribution.manifest.list.v2+json'
    const write = (...manifests: readonly object[]): void => {
      const index = Buffer.from(JSON.stringify({ mediaType: list, manifests }))
      answer('/manifests/many', 200, { 'content-type': list }, String(index))
    }
    write(
      { ...of(arm7, 'unknown'), platform: { os: 'unknown', architecture: 'unknown' } },
      of(arm7, 'arm', 'v7'),
      of(intel, 'amd64', 'v1'),
      of(arm, 'arm64', 'v8'),
    )
    expect(await textOf((await pull('a/b:many')).path)).toBe('intel')
    expect(await textOf((await pull('a/b:many', { architecture: 'arm64' })).path, 'arm64')).toBe('arm')
    write(of(arm7, 'arm', 'v7'))
    expect(await errorOf(pull('a/b:many', { policy: 'always' }))).toBe(
      'ERR_PLATFORM HOST/a/b:many: it has no image for linux/amd64, only for linux/arm/v7',
    )
    registry.tags.set('1', arm)
    expect(await errorOf(pull())).toBe('ERR_PLATFORM HOST/a/b:1: it is for linux/arm64, not for linux/amd64')
  })

  test.each(['tar+gzip', 'tar+zstd'] as const)('has layers of %s', async (compression) => {
    registry.tags.set('1', layout('packed', { compression }))
    expect(await textOf((await pull()).path)).toBe('packed')
  })
})

describe('a download', () => {
  test('goes on where its connection was cut, also in a later pull', async () => {
    cut(50_000, 3)
    expect(await textOf((await pull()).path)).toBe('one')
    expect(registry.seen).toHaveLength(1 + 3 + 3)
    await prunePulledImages(cache)
    registry.tags.set('1', layout('later'))
    cut(1000, Infinity)
    expect(await errorOf(pull())).toMatch(/^ERR_NETWORK .*cannot be reached/)
    cut(0, 0)
    expect(await textOf((await pull()).path)).toBe('later')
  })

  test.each([
    ['of other bytes', 200, 'x'.repeat(base.length), /^ERR_DIGEST .*sha256:[0-9a-f]{64}: its digest is/],
    ['that is too long', 200, 'x'.repeat(base.length + 1), /^ERR_DIGEST .* has more than \d+ bytes/],
    ['that is absent', 404, '', /^ERR_MISSING .*HOST has no layer sha256:\w+ of a\/b/],
    ['that a busy server refuses', 503, '', /^ERR_NETWORK HOST\/a\/b:1: HOST answers with status 503: try again later/],
  ])('of a layer %s ends by a sentence', async (_, status, body, error) => {
    answer(`/blobs/sha256:${BASE}`, status, {}, body)
    expect(await errorOf(pull())).toMatch(error)
    registry.fault = () => false
    expect(await textOf((await pull()).path)).toBe('one')
  })

  test('that brings nothing is given up, and one that is stopped ends', async () => {
    registry.fault = ({ url = '' }) => url.includes('/blobs/')
    expect(await errorOf(pull('a/b:1', { stallMs: 20 }))).toMatch(/^ERR_NETWORK .*nothing came for 0.02 s/)
    const stop = new AbortController()
    const stopped = pull('a/b:1', { signal: stop.signal })
    setTimeout(() => stop.abort(new Error('enough')), 50)
    expect(await errorOf(stopped)).toBe('Error: enough')
    expect(
      readdirSync(join(cache, 'images'), { recursive: true }).filter((name) => String(name).endsWith('lock')),
    ).toEqual([])
  })

  test.each([
    ['a tag that is not there', '/nothing', 404, {}, "ERR_MISSING HOST/a/b:2: HOST has no tag '2' of a/b"],
    [
      'a limit with its time',
      '/manifests/',
      429,
      { 'retry-after': '300', 'ratelimit-limit': '100;w=21600' },
      'ERR_RATE HOST/a/b:2: HOST allows no more requests than 100 in 6 hours: try again in 300 s, or docker login HOST',
    ],
    [
      'a manifest of another digest',
      '/manifests/',
      200,
      { 'docker-content-digest': `sha256:${'0'.repeat(64)}` },
      /^ERR_DIGEST HOST\/a\/b:2: its digest is/,
    ],
    [
      'an unknown manifest',
      '/manifests/',
      200,
      { 'content-type': 'text/html' },
      "ERR_UNSUPPORTED HOST/a/b:2: the registry has it as 'text/html', which is not read",
    ],
    [
      'a way to another host without TLS',
      '/manifests/',
      302,
      { location: 'http://example.org/x' },
      'ERR_NETWORK HOST/a/b:2: HOST redirects to http://example.org, which is not followed',
    ],
  ] as const)('ends by a sentence for %s', async (_, path, status, headers, error) => {
    answer(path, status, headers, '{}')
    expect(await errorOf(pull('a/b:2'))).toMatch(error)
  })

  test('waits as long as a busy server asks, if that is short', async () => {
    let refused = 0
    registry.fault = (_, response) => {
      if (refused++ > 0) return false
      response.writeHead(429, { 'retry-after': '0' }).end()
      return true
    }
    expect(await textOf((await pull()).path)).toBe('one')
  })

  test('takes a layer from another server, which is told no token', async () => {
    const other = await FakeRegistry.start()
    other.tags.set('1', registry.tags.get('1')!)
    registry.wantToken(() => 'secret')
    const tokens = registry.fault
    registry.fault = (request, response) => {
      if (!request.url!.includes('/blobs/')) return tokens(request, response)
      response.writeHead(307, { location: `http://${other.host}${request.url}` }).end()
      return true
    }
    expect(await textOf((await pull()).path)).toBe('one')
    expect([other.count('/blobs/'), other.count('+')]).toEqual([3, 0])
    other.stop()
  })
})

describe('a login', () => {
  const basic = Buffer.from('me:password').toString('base64')

  test('is not needed for a token, which serves all requests and is renewed', async () => {
    let tokens = 0
    registry.wantToken(() => `token-${++tokens}`)
    await pull()
    expect([tokens, registry.seen[1]]).toEqual([1, 'GET /token?scope=repository%3Aa%2Fb%3Apull&service=fake'])
    registry.tags.set('1', layout('next'))
    const other = registry.fault
    let blobs = 0
    registry.fault = (request, response) => {
      // The token ends in the middle.
      if (request.url!.includes('/blobs/') && ++blobs === 2) registry.wanted = 'another'
      return other(request, response)
    }
    await pull('a/b:1', { policy: 'always' })
    expect(tokens).toBe(3)
  })

  test.each([
    ['auths', { auths: { 'https://HOST/v1/': { auth: basic } } }, `Basic ${basic}`],
    ['credHelpers', { credHelpers: { HOST: 'fake' }, credsStore: 'absent' }, `Basic ${basic}`],
    ['credsStore', { credsStore: 'fake' }, `Basic ${basic}`],
    ['an identity token', { auths: { HOST: { auth: basic, identitytoken: 'identity' } } }, undefined],
  ])("is that of docker's configuration: %s", async (_, config, wanted) => {
    const docker = fresh()
    mkdirSync(docker)
    writeFileSync(join(docker, 'config.json'), JSON.stringify(config).replaceAll('HOST', registry.host))
    const helper = `#!/bin/sh\n[ "$1 $(cat)" = "get ${registry.host}" ] && echo '{"Username":"me","Secret":"password"}'`
    writeFileSync(join(docker, 'docker-credential-fake'), helper)
    chmodSync(join(docker, 'docker-credential-fake'), 0o755)
    const before = { ...process.env }
    Object.assign(process.env, { DOCKER_CONFIG: docker, PATH: `${docker}:${process.env['PATH']}` })
    try {
      const given: (string | undefined)[] = []
      registry.wantToken((authorization, { method }) => {
        given.push(authorization ?? method)
        return 'token'
      })
      await pull()
      expect(given).toEqual([wanted ?? 'POST'])
      registry.challenge = 'Basic realm="fake"'
      registry.wanted = wanted ?? 'none'
      const done = await errorOf(pull('a/b:1', { policy: 'always' }))
      expect(done).toBe(
        wanted === undefined ? `ERR_ACCESS HOST/a/b:1: HOST refuses docker's login for a/b: docker login HOST` : 'none',
      )
    } finally {
      process.env = before
    }
  })

  test('that is missing, refused or not to be had is told without its words', async () => {
    registry.wantToken(() => undefined)
    const tell = (credentials: object): Promise<string> =>
      errorOf(pull('a/b:1', { credentials: async () => credentials }))
    expect(await tell({})).toBe('ERR_ACCESS HOST/a/b:1: HOST has no a/b, or wants a login for it: docker login HOST')
    expect(await tell({ basic })).toBe(`ERR_ACCESS HOST/a/b:1: HOST refuses docker's login for a/b: docker login HOST`)
    expect(await tell({ lack: 'x is not on PATH' })).toMatch(/: docker login HOST; x is not on PATH$/)
    registry.wantToken(() => 'sp ace\u0001d')
    expect(await tell({ basic })).not.toMatch(/ace|password/)
  })
})

test('a proxy is that of the environment', async () => {
  const seen: string[] = []
  const proxy = createServer().on('connect', ({ url, headers }: IncomingMessage, socket: Socket) => {
    seen.push(`${url} ${headers['proxy-authorization']} ${headers.authorization}`)
    if (url !== 'devices.test:443') return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
    const through = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    through.pipe(socket).pipe(through)
  })
  const server = createTlsServer(devices, ({ headers }, response) => {
    response.writeHead(404, { 'x-got': headers.accept }).end('by tls')
  })
  await Promise.all([proxy, server].map((one) => new Promise<void>((done) => one.listen(0, '127.0.0.1', done))))
  const address = `http://u%20s:p@127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const environment = { HTTPS_PROXY: address, no_proxy: 'other.test, .in.test:8443' }
  const fetch = proxyFetch(environment, { ca: authority })
  const init = { headers: { accept: 'x' }, signal: AbortSignal.timeout(10_000) }
  const answer = await fetch('https://devices.test/v2/', init)
  expect([answer.status, answer.headers.get('x-got'), await answer.text()]).toEqual([404, 'x', 'by tls'])
  await expect(fetch('https://no.test/', init)).rejects.toThrow(/^the proxy 127.0.0.1:\d+ answers with status 403$/)
  await expect(fetch('https://no.test/', { ...init, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
  expect(seen).toEqual(['devices', 'no'].map((name) => `${name}.test:443 Basic ${btoa('u s:p')} undefined`))
  const direct = ['https://other.test', 'https://a.in.test:8443', 'http://127.0.0.2', 'https://a.in.test']
  expect(direct.filter((url) => proxyFor(new URL(url), environment) !== undefined)).toEqual(['https://a.in.test'])
  for (const one of [proxy, server]) one.close()
})
