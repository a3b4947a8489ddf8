// Images of a registry in programs, clusters and Compose files.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { PullPolicy } from '@retrap/oci/node'
import { writeLayout } from '@retrap/tooling/container-images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { readClusterFile, readComposition } from '../../src/commands/cluster/compose/read-file.ts'
import { addLayers } from '../../src/commands/layers/command.ts'
import { Program } from '../../src/commands/command-line.ts'
import { openImageRoot } from '@retrap/linux-guest/jobs/root'

const folder = temporaryFolder('registry-images')
const layouts = { amd64: join(folder, 'amd64'), arm64: join(folder, 'arm64') }
const manifests = Object.entries(layouts).map(([architecture, path]) => {
  const layer = writeTar([{ name: architecture }])
  writeLayout(path, [layer], { architecture, config: { Cmd: [architecture] } })
  const [one] = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8')).manifests
  return { ...one, platform: { os: 'linux', architecture } }
})
const index = JSON.stringify({ mediaType: 'application/vnd.oci.image.index.v1+json', manifests })
const server = createServer(({ url = '' }, response) => {
  const blobs = Object.values(layouts).map((path) => join(path, 'blobs', url.replace(/.*\//, '').replace(':', '/')))
  const blob = url.endsWith('/1') ? Buffer.from(index) : readFileSync(blobs.find(existsSync) ?? '/dev/null')
  response.writeHead(blob.length > 0 ? 200 : 404).end(blob)
})
let name = ''
beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  name = `127.0.0.1:${(server.address() as AddressInfo).port}/a/b:1`
})
afterAll(() => {
  server.close()
  vi.unstubAllEnvs()
})

test('exec, clusters and Compose files pull an image for each processor, which layers lists and removes', async () => {
  const layers = async (...words: readonly string[]): Promise<string> => {
    const output: string[] = []
    const program = new Program(process)
    const write = (text: string | Uint8Array) => output.push(String(text)) > 0
    addLayers(program, { write, on: () => {}, once: () => {} })
    await program.parseAsync(['layers', ...words], { from: 'user' })
    return output.join('')
  }
  const [file, composed] = [join(folder, 'cluster.json'), join(folder, 'compose.yaml')]
  const compose = (pull?: PullPolicy) => readComposition(composed, { ...(pull && { pull }) }, () => undefined)
  const root = await openImageRoot(name, 'arm64')
  expect([root.config.command, root.pinned]).toEqual([['arm64'], `${name}@${manifests[1].digest}`])
  await root.close()
  const places = ['x86-64', 'arm64'].map((arch) => ({ name: arch, arch, image: name }))
  writeFileSync(file, JSON.stringify({ machines: places }))
  writeFileSync(composed, `services: { a: { image: "${name}" }, b: { image: "${name}", platform: linux/arm64 } }`)
  const { machines } = await readClusterFile(file, {}, () => undefined, new AbortController().signal)
  const { input } = await compose()
  expect(input.machines.map(({ image }) => image)).toEqual(machines.map(({ image }) => image))
  expect((await layers()).match(/arm64 .*@sha256:\w+/)?.[0]).toContain(manifests[1].digest)
  server.closeAllConnections()
  expect((await layers('--prune')).split('\n')).toEqual([expect.stringMatching(/^0.0 MiB are free again$/), ''])
  writeFileSync(composed, `services: { a: { image: "${name}0" } }`)
  const refused = `compose.yaml:1: services.a.image: ${name}0: ${name.replace('/a/b:1', '')} has no tag '10' of a/b`
  await expect(compose()).rejects.toThrow(refused)
  await expect(compose('never')).rejects.toThrow('docker pull')
})

test.each([
  ['absent/image', /: it is not kept on this host, .* \(--pull never\); and there is no file \/.*absent\/image$/],
  ['localhost/a.tar', /: it is not kept on this host, .* \(--pull never\)$/],
  ['absent/a.tar.gz:x', /^absent\/a.tar.gz:x: there is no such file or folder$/],
  ['./absent', /^.\/absent: there is no such file or folder$/],
])('%s that is neither a file nor kept is told', async (image, error) => {
  await expect(openImageRoot(image, 'amd64', { policy: 'never' })).rejects.toThrow(error)
})
