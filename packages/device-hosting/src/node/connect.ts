import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import type { DevicePlatform } from '../index.ts'
import { type DialHint, Dialer, type DialOptions } from './dialer.ts'
import type { DeviceDirectory } from './discovery/directory.ts'
import { timeOf } from '../frames.ts'
import { SocketTransport } from './socket-transport.ts'

/** How a machine finds models on another host; see {@link connectDeviceServer}. */
export interface DeviceServerConnection extends DialOptions {
  /** Names the machine's server in errors and traces, and the machine to the other host. */
  readonly name: string
  /** Whether the platform's clock runs on by itself. Default true. */
  readonly realTime?: boolean
  /** See `RemoteServerOptions`. */
  readonly mayOverlap?: boolean
  /** Takes messages of the models to the machine's maker. */
  onMessage?(bytes: Uint8Array): void
}

/**
 * Connects a domain to a `DeviceService`, usually on another host, which makes models for it. A connection that is lost is made
 * again within `reconnectMs`; no request is made twice, and none is lost. A service that was started anew meanwhile has lost the
 * models' state: the server fails then.
 *
 * @returns the transport once there is a connection; its `remote.ready` settles when the models are attached
 * @throws IoreqError `ERR_NOT_FOUND` without an answer, `ERR_PERMISSION` where one end does not trust the other, `ERR_NO_SPACE`
 * where the domain has no room for a server
 */
export function connectDeviceServer(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceServerConnection,
): Promise<SocketTransport> {
  return connect(dispatch, platform, options)
}

function connect(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceServerConnection,
  hint?: DialHint,
): Promise<SocketTransport> {
  const { name, realTime = true } = options
  const first = Promise.withResolvers<SocketTransport>()
  let transport: SocketTransport | null = null
  const dialer = new Dialer(options, {
    name,
    realTime,
    ...(hint !== undefined && { hint }),
    now: () => timeOf(platform.clock),
    onFrame: (frame) => transport?.receive(frame),
    opened: () => {
      // The domain has no part of it before a server serves it.
      transport ??= new SocketTransport(dispatch, platform, dialer.link, { ...options, onClosed: () => dialer.close() })
      first.resolve(transport)
    },
    ended: (error) => {
      transport?.remote.failed(error)
      first.reject(error)
    },
  })
  dialer.dial()
  return first.promise
}

/** How a machine finds models by their name; see {@link connectDiscovered}. */
export interface DiscoveredConnection extends Omit<DeviceServerConnection, 'address' | 'tls'> {
  /** The directory of announced servers. */
  readonly directory: DeviceDirectory
  /** This end. Without `peers` the other end's certificate must have the name of the devices. */
  readonly tls: NonNullable<DeviceServerConnection['tls']>
  /** Time limit for finding a server, in milliseconds. Default 5000. */
  readonly waitMs?: number
}

/** Servers that are tried: an announcement may be wrong, and each takes up to `openMs`. */
const MOST_TRIED = 8

/**
 * Connects a domain to a server that a directory knows: the one with the least load, or the next one where it does not answer, is
 * full, or cannot prove by its certificate that it has devices of this name. From then on it is as with `connectDeviceServer`: a
 * lost connection is made again to the same server, and never to another one, which would not have the models' state.
 *
 * @returns the transport once there is a connection; its `remote.ready` settles when the models are attached
 * @throws IoreqError `ERR_NOT_FOUND` where there is no server, or none that can be used, with the reason of each; `ERR_NO_SPACE`
 *   where the domain has no room for a server
 */
export async function connectDiscovered(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  { directory, waitMs, ...options }: DiscoveredConnection,
): Promise<SocketTransport> {
  const { name: peer } = directory
  const reasons: string[] = []
  for (const { host, port, fingerprint } of (await directory.find(waitMs)).slice(0, MOST_TRIED)) {
    try {
      return await connect(dispatch, platform, { ...options, address: { host, port } }, { peer, fingerprint })
    } catch (error) {
      const isOfServer =
        error instanceof IoreqError && ['ERR_NOT_FOUND', 'ERR_PERMISSION', 'ERR_PROTOCOL'].includes(error.code)
      if (!isOfServer) throw error
      reasons.push(error.message)
    }
  }
  const what = `no server that announces devices ${peer} can be used: ${reasons.join('; ')}`
  throw new IoreqError('ERR_NOT_FOUND', what)
}
