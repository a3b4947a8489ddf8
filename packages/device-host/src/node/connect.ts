import type { IoDispatch } from '@retrap/ioreq'
import type { DevicePlatform } from '../index.ts'
import { Dialer, type DialOptions } from './dialer.ts'
import { reconnectMsOf } from './packet-socket.ts'
import { SocketTransport } from './socket-transport.ts'

/** How a machine finds models on another host; see {@link connectDeviceServer}. */
export interface DeviceServerConnection extends DialOptions {
  /** Names the machine's server in errors and traces, and the machine to the other host. */
  readonly name: string
  /** Whether the platform's clock runs on by itself. Default true. */
  readonly realTime?: boolean
  /** Takes messages of the models to the machine's maker. */
  onMessage?(bytes: Uint8Array): void
}

/**
 * Connects a domain to a `DeviceService`, usually on another host, which makes models for it. A connection that is lost is made
 * again within `reconnectMs`; no request is made twice, and none is lost. A service that was started anew meanwhile has lost the
 * models' state: the server fails then.
 *
 * @returns once there is a connection; `transport.remote.ready` tells when the models are there
 * @throws IoreqError `ERR_NOT_FOUND` where nobody answers, `ERR_PERMISSION` where one of the two is not believed, `ERR_NO_SPACE`
 *   where the domain has no room for a server
 */
export function connectDeviceServer(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceServerConnection,
): Promise<SocketTransport> {
  const { name, realTime } = options
  const first = Promise.withResolvers<SocketTransport>()
  let transport: SocketTransport | null = null
  const dialer = new Dialer(options, {
    name,
    received: () => transport?.received ?? 0,
    connected: (packets, received) => {
      // Nothing of it is in the domain before there is somebody to serve it.
      transport ??= new SocketTransport(dispatch, platform, {
        name,
        reconnectMs: reconnectMsOf(options),
        ...(realTime !== undefined && { realTime }),
        ...(options.onMessage && { onMessage: options.onMessage.bind(options) }),
        redial: () => dialer.dial(),
        onClosed: () => dialer.close(),
      })
      transport.connect(packets, received)
      first.resolve(transport)
    },
    ended: (_how, error) => {
      transport?.remote.failed(error)
      first.reject(error)
    },
  })
  dialer.dial()
  return first.promise
}
