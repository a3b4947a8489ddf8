// Images in Debian's docker-registry, which wants tokens: filled by skopeo and buildah, unpacked by umoci and buildah.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createPublicKey, sign, X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openImageFile, pullImage, type PullOptions } from '@retrap/oci/node'
import { authority, devices } from '@retrap/tooling/certificates'
import { writeLayout } from '@retrap/tooling/container-images'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { folderTree, shareTree } from './share-tree.ts'

const PROGRAMS = ['docker-registry', 'skopeo', 'umoci', 'buildah']
const lacking = PROGRAMS.filter((name) => !hasProgram(name))
const isRoot = process.getuid?.() === 0
const canRun = lacking.length === 0 && isRoot
const note = skipNote(canRun, lacking.length > 0 ? `${lacking.join(', ')} not installed` : 'not root')

const folder = temporaryFolder('oci-registry-server')
const cache = join(folder, 'cache')
const run = promisify(execFile)
const portOf = (server: Server): number => (server.address() as AddressInfo).port
const listen = (server: Server): Promise<void> => new Promise((done) => server.listen(0, '127.0.0.1', done))

/** A token as the registry trusts it: signed by a certificate of the authority. */
function tokenFor(service: string, scopes: readonly string[]): string {
  const now = Math.floor(Date.now() / 1000)
  const access = scopes.map((scope) => {
    const [type, name, actions = ''] = scope.split(':')
    return { type, name, actions: actions.split(',') }
  })
  const chain = [new X509Certificate(devices.cert).raw.toString('base64')]
  const claims = { iss: 'test', sub: 'me', aud: service, exp: now + 300, nbf: now - 60, iat: now, jti: '1', access }
  const text = [{ typ: 'JWT', alg: 'ES256', x5c: chain }, claims]
    .map((one) => Buffer.from(JSON.stringify(one)).toString('base64url'))
    .join('.')
  return `${text}.${sign('sha256', Buffer.from(text), { key: devices.key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

let host = ''
/** Bytes after which connections to the registry are cut. */
let cutAfter = Infinity
let connections = 0
let registry: ChildProcess | undefined
const LOGIN = 'me:password'

const tokens = createServer(({ url = '', headers }, response) => {
  const { searchParams } = new URL(url, 'http://x')
  const isKnown = headers.authorization === `Basic ${btoa(LOGIN)}`
  const token = isKnown ? tokenFor(searchParams.get('service') ?? '', searchParams.getAll('scope')) : undefined
  response.writeHead(isKnown ? 200 : 401).end(JSON.stringify({ token }))
})

beforeAll(async () => {
  if (!canRun) return
  const probe = createTcpServer()
  await Promise.all([listen(tokens), listen(probe)])
  const port = portOf(probe)
  await new Promise((done) => probe.close(done))
  const auth = { realm: `http://127.0.0.1:${portOf(tokens)}/token`, service: 'test', issuer: 'test' }
  writeFileSync(join(folder, 'roots.pem'), authority)
  writeFileSync(
    join(folder, 'config.yml'),
    JSON.stringify({
      version: '0.1',
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(folder, 'storage') } },
      http: { addr: `127.0.0.1:${port}` },
      auth: { token: { ...auth, rootcertbundle: join(folder, 'roots.pem') } },
    }),
  )
  registry = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'inherit' })
  const proxy = createTcpServer((socket) => {
    connections++
    let left = cutAfter
    const to = connect(port, '127.0.0.1')
    for (const one of [socket, to])
      one.on('error', () => {}).on('close', () => [socket, to].forEach((it) => it.destroy()))
    socket.pipe(to)
    to.on('data', (bytes) => {
      socket.write(bytes.subarray(0, left))
      left -= bytes.length
      if (left <= 0) socket.destroySoon()
    })
  })
  await listen(proxy)
  host = `127.0.0.1:${portOf(proxy)}`
  for (let tries = 0; tries < 100; tries++)
    if (
      await fetch(`http://${host}/v2/`).then(
        () => true,
        () => new Promise((done) => setTimeout(() => done(false), 50)),
      )
    )
      break
}, 60_000)
afterAll(() => {
  registry?.kill()
  tokens.close()
})

const pull = (name: string, options: Partial<PullOptions> = {}) =>
  pullImage(`${host}/${name}`, {
    ...{ architecture: 'amd64', folder: cache, pauseMs: 1 },
    credentials: async () => ({ basic: btoa(LOGIN) }),
    ...options,
  })

async function treeOf(name: string, options?: Partial<PullOptions>) {
  const { path } = await pull(name, options)
  const image = await openImageFile(path, { architecture: 'amd64', cache: { folder: join(folder, 'layers') } })
  const tree = await shareTree(image.share)
  await image.close()
  return tree
}

const push = (layout: string, name: string, ...more: readonly string[]) =>
  run('skopeo', [
    'copy',
    '--insecure-policy',
    '--dest-tls-verify=false',
    `--dest-creds=${LOGIN}`,
    ...more,
    `oci:${layout}:test`,
    `docker://${host}/${name}`,
  ])

const layoutOf = (text: string): string =>
  writeLayout(join(folder, text), [
    writeTar([
      { name: 'd/', kind: '5', mode: 0o755, time: 5 },
      { name: 'd/gone', time: 5 },
      { name: 'large', time: 5, content: text.repeat(300_000) },
    ]),
    writeTar([
      { name: 'd/.wh.gone' },
      { name: 'd/new', mode: 0o4755, time: 7, content: text },
      { name: 'l', kind: '2', link: 'd/new', time: 9 },
    ]),
  ])

describe(`a registry of docker's${note}`, () => {
  test.skipIf(!canRun)(
    'has images of skopeo in all forms, as umoci unpacks them',
    async () => {
      const layout = layoutOf('one')
      await push(layout, 'a/plain:1')
      await push(layout, 'a/docker:1', '--format', 'v2s2')
      await push(layout, 'a/zstd:1', '--dest-compress-format', 'zstd')
      await run('umoci', ['unpack', '--rootless', '--image', `${layout}:test`, join(folder, 'bundle')])
      const wanted = folderTree(join(folder, 'bundle/rootfs'))
      for (const name of ['plain', 'docker', 'zstd']) expect(await treeOf(`a/${name}:1`)).toEqual(wanted)
    },
    60_000,
  )
  test.skipIf(!canRun)(
    'has an image of buildah, as buildah mounts it',
    async () => {
      const buildah = async (...words: readonly string[]): Promise<string> => {
        const own = [
          '--storage-driver',
          'vfs',
          '--root',
          join(folder, 'buildah'),
          '--runroot',
          join(folder, 'buildah-run'),
        ]
        return (await run('buildah', [...own, ...words])).stdout.trim()
      }
      const from = join(folder, 'from')
      mkdirSync(join(from, 'sub'), { recursive: true })
      writeFileSync(join(from, 'sub/file'), 'built', { mode: 0o640 })
      const container = await buildah('from', 'scratch')
      await buildah('copy', container, from, '/srv')
      await buildah('config', '--cmd', '/srv/file', container)
      await buildah('commit', '--quiet', container, 'built')
      await buildah('push', '--tls-verify=false', `--creds=${LOGIN}`, 'built', `docker://${host}/b/built:1`)
      const mounted = await buildah('mount', await buildah('from', 'localhost/built'))
      expect(await treeOf('b/built:1')).toEqual(folderTree(mounted))
    },
    60_000,
  )
  test.skipIf(!canRun)(
    'is read on after cuts; twenty pulls fetch once; a tag moves; a damaged layer is refused',
    async () => {
      await push(layoutOf('two'), 'c/d:1', '--dest-compress-format', 'zstd')
      const plain = await treeOf('a/plain:1')
      cutAfter = 200
      await expect(pull('c/d:1', { folder: join(folder, 'other') })).rejects.toThrow(/cannot be reached/)
      cutAfter = Infinity
      const all = await Promise.all(Array.from({ length: 20 }, () => treeOf('c/d:1')))
      expect(new Set(all.map((tree) => tree.get('d/new')?.content))).toEqual(new Set(['two']))
      expect(plain.get('d/new')?.content).toBe('one')
    },
    60_000,
  )
})
