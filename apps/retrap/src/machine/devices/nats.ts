/** Connections to NATS, over which devices on other hosts are found. Its client, an optional peer, is loaded with the first. */
import { defined } from '@retrap/basics'
import { readFileSync } from 'node:fs'
import type * as Nats from '@nats-io/transport-node'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import { usage } from '../../options/values.ts'

/** The address of a NATS server, the name to ask it for, and this end's credentials. */
export interface NatsAddress {
  readonly host: string
  readonly port: number
  /** The name of devices. */
  readonly name: string
  /** A file with the authorities that the server's certificate must come from; with it TLS is used, and nothing else. */
  readonly caFile?: string
  /** A file as `nsc generate creds` writes it. */
  readonly credsFile?: string
  /** A file with USER:PASSWORD. */
  readonly loginFile?: string
}

const USUAL_PORT = 4222
const FORM = 'nats://HOST:4222/NAME'
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1'])
/** Keys of an address, besides keys of the requested name. */
export const NATS_KEYS = ['nats-ca', 'nats-creds', 'nats-login'] as const

/**
 * Reads `nats://HOST:PORT/NAME`, also with `nats-ca=FILE`, `nats-creds=FILE` and `nats-login=FILE`. Announcements decide which
 * hosts a machine connects to: off the loopback, TLS and a login are required.
 *
 * @param what - the option that the text was given for
 * @returns also all keys, as the caller may have more
 * @throws CliError `ERR_USAGE`
 */
export function parseNats(what: string, text: string): { readonly nats: NatsAddress; readonly keys: URLSearchParams } {
  const url = URL.parse(text)
  if (url === null || url.protocol !== 'nats:' || url.hostname === '')
    throw usage(`${what} '${text}' is no address of NATS; give ${FORM}`)
  if (url.username !== '' || url.password !== '')
    throw usage(`${what}: other users of this host could read a password here; give nats-login=FILE with USER:PASSWORD`)
  const name = url.pathname.slice(1)
  if (!/^[a-z0-9](?:[a-z0-9.-]{0,126}[a-z0-9])?$/.test(name) || url.hash !== '')
    throw usage(`${what} ${text}: expected a name of devices after the host, of a-z, 0-9, - and dots; give ${FORM}`)
  const keys = url.searchParams
  const [caFile, credsFile, loginFile] = NATS_KEYS.map((key) => keys.get(key) ?? undefined)
  if (credsFile !== undefined && loginFile !== undefined)
    throw usage(`${what} ${text}: give nats-creds or nats-login, not both`)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (!LOOPBACK.has(host)) {
    const why = 'as whoever can write there sends machines to other hosts'
    if (caFile === undefined) throw usage(`${what} ${text}: ${host} is another host: give nats-ca=FILE (TLS), ${why}`)
    if (credsFile === undefined && loginFile === undefined)
      throw usage(`${what} ${text}: ${host} is another host: give nats-creds=FILE or nats-login=FILE, ${why}`)
  }
  const nats = {
    ...{ host, port: url.port === '' ? USUAL_PORT : Number(url.port), name },
    ...defined({ caFile, credsFile, loginFile }),
  }
  return { nats, keys }
}

/**
 * Connects to a server of NATS, and again when the connection is lost, for as long as the process runs.
 *
 * @throws CliError `ERR_INPUT` if the server is unreachable, rejects the credentials, or a file cannot be read
 */
export async function openNats({
  host,
  port,
  caFile,
  credsFile,
  loginFile,
}: NatsAddress): Promise<Nats.NatsConnection> {
  const { connect, credsAuthenticator } = await load()
  const login = loginFile === undefined ? undefined : read(loginFile).trim()
  const at = login?.indexOf(':') ?? 0
  if (at < 0) throw new CliError('ERR_INPUT', `${loginFile}: expected USER:PASSWORD`)
  // The client names no host to TLS where the host is an address. Null: none, though a server may offer it.
  const tls = caFile === undefined ? null : { ca: read(caFile), host }
  try {
    return await connect({
      servers: `${host.includes(':') ? `[${host}]` : host}:${port}`,
      maxReconnectAttempts: -1,
      // A server must not name others: the address is the user's.
      ignoreClusterUpdates: true,
      tls,
      ...(credsFile !== undefined && { authenticator: credsAuthenticator(new TextEncoder().encode(read(credsFile))) }),
      ...(login !== undefined && { user: login.slice(0, at), pass: login.slice(at + 1) }),
    })
  } catch (error) {
    if (error instanceof CliError) throw error
    // The client throws this error for a server with TLS if the client has no certificates.
    const needsTls = tls === null && error instanceof TypeError
    const message = needsTls ? 'it asks for TLS: give nats-ca=FILE' : (error as Error).message
    throw new CliError('ERR_INPUT', `no connection to NATS at ${host}:${port}: ${message}`)
  }
}

async function load(): Promise<typeof Nats> {
  try {
    return await import('@nats-io/transport-node')
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error
    const what = 'addresses nats:// need a package beside retrap: npm install @nats-io/transport-node'
    throw new CliError('ERR_INPUT', what)
  }
}

function read(path: string): string {
  return attempt(path, () => readFileSync(path, 'utf8'))
}
