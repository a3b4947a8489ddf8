/** `--device-server`, and `retrap device-server`: device models of one host in the machines of others, over TLS. */
import { plainLine, secondsIn } from '@retrap/basics'
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as hosts from '@retrap/device-hosting/node'
import type { StartDeviceServer } from '@retrap/machine'
import type { Command } from 'commander'
import { attempt, CliError, troubleWith } from '@retrap/linux-guest/errors'
import { parseSeconds, usage, wholeFrom } from '../../options/values.ts'
import { NATS_KEYS, type NatsAddress, openNats, parseNats } from './nats.ts'
import type { SessionHost } from '../session/session-host.ts'

/** Address of served devices, and this end's identity. */
export interface DeviceServerAddress extends DeviceConnection {
  readonly host: string
  readonly port: number
}

/** Name of announced devices, and this end's identity. */
export interface NamedDevices extends DeviceConnection {
  readonly nats: NatsAddress
}

interface DeviceConnection {
  readonly files: hosts.TlsFiles
  /** A file with a text that both ends must know. */
  readonly tokenFile?: string
  /** Time for which a lost connection is tried again, or awaited. */
  readonly reconnectMs?: number
}

const FORM = 'tls://HOST:PORT?cert=FILE&key=FILE&ca=FILE'
const KEYS = ['cert', 'key', 'ca', 'crl', 'peer', 'token', 'reconnect']
/** Machines that a server has at a time. */
const USUAL_MACHINES = 16
const MOST_MACHINES = 1000

/**
 * Reads `tls://HOST:PORT?cert=FILE&key=FILE&ca=FILE`, also with `crl=FILE`, `peer=NAME` (repeatable), `token=FILE` and
 * `reconnect=SECONDS`.
 *
 * @param what - the option that the text was given for
 * @param least - the least port: 0 asks for any free port
 * @throws CliError `ERR_USAGE`
 */
export function parseDeviceServer(what: string, text: string, least: 0 | 1): DeviceServerAddress {
  const url = URL.parse(text)
  if (url === null || url.protocol !== 'tls:' || url.hostname === '' || url.port === '')
    throw usage(`${what} '${text}' is no address; give ${FORM}`)
  const port = Number(url.port)
  if (port < least) throw usage(`${what} ${text}: port ${port}: expected 1 to 65535`)
  if (url.username !== '' || url.password !== '' || !['', '/'].includes(url.pathname) || url.hash !== '')
    throw usage(`${what} ${text}: expected nothing but a host, a port and keys; give ${FORM}`)
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    ...parseConnection(what, text, url.searchParams, KEYS),
  }
}

/** Reads the keys of an address. @throws CliError `ERR_USAGE` */
function parseConnection(what: string, text: string, keys: URLSearchParams, known: readonly string[]) {
  for (const key of keys.keys())
    if (!known.includes(key)) throw usage(`${what} ${text} has no '${key}'; it has ${known.join(', ')}`)
  const file = (key: 'cert' | 'key' | 'ca'): string => {
    const path = keys.get(key) ?? ''
    if (path === '') throw usage(`${what} ${text} needs ${key}=FILE; give ${FORM}`)
    return path
  }
  const reconnect = keys.get('reconnect')
  const readTime = parseSeconds(`${what} ${text}: reconnect`, '30 or 500ms', 0, 86_400)
  const peers = keys.getAll('peer')
  const [tokenFile, crl] = [keys.get('token'), keys.get('crl')]
  return {
    files: {
      ...{ cert: file('cert'), key: file('key'), ca: file('ca') },
      ...(crl !== null && { crl }),
      ...(peers.length > 0 && { peers }),
    },
    ...(tokenFile !== null && { tokenFile }),
    ...(reconnect !== null && { reconnectMs: readTime(reconnect) }),
  }
}

/** Reads `--device-server`. @throws CliError `ERR_USAGE` */
export const readDeviceServer = (text: string): DeviceServerAddress | NamedDevices =>
  text.startsWith('nats:') ? parseNamed(text) : parseDeviceServer('--device-server', text, 1)

/** Reads `nats://HOST:PORT/NAME` with the keys of both connections. @throws CliError `ERR_USAGE` */
function parseNamed(text: string): NamedDevices {
  const { nats, keys } = parseNats('--device-server', text)
  return { nats, ...parseConnection('--device-server', text, keys, [...KEYS, ...NATS_KEYS]) }
}

/**
 * Reads the files of an address, for either end of a connection. Changed files are read again.
 *
 * @param tell - receives notices of changed files
 * @throws CliError `ERR_INPUT`; IoreqError for files that will not do
 */
async function connectionOf({ files, tokenFile, reconnectMs }: DeviceConnection, tell: (text: string) => void) {
  return {
    tls: await hosts.WatchedTlsFiles.open(files, {
      onChanged: () => tell('the certificates have changed: new connections have them'),
      onTrouble: ({ message }) => tell(`the certificates of before stay in use: ${message}`),
    }),
    ...(tokenFile !== undefined && { token: attempt(tokenFile, () => readFileSync(tokenFile, 'utf8').trim()) }),
    ...(reconnectMs !== undefined && { reconnectMs }),
  }
}

/** Connects each machine to a server of devices. @param tell - takes messages for the user meanwhile */
export function startRemoteDevices(
  address: DeviceServerAddress | NamedDevices,
  tell: (text: string) => void,
): StartDeviceServer {
  let connection: ReturnType<typeof connectionOf> | undefined
  return async (dispatch, platform, realTime) => {
    connection ??= connectionOf(address, tell)
    const options = { ...(await connection), realTime }
    if (!('nats' in address)) {
      const { host, port } = address
      return hosts.connectDeviceServer(dispatch, platform, {
        ...options,
        ...{ address: { host, port }, name: nameOf(host, port), mayOverlap: false },
      })
    }
    // A lost connection is made again to the same server, without NATS.
    const nats = await openNats(address.nats)
    const { name } = address.nats
    try {
      const directory = new hosts.DeviceDirectory(nats, name)
      return await hosts.connectDiscovered(dispatch, platform, { ...options, directory, name })
    } finally {
      await nats.close()
    }
  }
}

function nameOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

const HELP = `
Both ends show a certificate of the authority in ca; nobody else gets in. Each machine has devices of its own, in a Worker, for as
long as it runs. Machines connect with:
  retrap run disk.img --device-server 'tls://HOST:7000?cert=machine.pem&key=machine.key&ca=ca.pem'
Further keys: peer=NAME (repeatable), a name that the other end's certificate must have; crl=FILE, lists of revoked certificates;
token=FILE, with the same text at both ends; reconnect=SECONDS, how long a lost connection is waited for (30).

With --announce 'nats://HOST:4222/NAME', machines find a server by a name that its certificate has, the one with the least load of several:
  retrap run disk.img --device-server 'nats://HOST:4222/NAME?cert=machine.pem&key=machine.key&ca=ca.pem'
NATS on another host has to be reached by TLS (nats-ca=FILE) and with nats-creds=FILE, or nats-login=FILE with USER:PASSWORD, at both
ends. Further keys of --announce: host=HOST, where machines reach this host; lease=TIME, how long it is remembered (15s).

Certificates, authorities and lists are read again when they change, and at SIGHUP; machines that are connected go on.`

interface DeviceServerFlags {
  readonly listen: DeviceServerAddress
  readonly announce?: Announcement
  readonly machines: number
}

/** Adds `retrap device-server`. */
export function addDeviceServer(program: Command, host: Pick<SessionHost, 'stderr' | 'onSignal'>): void {
  program
    .command('device-server')
    .description('Serve modules with devices of your own to machines on other hosts, over TLS')
    .argument('<module...>', 'modules that export device models (defineDevice of @retrap/device)')
    .requiredOption('--listen <address>', `where: ${FORM}; port 0: any`, (text) =>
      parseDeviceServer('--listen', text, 0),
    )
    .option(
      `--machines <count>`,
      `machines at a time (default: ${USUAL_MACHINES})`,
      wholeFrom('--machines', 1, MOST_MACHINES),
      USUAL_MACHINES,
    )
    .option('--announce <address>', `let machines find them by a name: ${ANNOUNCE_FORM}`, parseAnnounce)
    .addHelpText('after', HELP)
    .action(async (modules: readonly string[], { listen, machines, announce }: DeviceServerFlags) => {
      const urls = modules.map(urlOf)
      const tell = (text: string): void => void host.stderr.write(`retrap: ${text}\n`)
      const connection = await connectionOf(listen, tell)
      // No server is started when NATS cannot be reached.
      const nats = announce === undefined ? null : await openNats(announce.nats)
      const options = {
        ...connection,
        address: { host: listen.host, port: listen.port },
        maxMachines: machines,
        onMachineGone: (_name: string, error: Error | null) => {
          if (error !== null) tell(`a machine's devices have failed: ${plainLine(error.message)}`)
        },
      }
      const service = await hosts.serveDeviceModules(options, urls).catch((error: unknown) => {
        if (error instanceof Error && 'syscall' in error)
          throw new CliError('ERR_INPUT', `cannot listen at ${nameOf(listen.host, listen.port)}: ${troubleWith(error)}`)
        throw error
      })
      const { port = listen.port } = service.address as { readonly port?: number }
      const announcer =
        nats === null || announce === undefined
          ? null
          : hosts.announceDevices(nats, service, { name: announce.nats.name, ...announce.options })
      tell(`devices are served at ${nameOf(listen.host, port)} (Ctrl-C ends it)`)
      await new Promise<void>((resolve) => {
        const stop = host.onSignal((signal) => {
          if (signal === 'SIGHUP') {
            connection.tls
              .reload()
              .catch((error: Error) => tell(`the certificates of before stay in use: ${error.message}`))
            return
          }
          stop()
          resolve()
        })
      })
      await announcer?.close()
      await nats?.close()
      await service.close()
    })
}

/** Settings for announcing a server. */
interface Announcement {
  readonly nats: NatsAddress
  readonly options: { readonly host?: string; readonly leaseMs?: number }
}

const ANNOUNCE_FORM = 'nats://HOST:PORT/NAME'

/** Reads `nats://HOST:PORT/NAME`, also with `host=HOST` and `lease=TIME`. @throws CliError `ERR_USAGE` */
export function parseAnnounce(text: string): Announcement {
  const { nats, keys } = parseNats('--announce', text)
  const known = [...NATS_KEYS, 'host', 'lease']
  for (const key of keys.keys())
    if (!known.includes(key)) throw usage(`--announce ${text} has no '${key}'; it has ${known.join(', ')}`)
  const [host, lease] = [keys.get('host'), keys.get('lease')]
  const leaseMs = lease === null ? undefined : (secondsIn(lease) ?? Number.NaN) * 1000
  if (leaseMs !== undefined && !(Number.isInteger(leaseMs) && leaseMs >= 1000 && leaseMs <= 600_000))
    throw usage(`--announce ${text}: lease=${lease}: expected 1 to 600 seconds`)
  return { nats, options: { ...(host !== null && { host }), ...(leaseMs !== undefined && { leaseMs }) } }
}

function urlOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new CliError('ERR_INPUT', `${path}: there is no such file`)
  return pathToFileURL(resolve(path)).href
}
