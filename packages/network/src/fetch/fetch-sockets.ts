import { readIpv4 } from '../addresses.ts'
import { NetworkError } from '../errors.ts'
import type { SocketAddress, Sockets, TcpSocket, TcpSocketClient } from '../sockets.ts'
import { isHostName, SyntheticNames } from '../synthetic-names.ts'
import { isLoopback } from '../user/options.ts'
import { FetchConnection, type FetchFunction, type FetchWorld } from './fetch-connection.ts'

const HTTPS_PORT = 443

/** A guest's connection that `fetch` cannot make. */
export interface RefusedConnection {
  /** The name that the guest has asked for, or the address. */
  readonly host: string
  /** TCP port. */
  readonly port: number
  /** `tls`: the guest encrypts the connection. `not-http`: the guest speaks another protocol. */
  readonly reason: 'tls' | 'not-http'
}

/** Options of {@link fetchSockets}. */
export interface FetchSocketsOptions {
  /** Default the host's `fetch`. */
  readonly fetch?: FetchFunction | undefined
  /**
   * Asks for `https:` where the guest asks for port 80 of another host: pages that came by https may ask for nothing else.
   * Default: whether the page has come by https.
   */
  readonly secure?: boolean | undefined
  /** Called for refused connections. A guest controls how often. */
  readonly onRefused?: ((refused: RefusedConnection) => void) | undefined
}

/**
 * The outside of a web page: a guest's requests of HTTP are made by `fetch`, and all else is refused. A page reaches only hosts
 * that allow it (Cross-Origin Resource Sharing); others are answered with status 502 and an explanation. Connections that a guest
 * encrypts by itself cannot pass. Requests carry no cookies and no referrer. Names get addresses of 198.18.0.0/15.
 *
 * Source: WHATWG, Fetch, 3.3, "CORS protocol".
 */
export function fetchSockets(options: FetchSocketsOptions = {}): Sockets {
  const names = new SyntheticNames()
  const { onRefused = () => {} } = options
  const world: FetchWorld = {
    fetch: options.fetch ?? hostFetch,
    heldBytes: 0,
    refused: (to, reason) => onRefused({ host: names.nameOf(to.address) ?? to.address, port: to.port, reason }),
    originOf: (to, host) => originOf(to, host, names, options.secure ?? isSecurePage()),
  }
  const cannotListen = (): Promise<never> =>
    Promise.reject(new NetworkError('ERR_LISTEN', 'a web page cannot wait for connections; use no forwarded ports'))
  return {
    connectTcp: (to, client) => {
      if (to.port !== HTTPS_PORT) return new FetchConnection(to, client, world)
      world.refused(to, 'tls')
      return refuse(client)
    },
    listenTcp: cannotListen,
    bindUdp: cannotListen,
    openUdp: () => ({ send() {}, close() {} }),
    lookup: async (name) => names.lookup(name),
  }
}

/** The host's `fetch`, looked up at each call. */
const hostFetch: FetchFunction = (...given) =>
  (globalThis as unknown as { readonly fetch: FetchFunction }).fetch(...given)

/** A page's origin begins with its scheme, also in a Worker whose program came from memory. */
const isSecurePage = (): boolean =>
  (globalThis as { readonly location?: { readonly origin?: string } }).location?.origin?.startsWith('https:') === true

/** Returns the origin of a request; null if the guest's intention is unknown. */
function originOf(
  { address, port }: SocketAddress,
  host: string | undefined,
  names: SyntheticNames,
  secure: boolean,
): string | null {
  const [, asked = ''] = /^([^:/?#@\\]+)(?::\d+)?$/.exec(host ?? '') ?? []
  // Servers select sites by name; an IP address stands for the one that the guest has connected to.
  const name = isHostName(asked) && readIpv4(asked) === null ? asked : names.nameOf(address)
  if (name === undefined && names.isSynthetic(address)) return null
  const end = name ?? address
  const scheme = secure && port === 80 && !isLoopback(end) ? 'https' : 'http'
  const at = port === 80 ? '' : `:${port}`
  return `${scheme}://${end}${at}`
}

/** Answers as a host on which nothing listens on the port. */
function refuse(client: TcpSocketClient): TcpSocket {
  queueMicrotask(() => client.closed('refused'))
  return { write: () => true, end() {}, abort() {}, pause() {}, resume() {} }
}
