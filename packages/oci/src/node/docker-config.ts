import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { OciError } from '../index.ts'
import { JsonValue } from '../json.ts'
import { codeOf } from './local-files.ts'
import type { Credentials } from './registry-client.ts'

const run = promisify(execFile)
/** Time for a program that keeps credentials, which may ask its user. */
const HELPER_MS = 60_000

/**
 * Returns the credentials that docker has for a registry: of a program (`credHelpers`, `credsStore`), or in its file (`auths`).
 *
 * @param domain - the registry, as names of images have it
 * @throws OciError `ERR_ACCESS`, `ERR_DAMAGED` for a file that cannot be read; the reason of an aborted signal
 *
 * Source: docker, "docker login", "Credential stores" and "Credential helper protocol".
 */
export async function dockerCredentials(domain: string, signal: AbortSignal): Promise<Credentials> {
  const path = join(process.env['DOCKER_CONFIG'] || join(homedir(), '.docker'), 'config.json')
  const bytes = await readFile(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return '{}'
    throw new OciError('ERR_ACCESS', path, `docker's configuration cannot be read (${codeOf(error)})`)
  })
  const config = JsonValue.parse(Buffer.from(bytes), path)
  // Docker keeps the login of docker.io under an address.
  const key = domain === 'docker.io' ? 'https://index.docker.io/v1/' : domain
  const [helper] = [domain, key, hostOf(key)].map((name) => config.at('credHelpers').at(name).text).filter(Boolean)
  const asked = await askProgram(helper ?? config.at('credsStore').text, key, signal)
  if (asked !== undefined && asked.lack === undefined) return asked
  const entry = config.at('auths').keys.find((one) => one === key || hostOf(one) === hostOf(key))
  const auth = config.at('auths').at(entry ?? '')
  const [basic, identityToken] = ['auth', 'identitytoken'].map((name) => auth.at(name).text || undefined)
  return { basic, identityToken, lack: asked?.lack }
}

/** The host of a key, which may be an address with a path. */
const hostOf = (key: string): string => key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')

/** @returns undefined where no program is named, or the program knows no login */
async function askProgram(name: string, key: string, signal: AbortSignal): Promise<Credentials | undefined> {
  if (name === '') return undefined
  const program = `docker-credential-${name}`
  if (!/^[\w.-]+$/.test(name)) return { lack: `'${program}' is no name of a program` }
  try {
    const asked = run(program, ['get'], { timeout: HELPER_MS, signal })
    // A program that does not start reads nothing.
    asked.child.stdin?.on('error', () => {}).end(key)
    const told = JsonValue.parse(Buffer.from((await asked).stdout), program)
    const [user, secret] = [told.at('Username').text, told.at('Secret').text]
    if (user === '<token>') return { identityToken: secret }
    return { basic: Buffer.from(`${user}:${secret}`).toString('base64') }
  } catch (error) {
    signal.throwIfAborted()
    // The output of a program that fails may be a secret, and is not shown.
    const { code, killed, stdout = '' } = error as { code?: unknown; killed?: boolean; stdout?: string }
    if (/credentials not found/i.test(stdout)) return undefined
    const why = code === 'ENOENT' ? 'is not on PATH' : killed === true ? 'does not end' : 'fails'
    return { lack: `${program}, which docker's configuration names, ${why}` }
  }
}
