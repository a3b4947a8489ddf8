// An npm registry on the loopback: what npm and pnpm ask for when they publish and install, and nothing else. It holds
// everything in memory, asks no other server, and refuses what a real one refuses: a second publication of a version.
//
// Source: "npm Registry API" of github.com/npm/registry, docs/REGISTRY-API.md and docs/responses/package-metadata.md.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'

/** The token that the registry takes for a login. */
export const TOKEN = 'loopback'

interface Version {
  readonly name: string
  readonly version: string
  readonly dist: { readonly tarball: string; readonly shasum: string; readonly integrity: string }
}

interface Packument {
  readonly name: string
  readonly 'dist-tags': Record<string, string>
  readonly versions: Record<string, Version>
  readonly time: Record<string, string>
}

/** The body of a publication: a packument of one version, with the tarball as an attachment in base64. */
interface Publication {
  readonly name: string
  readonly 'dist-tags': Readonly<Record<string, string>>
  readonly versions: Readonly<Record<string, Version>>
  readonly _attachments: Readonly<Record<string, { readonly data: string }>>
}

/** A registry that runs. */
export interface Registry {
  /** Its address, with a slash at the end. */
  readonly url: string
  /** The publications so far, as `name@version`, in the order in which they arrived. */
  readonly published: readonly string[]
  /** Requests that it could not answer, as method and path; a rehearsal expects none. */
  readonly refused: readonly string[]
  /** Returns the tarball of a published version. */
  tarball(name: string, version: string): Buffer
  /** Offers an installed package, packed as it lies there, so that those who depend on it find it. */
  addFolder(folder: string): void
  close(): Promise<void>
}

/** Starts a registry on a free port of 127.0.0.1. */
export async function startRegistry(): Promise<Registry> {
  const packuments = new Map<string, Packument>()
  const tarballs = new Map<string, Buffer>()
  const published: string[] = []
  const refused: string[] = []
  let url = ''

  const add = (manifest: Omit<Version, 'dist'>, tags: readonly string[], data: Buffer): void => {
    const { name, version } = manifest
    const packument = packuments.get(name) ?? { name, 'dist-tags': {}, versions: {}, time: {} }
    const path = `${name}/-/${name.replace(/^.*\//, '')}-${version}.tgz`
    const dist = {
      tarball: url + path,
      shasum: createHash('sha1').update(data).digest('hex'),
      integrity: `sha512-${createHash('sha512').update(data).digest('base64')}`,
    }
    packument.versions[version] = { ...manifest, dist }
    packument.time[version] = new Date().toISOString()
    for (const tag of tags) packument['dist-tags'][tag] = version
    packuments.set(name, packument)
    tarballs.set(path, data)
  }

  const resolveTag = (name = '', tag = ''): string => packuments.get(name)?.['dist-tags'][tag] ?? tag

  const publish = (body: Publication): number => {
    const [version] = Object.values(body.versions)
    const [attachment] = Object.values(body._attachments)
    if (version === undefined || attachment === undefined) return 400
    if (packuments.get(body.name)?.versions[version.version] !== undefined) return 403
    add(version, Object.keys(body['dist-tags']), Buffer.from(attachment.data, 'base64'))
    published.push(`${version.name}@${version.version}`)
    return 201
  }

  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const send = (status: number, body: unknown): void => {
      if (status >= 400 && status !== 404) refused.push(`${request.method} ${request.url}: ${status}`)
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    const path = decodeURIComponent(new URL(request.url ?? '/', url).pathname.slice(1))
    const body = await text(request)
    if (request.method === 'PUT') {
      if (request.headers.authorization !== `Bearer ${TOKEN}`) return send(401, { error: 'not logged in' })
      const status = publish(JSON.parse(body) as Publication)
      return send(
        status,
        status === 201 ? { ok: true } : { error: 'cannot publish over the previously published version' },
      )
    }
    if (request.method === 'POST' && path.startsWith('-/npm/v1/security/')) return send(200, {})
    if (path === '-/whoami') return send(200, { username: 'rehearsal' })
    const tags = /^-\/package\/(.+)\/dist-tags$/.exec(path)?.[1]
    if (tags !== undefined) return send(200, packuments.get(tags)?.['dist-tags'] ?? {})
    const tarball = tarballs.get(path)
    if (tarball !== undefined) {
      response.writeHead(200, { 'content-type': 'application/octet-stream' })
      response.end(tarball)
      return undefined
    }
    const tagged = /^((?:@[^/]+\/)?[^/]+)\/([^/]+)$/.exec(path)
    const version = packuments.get(tagged?.[1] ?? '')?.versions[resolveTag(tagged?.[1], tagged?.[2])]
    if (version !== undefined) return send(200, version)
    const packument = packuments.get(path)
    return packument === undefined ? send(404, { error: 'Not found' }) : send(200, packument)
  }

  const server = createServer((request, response) => {
    respond(request, response).catch((error: unknown) => {
      refused.push(`${request.method} ${request.url}: ${String(error)}`)
      response.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

  return {
    url,
    published,
    refused,
    tarball: (name, version) => {
      const data = tarballs.get(`${name}/-/${name.replace(/^.*\//, '')}-${version}.tgz`)
      if (data === undefined) throw new Error(`${name}@${version} was not published`)
      return data
    },
    addFolder: (folder) => {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Omit<Version, 'dist'>
      add(manifest, ['latest'], pack(folder))
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/**
 * Makes a tarball of an installed package; clients drop the first folder of each path, whatever its name is. pnpm's store
 * keeps files of equal bytes once, and npm's client drops the hard links that tar would make of them.
 */
function pack(folder: string): Buffer {
  const args = ['-czf', '-', '--hard-dereference', '--exclude=node_modules', '-C', dirname(folder), basename(folder)]
  const result = spawnSync('tar', args, { maxBuffer: 1 << 28 })
  if (result.status !== 0) throw new Error(`tar could not pack ${folder}: ${result.stderr}`)
  return result.stdout
}

async function text(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
