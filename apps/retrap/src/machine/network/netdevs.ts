import { defined } from '@retrap/basics'
import type { HostForward } from '@retrap/network'
import { didYouMean, parseWhole, splitPairs, usage } from '../../options/values.ts'

/** The address of another machine's end of a cable. */
export type CableAddress = { readonly path: string } | { readonly host: string; readonly port: number }

/** A service of the host's at an address of the guests' network. */
export interface ServiceArgument {
  readonly address: string
  readonly port: number
  readonly to: { readonly host: string; readonly port: number }
}

/** A network that the user asked for. */
export type NetdevArgument = {
  readonly id: string
  /** Path of a capture file for all frames. */
  readonly capture?: string
} & (
  | {
      readonly kind: 'user'
      readonly network?: string
      readonly host?: string
      readonly dns?: string
      readonly dhcpStart?: string
      readonly hostName?: string
      readonly domainName?: string
      readonly restrict: boolean
      readonly hostLoopback: boolean
      readonly hostForwards: readonly HostForward[]
      readonly services: readonly ServiceArgument[]
      /** The folder of `tftp=`. */
      readonly bootFolder?: string
      readonly bootFile?: string
      readonly serverName?: string
    }
  | {
      readonly kind: 'stream'
      readonly listens: boolean
      readonly address: CableAddress
      readonly reconnectMs?: number
    }
  | { readonly kind: 'hubport'; readonly hub: number; readonly netdev?: string }
  | { readonly kind: 'websocket'; readonly url: string; readonly reconnectMs?: number }
  | {
      readonly kind: 'relay'
      readonly address: { readonly host: string; readonly port: number }
      /** Origins of web pages that may connect. */
      readonly origins: readonly string[]
    }
)

/** The keys of each kind of network, beside `id` and `pcap`. */
export const NETDEV_KEYS: Readonly<Record<string, readonly string[]>> = {
  user: [
    ...['net', 'host', 'dns', 'dhcpstart', 'hostname', 'domainname', 'restrict', 'hostloopback', 'hostfwd', 'guestfwd'],
    ...['tftp', 'bootfile', 'tftp-server-name'],
  ],
  stream: ['server', 'addr.type', 'addr.host', 'addr.port', 'addr.path', 'reconnect', 'reconnect-ms'],
  socket: ['listen', 'connect'],
  hubport: ['hubid', 'netdev'],
  websocket: ['url', 'listen', 'origin', 'reconnect-ms'],
}
/** Keys that may be given several times. */
export const REPEATABLE_NETDEV_KEYS: readonly string[] = ['hostfwd', 'guestfwd', 'origin']

/** Reads `--netdev`, as QEMU has it. @throws CliError `ERR_USAGE` */
export function parseNetdev(text: string): NetdevArgument {
  return readNetdev('--netdev', text, undefined)
}

/** @param otherwise - the id for a netdev without one */
export function readNetdev(option: string, text: string, otherwise: string | undefined): NetdevArgument {
  const [kind = '', ...pairs] = splitPairs(text)
  const known = Object.hasOwn(NETDEV_KEYS, kind) ? NETDEV_KEYS[kind]! : undefined
  if (known === undefined) {
    const kinds = Object.keys(NETDEV_KEYS)
    throw usage(`${option} '${kind}' is unknown; there are ${kinds.join(', ')}${didYouMean(kind, kinds)}`)
  }
  const given = new Values(option, kind, [...known, 'id', 'pcap'], pairs)
  const id = given.text('id') ?? otherwise
  if (id === undefined || id === '') throw usage(`${option} ${text} has no id; write ${kind},id=n`)
  const capture = given.text('pcap')
  const common = { id, ...(capture !== undefined && { capture }) }
  if (kind === 'user') return { ...common, ...readUser(given) }
  if (kind === 'hubport') {
    const hub = given.whole('hubid', 0x7fff_ffff)
    if (hub === undefined) throw usage(`${option} ${text} has no hubid; write hubport,id=${id},hubid=0`)
    const netdev = given.text('netdev')
    if (netdev !== undefined && capture !== undefined)
      throw usage(`${option} ${text}: nothing passes a place with netdev=; give pcap= to --netdev id=${netdev}`)
    return { ...common, kind, hub, ...(netdev !== undefined && { netdev }) }
  }
  if (kind === 'websocket') return { ...common, ...readWebSocket(given) }
  return { ...common, ...(kind === 'stream' ? readStream(given) : readSocket(given)) }
}

function readUser(given: Values) {
  return {
    kind: 'user' as const,
    ...defined({
      network: given.text('net'),
      host: given.text('host'),
      dns: given.text('dns'),
      dhcpStart: given.text('dhcpstart'),
      hostName: given.text('hostname'),
      domainName: given.text('domainname'),
      bootFolder: given.text('tftp'),
      bootFile: given.text('bootfile'),
      serverName: given.text('tftp-server-name'),
    }),
    restrict: given.flag('restrict'),
    hostLoopback: given.flag('hostloopback', 'on'),
    hostForwards: given.all('hostfwd').map(parseHostForward),
    services: given.all('guestfwd').map(parseService),
  }
}

/** `[tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport` */
function parseHostForward(text: string): HostForward {
  const match = /^(tcp|udp|):([^:]*|\[[^\]]*\]):(\d+)-([^:]*):(\d+)$/.exec(text)
  if (match === null) {
    throw usage(
      `hostfwd=${text} is not a forwarded port; write hostfwd=tcp::2222-:22 or tcp:127.0.0.1:2222-10.0.2.15:22`,
    )
  }
  const [, protocol, hostAddress = '', hostPort, guestAddress = '', guestPort] = match
  checkPorts(`hostfwd=${text}`, Number(guestPort), Number(hostPort) || 1)
  return {
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    ...(hostAddress !== '' && { hostAddress: hostAddress.replace(/^\[(.*)\]$/, '$1') }),
    hostPort: Number(hostPort),
    ...(guestAddress !== '' && { guestAddress }),
    guestPort: Number(guestPort),
  }
}

/** `[tcp]:server:port-tcp:host:port` */
function parseService(text: string): ServiceArgument {
  const match = /^(?:tcp|):([^:]+):(\d+)-tcp:([^:]+|\[[^\]]+\]):(\d+)$/.exec(text)
  if (match === null) {
    throw usage(`guestfwd=${text} is not a service; write guestfwd=tcp:10.0.2.100:80-tcp:127.0.0.1:8080`)
  }
  const [, address = '', port, host = '', hostPort] = match
  checkPorts(`guestfwd=${text}`, Number(port), Number(hostPort))
  return { address, port: Number(port), to: { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(hostPort) } }
}

function checkPorts(what: string, ...ports: readonly number[]): void {
  const wrong = ports.find((port) => port < 1 || port > 0xffff)
  if (wrong !== undefined) throw usage(`${what}: ${wrong} is not a port from 1 to 65535`)
}

function readStream(given: Values) {
  const listens = given.flag('server')
  const seconds = given.whole('reconnect', 86_400)
  const reconnectMs = given.whole('reconnect-ms', 86_400_000) ?? (seconds === undefined ? undefined : seconds * 1000)
  const type = given.text('addr.type')
  const path = given.text('addr.path')
  const [host, port] = [given.text('addr.host'), given.whole('addr.port', 0xffff)]
  const isUnix = type === 'unix' && path !== undefined && host === undefined && port === undefined
  if (!isUnix && (type !== 'inet' || port === undefined || path !== undefined)) {
    throw usage(
      'a stream has addr.type=unix,addr.path=PATH, or addr.type=inet,addr.host=HOST,addr.port=PORT; and server=on to listen',
    )
  }
  if (listens && reconnectMs !== undefined)
    throw usage('a stream with server=on does not reconnect; leave one of them out')
  return {
    kind: 'stream' as const,
    listens,
    address: path === undefined ? { host: host ?? '127.0.0.1', port: port! } : { path },
    ...(reconnectMs !== undefined && reconnectMs > 0 && { reconnectMs }),
  }
}

function readSocket(given: Values) {
  const [listen, connect] = [given.text('listen'), given.text('connect')]
  const address = parseHostAndPort(listen ?? connect)
  if ((listen === undefined) === (connect === undefined) || address === undefined) {
    throw usage('a socket has listen=HOST:PORT or connect=HOST:PORT; other kinds are streams')
  }
  return { kind: 'stream' as const, listens: listen !== undefined, address }
}

/** QEMU has no such kind: a message of the WebSocket is a frame, as relays for emulators in web pages have it. */
function readWebSocket(given: Values) {
  const [url, listen, origins] = [given.text('url'), given.text('listen'), given.all('origin')]
  const reconnectMs = given.whole('reconnect-ms', 86_400_000)
  if ((url === undefined) === (listen === undefined)) {
    throw usage('a websocket has url=ws://HOST:PORT/PATH of a relay, or listen=HOST:PORT to be one')
  }
  if (url !== undefined) {
    if (!/^wss?:$/.test(URL.parse(url)?.protocol ?? '')) throw usage(`url=${url} is neither ws:// nor wss://`)
    if (origins.length > 0) throw usage('origin= names pages that may connect; give it with listen=HOST:PORT')
    return { kind: 'websocket' as const, url, ...(reconnectMs !== undefined && reconnectMs > 0 && { reconnectMs }) }
  }
  if (reconnectMs !== undefined) throw usage('a websocket with listen= does not reconnect; leave one of them out')
  const address = parseHostAndPort(listen)
  if (address === undefined) throw usage(`listen=${listen} is no HOST:PORT`)
  const wrong = origins.find((origin) => URL.parse(origin)?.origin !== origin)
  if (wrong !== undefined)
    throw usage(`origin=${wrong} is not the start of a page's address, such as https://example.org`)
  return { kind: 'relay' as const, address, origins }
}

function parseHostAndPort(text = ''): { readonly host: string; readonly port: number } | undefined {
  const [, host = '', port] = /^(.*):(\d+)$/.exec(text) ?? []
  if (port === undefined || Number(port) > 0xffff) return undefined
  return { host: host === '' ? '127.0.0.1' : host, port: Number(port) }
}

/** The keys and values of one option. */
class Values {
  readonly #given = new Map<string, string[]>()
  readonly #what: string

  constructor(option: string, kind: string, known: readonly string[], pairs: readonly string[]) {
    this.#what = `${option} ${kind}`
    for (const pair of pairs) {
      const at = pair.indexOf('=')
      const key = at < 0 ? pair : pair.slice(0, at)
      if (at < 1) throw usage(`${this.#what}: '${pair}' is not of the form key=value`)
      if (!known.includes(key))
        throw usage(`${this.#what} has no '${key}'; it has ${known.join(', ')}${didYouMean(key, known)}`)
      const before = this.#given.get(key) ?? []
      if (before.length > 0 && !REPEATABLE_NETDEV_KEYS.includes(key)) throw usage(`${this.#what} gives '${key}' twice`)
      this.#given.set(key, [...before, pair.slice(at + 1)])
    }
  }

  all(key: string): readonly string[] {
    return this.#given.get(key) ?? []
  }

  text(key: string): string | undefined {
    return this.all(key)[0]
  }

  flag(key: string, otherwise: 'on' | 'off' = 'off'): boolean {
    const value = this.text(key) ?? otherwise
    if (!/^(on|off|yes|no|y|n)$/.test(value)) throw usage(`${this.#what}: ${key}=${value} is neither on nor off`)
    return /^(on|yes|y)$/.test(value)
  }

  whole(key: string, most: number): number | undefined {
    const text = this.text(key)
    if (text === undefined) return undefined
    const value = parseWhole(text)
    if (value === undefined || value > most)
      throw usage(`${this.#what}: ${key}=${text} is not a number from 0 to ${most}`)
    return value
  }
}
