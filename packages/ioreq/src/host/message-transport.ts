import type { DeviceServer } from './device-server.ts'
import { FramedServer } from './framed-server.ts'
import type { DeviceServerOptions } from './linked-platform.ts'
import type { IoDispatch } from '../dispatch.ts'
import { IoreqError } from '../errors.ts'
import { createIoRequest } from '../request.ts'
import type { Frame } from './frames.ts'
import { type FramePort, MessageLink } from './message-link.ts'
import type { DevicePlatform } from './platform.ts'
import { RemoteServer, type RemoteServerOptions } from './remote-server.ts'

/**
 * The hypervisor's end of a device server behind a message port: in a Worker, a frame or a window that shares no memory with it,
 * and need not be trusted. The other end calls {@link serveMessages}.
 */
export class MessageTransport {
  /** The hypervisor's end of the server. */
  readonly remote: RemoteServer
  readonly #link: MessageLink
  /** Number of the request that each vCPU waits for; 0: none. */
  readonly #open: Uint32Array
  #sequence = 0

  constructor(dispatch: IoDispatch, platform: DevicePlatform, port: FramePort, options: RemoteServerOptions) {
    this.#open = new Uint32Array(dispatch.vcpus)
    const link = new MessageLink(
      port,
      (frame) => this.#receive(frame),
      (error) => this.remote.failed(error),
    )
    this.#link = link
    link.onDrained = () => this.#sendBuffered(false)
    this.remote = new RemoteServer(
      dispatch,
      platform,
      {
        send: (frame) => link.send(frame),
        notify: (vcpu) => this.#notify(vcpu),
        notifyBuffered: () => this.#sendBuffered(false),
        close: () => link.close(),
      },
      options,
    )
    link.start()
  }

  /** Ends the server: its ranges are unclaimed, and vCPUs that wait for it resume. */
  close(): void {
    this.remote.close()
  }

  #notify(vcpu: number): void {
    this.#sendBuffered(true)
    const request = createIoRequest()
    if (!this.remote.server.slot(vcpu).accept(request)) return
    this.#sequence = (this.#sequence % 0xffff_ffff) + 1
    this.#open[vcpu] = this.#sequence
    this.#link.send({ kind: 'request', vcpu, sequence: this.#sequence, now: this.remote.now(), request })
  }

  /** Writes that nobody waits for stay in the ring while the other end lags; a request takes them all along. */
  #sendBuffered(all: boolean): void {
    const { ring } = this.remote.server
    const request = createIoRequest()
    while (ring !== null && (all || this.#link.writable) && ring.consume(request))
      this.#link.send({ kind: 'buffered', now: this.remote.now(), request })
  }

  #receive(frame: Frame): void {
    if (frame.kind === 'answer') {
      const { vcpu, sequence, lo, hi } = frame
      if (vcpu >= this.#open.length || this.#open[vcpu] !== sequence)
        throw new IoreqError('ERR_PROTOCOL', `request ${sequence} of vCPU ${vcpu} was answered, and is not open`)
      this.#open[vcpu] = 0
      this.remote.server.slot(vcpu).answer(lo, hi)
      this.remote.server.answered(vcpu)
      return
    }
    if (frame.kind === 'fault' && frame.vcpu < this.#open.length) this.#open[frame.vcpu] = 0
    this.remote.take(frame)
  }
}

/**
 * Serves requests that come through a message port: the other end of a {@link MessageTransport}. Models reach guest memory by
 * `dma.readAsync` and `dma.writeAsync`.
 *
 * @param attach - adds the models
 * @returns the server, once its models are there; one whose `attach` has thrown has said so to the hypervisor
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
  await framed.attach(attach)
  return framed.server
}
