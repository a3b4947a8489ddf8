// Images in Debian's docker-registry, which wants tokens: filled by skopeo and buildah, unpacked by umoci and buildah.
import { execFile, spawn } from 'node:child_process'
import { createHash, sign, X509Certificate } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from 'node:net'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { pullImage } from '@retrap/oci/node'
import { authority, devices } from '@retrap/tooling/certificates'
import { writeLayout } from '@retrap/tooling/container-images'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { folderTree, openedTree } from './share-tree.ts'

const lacking = ['docker-registry', 'skopeo', 'umoci', 'buildah'].filter((name) => !hasProgram(name))
const lack = lacking.length > 0 ? `${lacking.join(', ')} not installed` : process.getuid?.() === 0 ? '' : 'not root'
const folder = temporaryFolder('oci-registry-server')
const run = promisify(execFile)
const LOGIN = 'me:password'

async function listen(server: Server): Promise<string> {
  onTestFinished(() => void server.close())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Gives tokens as the registry trusts them: signed by a certificate of the authority. */
const tokens = createServer(({ url = '', headers }, response) => {
  const access = new URL(url, 'http://x').searchParams.getAll('scope').map((scope) => {
    const [type, name, actions = ''] = scope.split(':')
    return { type, name, actions: actions.split(',') }
  })
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: 'test', sub: 'me', aud: 'test', exp: now + 300, nbf: now - 60, iat: now, jti: '1', access }
  const x5c = [new X509Certificate(devices.cert).raw.toString('base64')]
  const parts = [{ typ: 'JWT', alg: 'ES256', x5c }, claims].map((one) => Buffer.from(JSON.stringify(one)))
  const text = parts.map((one) => one.toString('base64url')).join('.')
  const signature = sign('sha256', Buffer.from(text), { key: devices.key, dsaEncoding: 'ieee-p1363' })
  const isKnown = headers.authorization === `Basic ${btoa(LOGIN)}`
  response.writeHead(isKnown ? 200 : 401).end(JSON.stringify({ token: `${text}.${signature.toString('base64url')}` }))
})

/** Starts the registry. @returns its host, behind a proxy that cuts connections after `cut.bytes` bytes */
async function serve(cut: { bytes: number; connections: number }): Promise<string> {
  const rootcertbundle = join(folder, 'roots.pem')
  const token = { realm: `http://${await listen(tokens)}/token`, service: 'test', issuer: 'test', rootcertbundle }
  const storage = { filesystem: { rootdirectory: join(folder, 'storage') } }
  writeFileSync(rootcertbundle, authority)
  const config = { version: 0.1, storage, http: { addr: '127.0.0.1:0' }, auth: { token } }
  writeFileSync(join(folder, 'config.yml'), JSON.stringify(config))
  const registry = spawn('docker-registry', ['serve', join(folder, 'config.yml')])
  onTestFinished(() => void registry.kill())
  const port = await new Promise<number>((done) =>
    registry.stderr.on('data', (said) => {
      const told = /listening on 127.0.0.1:(\d+)/.exec(`${said}`)?.[1]
      if (told !== undefined) done(Number(told))
    }),
  )
  const proxy = createTcpServer((socket) => {
    cut.connections++
    const parts = async function* (source: AsyncIterable<Buffer>) {
      let sent = 0
      for await (const part of source) {
        yield part.subarray(0, Math.max(0, cut.bytes - sent))
        sent += part.length
        if (sent >= cut.bytes) return
      }
    }
    pipeline(socket, connect(port, '127.0.0.1'), parts, socket, () => socket.destroy())
  })
  return listen(proxy)
}

/** Fills the registry by skopeo. @returns the files as umoci unpacks them */
async function push(image: string, text: string, ...words: readonly string[]): Promise<ReturnType<typeof folderTree>> {
  const content = createHash('shake256', { outputLength: 300_000 }).update(text).digest()
  const below = [{ name: 'd/', kind: '5', mode: 0o755, time: 5 }, { name: 'd/gone' }, { name: 'large', content }]
  const link = { name: 'l', kind: '2', link: 'd/new', time: 9 }
  const above = [{ name: 'd/.wh.gone' }, { name: 'd/new', mode: 0o4755, time: 7, content: text }, link]
  const path = writeLayout(join(folder, text), [writeTar(below), writeTar(above)])
  const to = ['--dest-tls-verify=false', `--dest-creds=${LOGIN}`, `oci:${path}:test`, `docker://${image}`]
  await run('skopeo', ['copy', '--insecure-policy', ...words, ...to])
  await run('umoci', ['unpack', '--rootless', '--image', `${path}:test`, join(folder, `${text}-bundle`)])
  return folderTree(join(folder, `${text}-bundle/rootfs`))
}

/** Fills the registry by buildah. @returns the files as buildah mounts them */
async function build(image: string): Promise<ReturnType<typeof folderTree>> {
  // The packages' own policy lies beside them.
  const policy = join(folder, 'policy.json')
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  const own = ['--storage-driver=vfs', `--root=${folder}/buildah`, `--runroot=${folder}/run`]
  const buildah = async (word: string, ...words: readonly string[]) => {
    const trusts = word === 'copy' || word === 'mount' ? [] : [`--signature-policy=${policy}`]
    return (await run('buildah', [...own, word, ...trusts, ...words])).stdout.trim()
  }
  mkdirSync(join(folder, 'from/sub'), { recursive: true })
  writeFileSync(join(folder, 'from/sub/file'), 'built', { mode: 0o640 })
  const container = await buildah('from', 'scratch')
  await buildah('copy', container, join(folder, 'from'), '/srv')
  await buildah('commit', '--quiet', container, 'built')
  await buildah('push', '--tls-verify=false', `--creds=${LOGIN}`, 'built', `docker://${image}`)
  return folderTree(await buildah('mount', await buildah('from', 'localhost/built')))
}

const title = `docker's registry has what umoci and buildah unpack${skipNote(lack === '', lack)}`
test.skipIf(lack !== '')(title, { timeout: 120_000 }, async () => {
  const cut = { bytes: Infinity, connections: 0 }
  const host = await serve(cut)
  const credentials = async () => ({ basic: btoa(LOGIN) })
  const treeOf = async (image: string, cache = 'cache') => {
    const options = { architecture: 'amd64', folder: join(folder, cache), pauseMs: 1, credentials }
    return openedTree(await pullImage(image, { ...options, policy: 'always' }), join(folder, 'layers'))
  }
  expect(await treeOf(`${host}/b/built:1`).catch(String)).toMatch(/: 127.0.0.1:\d+ has no tag '1' of b\/built$/)
  const built = await build(`${host}/b/built:1`)
  expect(await treeOf(`${host}/b/built:1`)).toEqual(built)
  const plain = `${host}/a/plain:1`
  const docker = await push(plain, 'docker', '--format', 'v2s2')
  expect(await treeOf(plain)).toEqual(docker)
  // The tag moves.
  const zstd = await push(plain, 'zstd', '--dest-compress-format', 'zstd')
  cut.connections = 0
  const all = await Promise.all(Array.from({ length: 20 }, () => treeOf(plain)))
  expect(all.filter((tree) => tree.get('d/new')?.content === 'zstd')).toHaveLength(20)
  expect([all[0], cut.connections < 10]).toEqual([zstd, true])
  Object.assign(cut, { bytes: 100_000, connections: 0 })
  expect(await treeOf(plain, 'other')).toEqual(zstd)
  expect(cut.connections).toBeGreaterThan(2)
  cut.bytes = Infinity
  const blobs = readdirSync(join(folder, 'other/blobs/sha256'))
  const large = blobs.find((hex) => statSync(join(folder, 'other/blobs/sha256', hex)).size > 100_000)!
  const data = join(folder, 'storage/docker/registry/v2/blobs/sha256', large.slice(0, 2), large, 'data')
  writeFileSync(data, readFileSync(data).fill('damage', 1000, 1100))
  expect(await treeOf(plain, 'third').catch(String)).toMatch(/sha256:\w+: its digest is/)
})
