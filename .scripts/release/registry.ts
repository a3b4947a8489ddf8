// An npm registry on the loopback: what npm and pnpm ask for when they publish and install, and nothing else. It holds
// everything in memory, asks no other server, and refuses what npm's refuses: a second publication of a version; any by a token
// that bypasses the second factor; a new name by anybody but a person with that factor, in an organisation that exists;
// and a workflow that is not the package's trusted publisher. It stands in for GitHub, too, which says what a workflow is.
//
// Source: "npm Registry API" of github.com/npm/registry, docs/REGISTRY-API.md and docs/responses/package-metadata.md; for the
// second factor and trusted publishers the client of npm 11.19, lib/utils/auth.js, lib/utils/oidc.js and lib/trust-cmd.js.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename, dirname, join } from 'node:path'

/** The token that the registry takes for the login of a person, who has a second factor. */
export const TOKEN = 'loopback'
/** A token that bypasses the second factor. */
export const BYPASS_TOKEN = 'bypass'
const USER = 'rehearsal'
/** The second factor that the registry hands out in the browser; nobody types it. */
const FACTOR = '271828'
/** After so many writes the registry asks for the second factor again; npm's does after 5 minutes. */
const WRITES_PER_FACTOR = 12
/** One of so many writes of a person is too fast for the registry. */
const WRITES_PER_LIMIT = 17

interface Version {
  readonly name: string
  readonly version: string
  readonly dist: { readonly tarball: string; readonly shasum: string; readonly integrity: string }
}

/** What a package trusts, or what GitHub says of a workflow. */
interface Claims {
  readonly repository: string
  readonly workflow_ref: { readonly file: string }
  readonly environment?: string
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
  /** Those of them that a person made, not a workflow. */
  readonly byPerson: ReadonlySet<string>
  /** What was asked of persons: second factors and, where the registry limited the rate, waits. */
  readonly asked: { factors: number; waits: number }
  /** The packages with a trusted publisher. */
  readonly trusted: ReadonlyMap<string, Claims>
  /** Requests that it could not answer, as method and path; a rehearsal expects none. */
  readonly refused: readonly string[]
  /** Returns the tarball of a published version. */
  tarball(name: string, version: string): Buffer
  /** Creates the organisation that a scope's packages need. */
  createOrganisation(name: string): void
  /** Gives a package an older version and a trusted publisher, as a claim has done. */
  reserve(name: string, claims: Claims): void
  /** Runs `act` when a person has written to the registry `writes` times; that write is not answered. */
  interrupt(writes: number, act: () => void): void
  /** The environment of a workflow on GitHub with these claims. */
  workflow(claims: Claims): Record<string, string>
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
  const organisations = new Set<string>()
  const byPerson = new Set<string>()
  const trusted = new Map<string, Claims>()
  const asked = { factors: 0, waits: 0 }
  /** Writes of the person so far, and how many are left until the second factor is needed. */
  let writes = 0
  let writesLeft = 0
  let requests = 0
  let polls = 0
  let interruption: { at: number; act: () => void } | undefined
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
      if (status >= 400 && status !== 404 && status !== 409) refused.push(`${request.method} ${request.url}: ${status}`)
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(body))
    }
    const path = decodeURIComponent(new URL(request.url ?? '/', url).pathname.slice(1))
    const body = await text(request)
    const token = request.headers.authorization?.replace('Bearer ', '')

    /** Whether a person may write now; what hinders it has been answered. */
    const mayWrite = (): boolean => {
      if (request.headers['npm-otp'] === FACTOR) writesLeft = WRITES_PER_FACTOR
      const answer = (status: number, headers: Record<string, string>): false => {
        response.writeHead(status, { 'content-type': 'application/json', ...headers })
        response.end(JSON.stringify({ error: 'not now', authUrl: `${url}-/factor`, doneUrl: `${url}-/done` }))
        return false
      }
      if (++requests % WRITES_PER_LIMIT === 0) {
        asked.waits++
        return answer(429, { 'retry-after': '1' })
      }
      if (writesLeft === 0) {
        asked.factors++
        return answer(401, { 'www-authenticate': 'OTP' })
      }
      writesLeft--
      return true
    }
    /** Answers a write of a person, unless the rehearsal interrupts it. */
    const sendWritten = (status: number, answer: unknown): void => {
      if (++writes !== interruption?.at) return send(status, answer)
      response.destroy()
      return interruption.act()
    }

    if (path === '-/done') {
      // The browser is not done at once.
      response.writeHead(++polls % 2 === 1 ? 202 : 200, { 'content-type': 'application/json', 'retry-after': '1' })
      response.end(JSON.stringify({ token: FACTOR }))
      return undefined
    }
    if (path === '-/github') return send(200, { value: token })
    const exchanged = /^-\/npm\/v1\/oidc\/token\/exchange\/package\/(.+)$/.exec(path)?.[1]
    if (exchanged !== undefined) {
      const isTrusted =
        token !== undefined && JSON.stringify(trusted.get(exchanged)) === JSON.stringify(claimsOf(token))
      return isTrusted ? send(201, { token: `oidc:${exchanged}` }) : send(404, { message: 'no trusted publisher' })
    }
    const organisation = /^-\/org\/(.+)\/user$/.exec(path)?.[1]
    if (organisation !== undefined)
      return organisations.has(organisation) ? send(200, { [USER]: 'owner' }) : send(404, { error: 'no such scope' })
    const subject = /^-\/package\/(.+)\/trust$/.exec(path)?.[1]
    if (subject !== undefined) {
      if (token !== TOKEN) return send(401, { error: 'not logged in' })
      if (!packuments.has(subject)) return send(404, { error: 'Not found' })
      if (!mayWrite()) return undefined
      if (trusted.has(subject)) return sendWritten(409, { error: 'the package has a trusted publisher' })
      const [config] = JSON.parse(body) as [{ type: string; permissions: string[]; claims: Claims }]
      if (config.type !== 'github' || !config.permissions.includes('createPackage')) return send(400, { error: 'bad' })
      trusted.set(subject, config.claims)
      return sendWritten(201, [{ id: subject, ...config }])
    }
    if (request.method === 'PUT') {
      const publication = JSON.parse(body) as Publication
      const { name } = publication
      const isPerson = token === TOKEN
      if (token === undefined) return send(401, { error: 'not logged in' })
      if (!isPerson && token !== `oidc:${name}`) return send(packuments.has(name) ? 403 : 404, { error: 'Not found' })
      const scope = /^@([^/]+)\//.exec(name)?.[1]
      if (scope !== undefined && !organisations.has(scope)) return send(404, { error: 'Scope not found' })
      if (isPerson && !mayWrite()) return undefined
      const status = publish(publication)
      if (isPerson && status === 201) byPerson.add(published.at(-1) as string)
      const answer = status === 201 ? { ok: true } : { error: 'cannot publish over the previously published version' }
      return isPerson ? sendWritten(status, answer) : send(status, answer)
    }
    if (request.method === 'POST' && path.startsWith('-/npm/v1/security/')) return send(200, {})
    if (path === '-/whoami')
      return token === TOKEN ? send(200, { username: USER }) : send(401, { error: 'not logged in' })
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
    byPerson,
    asked,
    trusted,
    refused,
    tarball: (name, version) => {
      const data = tarballs.get(`${name}/-/${name.replace(/^.*\//, '')}-${version}.tgz`)
      if (data === undefined) throw new Error(`${name}@${version} was not published`)
      return data
    },
    createOrganisation: (name) => organisations.add(name),
    reserve: (name, claims) => {
      add({ name, version: '0.0.0' }, ['latest'], Buffer.alloc(0))
      trusted.set(name, claims)
    },
    interrupt: (count, act) => {
      interruption = { at: writes + count, act }
    },
    workflow: (claims) => ({
      GITHUB_ACTIONS: 'true',
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}-/github`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`,
    }),
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

/** What GitHub says of a workflow, in an id token. */
function claimsOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString() || 'null')
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
