import { createIoRequest, type IoDispatch, IoreqError } from '@retrap/ioreq'
import { DeviceServer } from './device-server.ts'
import type { Frame } from './frames.ts'
import type { DevicePlatform } from './platform.ts'
import { RemoteServer, type RemoteServerOptions } from './remote-server.ts'

type DmaDone = Extract<Frame, { kind: 'dmaDone' }>

/** A server whose models are in this thread. */
export interface LocalServer {
  /** The hypervisor's end. */
  readonly remote: RemoteServer
  /** Ends the server. */
  close(): void
}

/**
 * Makes a server of models of this thread, which reach their machine as if they were elsewhere: by frames alone. Where they are
 * recorded, they copy guest memory, and cannot map it.
 *
 * @param attach - adds the models
 */
export function startLocalServer(
  { dispatch, platform }: { readonly dispatch: IoDispatch; readonly platform: DevicePlatform },
  options: RemoteServerOptions,
  attach: (server: DeviceServer) => void | Promise<void>,
): LocalServer {
  /** The reply to the call that a model waits for. */
  let awaited: { readonly call: number; done?: DmaDone } | undefined
  const callSync = (frame: Frame): DmaDone => {
    const call = { call: 'call' in frame ? frame.call : 0 } as NonNullable<typeof awaited>
    awaited = call
    remote.take(frame)
    awaited = undefined
    if (call.done !== undefined) return call.done
    throw new IoreqError(
      'ERR_DEVICE',
      `${frame.kind}: a model whose run is recorded has it done while the guest waits for it`,
    )
  }
  // A request reaches the models after the present instruction, as for models in another thread.
  const later = (action: () => void): void => void Promise.resolve().then(action)
  const openMemory = platform.gate === undefined ? platform.openMemory?.bind(platform, options.name) : undefined
  const server = new DeviceServer(
    {
      send: (frame) => remote.take(frame),
      answer: (vcpu, lo, hi) => {
        if (remote.server.slot(vcpu).answer(lo, hi)) remote.server.answered(vcpu)
      },
      callSync,
    },
    { name: options.name, ...(openMemory && { openMemory }) },
  )
  const request = createIoRequest()
  const serveBuffered = (): void => {
    const { ring } = remote.server
    while (ring?.consume(request) === true) {
      server.setTime(remote.now())
      server.serveBuffered(request)
    }
    server.yieldTime()
  }
  const remote: RemoteServer = new RemoteServer(
    dispatch,
    platform,
    {
      send: (frame) => {
        if (frame.kind === 'dmaDone' && frame.call === awaited?.call) awaited.done = frame
        else if (frame.kind === 'hello') server.receive(frame)
        else
          later(() => {
            server.receive(frame)
            server.yieldTime()
          })
      },
      notify: (vcpu) =>
        later(() => {
          serveBuffered()
          if (!remote.server.slot(vcpu).accept(request)) return
          server.setTime(remote.now())
          server.requests.serve(vcpu, { ...request }, server)
          server.yieldTime()
        }),
      notifyBuffered: () => later(serveBuffered),
      close: () => server.endMappings(),
    },
    options,
  )
  later(() => void server.attachAll(attach))
  return { remote, close: () => remote.close() }
}
