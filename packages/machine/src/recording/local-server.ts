import type { DeviceModel } from '@retrap/device'
import type { DomainServer } from '@retrap/hvm'
import { type DevicePlatform, DeviceServer, type Frame, RemoteServer } from '@retrap/ioreq/host'
import { createIoRequest, type IoDispatch, IoreqError } from '@retrap/ioreq'

type DmaDone = Extract<Frame, { kind: 'dmaDone' }>

/**
 * Makes a server of models of this thread, which reach their machine as if they were elsewhere: by frames alone. They copy guest
 * memory, and cannot map it.
 */
export function startLocalServer(
  { dispatch, platform }: { readonly dispatch: IoDispatch; readonly platform: DevicePlatform },
  name: string,
  models: readonly DeviceModel[],
): DomainServer {
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
  // The models are asked behind the instruction that asks them, as all models elsewhere.
  const later = (action: () => void): void => void Promise.resolve().then(action)
  const server = new DeviceServer(
    {
      send: (frame) => remote.take(frame),
      answer: (vcpu, lo, hi) => {
        if (remote.server.slot(vcpu).answer(lo, hi)) remote.server.answered(vcpu)
      },
      callSync,
    },
    { name },
  )
  const request = createIoRequest()
  const serveBuffered = (): void => {
    const { ring } = remote.server
    while (ring?.consume(request) === true) {
      server.setTime(remote.now())
      server.serveBuffered(request)
    }
  }
  const remote: RemoteServer = new RemoteServer(
    dispatch,
    platform,
    {
      send: (frame) => {
        if (frame.kind === 'dmaDone' && frame.call === awaited?.call) awaited.done = frame
        else if (frame.kind === 'hello') server.receive(frame)
        else later(() => server.receive(frame))
      },
      notify: (vcpu) =>
        later(() => {
          serveBuffered()
          if (!remote.server.slot(vcpu).accept(request)) return
          server.setTime(remote.now())
          server.serve(vcpu, { ...request })
        }),
      notifyBuffered: () => later(serveBuffered),
      close: () => server.endMappings(),
    },
    { name, realTime: false },
  )
  later(() => {
    try {
      for (const model of models) server.attach(model)
      server.ready()
    } catch (error) {
      server.fail('attach', error)
    }
  })
  return { remote, close: () => remote.close() }
}
