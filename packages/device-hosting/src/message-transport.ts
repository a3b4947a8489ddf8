import type { DeviceServer } from './device-server.ts'
import { FramedRemote, FramedServer } from './framed-server.ts'
import type { DeviceServerOptions } from './linked-platform.ts'
import type { IoDispatch } from '@retrap/ioreq'
import { type FramePort, MessageLink } from './message-link.ts'
import type { DevicePlatform } from './platform.ts'
import type { RemoteServer, RemoteServerOptions } from './remote-server.ts'

/**
 * The hypervisor's end of a device server behind a message port: in a Worker, a frame or a window that shares no memory with it,
 * and need not be trusted. The other end calls {@link serveMessages}.
 */
export class MessageTransport {
  /** The hypervisor's end of the server. */
  readonly remote: RemoteServer

  constructor(dispatch: IoDispatch, platform: DevicePlatform, port: FramePort, options: RemoteServerOptions) {
    const link = new MessageLink(
      port,
      (frame) => framed.receive(frame),
      (error) => this.remote.failed(error),
    )
    const framed = new FramedRemote(dispatch, platform, link, options)
    this.remote = framed.remote
    link.onDrained = () => framed.sendBuffered(false)
    link.start()
  }

  /** Ends the server: its ranges are unclaimed, and vCPUs that wait for it resume. */
  close(): void {
    this.remote.close()
  }
}

/**
 * Serves requests that come through a message port: the other end of a {@link MessageTransport}. Models reach guest memory by
 * `dma.readAsync` and `dma.writeAsync`.
 *
 * @param attach - adds the models
 * @returns the server, with its models attached; where `attach` has thrown, the hypervisor has been sent the error
 */
export async function serveMessages(
  port: FramePort,
  attach: (server: DeviceServer) => void | Promise<void>,
  options: DeviceServerOptions = {},
): Promise<DeviceServer> {
  const link = new MessageLink(
    port,
    (frame) => framed.receive(frame),
    () => link.close(),
  )
  const framed = new FramedServer((frame) => link.send(frame), options)
  link.start()
  await framed.server.attachAll(attach)
  return framed.server
}
