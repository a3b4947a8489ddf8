/** `--device-server`, and `retrap device-server`: device models of one host in the machines of others, over TLS. */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { connectDeviceServer, serveDeviceModules, type TlsFiles, WatchedTlsFiles } from '@retrap/device-host/node'
import type { StartDeviceServer } from '@retrap/machine'
import type { Command } from 'commander'
import { CliError, troubleWith } from '../errors.ts'
import { parseWhole, usage } from '../options/values.ts'
import type { SessionHost } from '../session/host.ts'

/** Where devices are served, and who this end is. */
export interface DeviceServerAddress {
  readonly host: string
  readonly port: number
  readonly files: TlsFiles
  /** A file with a text that both ends must know. */
  readonly tokenFile?: string
  /** How long a lost connection is tried again, or waited for. */
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
 * @param least - the least port: 0 asks for one that is free
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
  const keys = url.searchParams
  for (const key of keys.keys())
    if (!KEYS.includes(key)) throw usage(`${what} ${text} has no '${key}'; it has ${KEYS.join(', ')}`)
  const file = (key: 'cert' | 'key' | 'ca'): string => {
    const path = keys.get(key) ?? ''
    if (path === '') throw usage(`${what} ${text} needs ${key}=FILE; give ${FORM}`)
    return path
  }
  const reconnect = keys.get('reconnect')
  const reconnectMs = reconnect === null ? undefined : Number(reconnect) * 1000
  if (reconnectMs !== undefined && !(reconnectMs > 0 && reconnectMs <= 86_400_000))
    throw usage(`${what} ${text}: reconnect=${reconnect} is not a time; give seconds, such as 30`)
  const peers = keys.getAll('peer')
  const [tokenFile, crl] = [keys.get('token'), keys.get('crl')]
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port,
    files: {
      ...{ cert: file('cert'), key: file('key'), ca: file('ca') },
      ...(crl !== null && { crl }),
      ...(peers.length > 0 && { peers }),
    },
    ...(tokenFile !== null && { tokenFile }),
    ...(reconnectMs !== undefined && { reconnectMs }),
  }
}

/** A parser of `--device-server`, which may be repeated. */
export function deviceServerOption(
  text: string,
  before: readonly DeviceServerAddress[] = [],
): readonly DeviceServerAddress[] {
  return [...before, parseDeviceServer('--device-server', text, 1)]
}

/**
 * Reads the files of an address, for either end of a connection. They are read again when they change.
 *
 * @param tell - takes what is to be known of such a change
 * @throws CliError `ERR_INPUT`; IoreqError for files that will not do
 */
async function connectionOf(
  { host, port, files, tokenFile, reconnectMs }: DeviceServerAddress,
  tell: (text: string) => void,
) {
  return {
    address: { host, port },
    tls: await WatchedTlsFiles.open(files, {
      onChanged: () => tell('the certificates have changed: new connections have them'),
      onTrouble: ({ message }) => tell(`the certificates of before stay in use: ${message}`),
    }),
    ...(tokenFile !== undefined && { token: readToken(tokenFile) }),
    ...(reconnectMs !== undefined && { reconnectMs }),
  }
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: ${troubleWith(error)}`)
  }
}

/** Connects each machine to a server of devices. @param tell - takes what is to be known meanwhile */
export function startRemoteDevices(address: DeviceServerAddress, tell: (text: string) => void): StartDeviceServer {
  let connection: ReturnType<typeof connectionOf> | undefined
  return async (dispatch, platform, realTime) => {
    connection ??= connectionOf(address, tell)
    const name = nameOf(address.host, address.port)
    return connectDeviceServer(dispatch, platform, { ...(await connection), name, realTime })
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
Certificates, authorities and lists are read again when they change, and at SIGHUP; machines that are connected go on.`

interface DeviceServerFlags {
  readonly listen: DeviceServerAddress
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
    .option(`--machines <count>`, `machines at a time (default: ${USUAL_MACHINES})`, parseMachines, USUAL_MACHINES)
    .addHelpText('after', HELP)
    .action(async (modules: readonly string[], { listen, machines }: DeviceServerFlags) => {
      const urls = modules.map(urlOf)
      const tell = (text: string): void => void host.stderr.write(`retrap: ${text}\n`)
      const connection = await connectionOf(listen, tell)
      const options = {
        ...connection,
        maxMachines: machines,
        onMachineGone: (_name: string, error: Error | null) => {
          if (error !== null) tell(`a machine's devices have failed: ${printable(error.message)}`)
        },
      }
      const service = await serveDeviceModules(options, urls).catch((error: unknown) => {
        if (error instanceof Error && 'syscall' in error)
          throw new CliError('ERR_INPUT', `cannot listen at ${nameOf(listen.host, listen.port)}: ${troubleWith(error)}`)
        throw error
      })
      const { port = listen.port } = service.address as { readonly port?: number }
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
      await service.close()
    })
}

/** Models' words must not control a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 300)
}

function parseMachines(text: string): number {
  const count = parseWhole(text)
  if (count !== undefined && count >= 1 && count <= MOST_MACHINES) return count
  throw usage(`--machines ${text}: expected 1 to ${MOST_MACHINES}`)
}

function urlOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true)
    throw new CliError('ERR_INPUT', `${path}: there is no such file`)
  return pathToFileURL(resolve(path)).href
}
