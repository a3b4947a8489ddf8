import { createIoRequest, type IoDispatch, IoreqError } from '@retrap/ioreq'
import { DeviceServer } from './device-server.ts'
import type { Frame } from './frames.ts'
import type { DeviceServerOptions } from './linked-platform.ts'
import type { DevicePlatform } from './platform.ts'
import { RemoteServer, type RemoteServerOptions } from './remote-server.ts'

/** The way of frames to the other end: a message port, or a session over sockets. */
export interface FrameWay {
  /** Whether the other end keeps up; if false, posted writes stay in the ring. */
  readonly writable: boolean
  send(frame: Frame): void
  /** Called when writes wait in the ring, as the other end lags: call `FramedRemote.sendBuffered` when it no longer does. */
  lags(): void
  close(): void
}

/** The hypervisor's end of a server whose requests go out as frames and come back as frames: a {@link FramedServer} is the other. */
export class FramedRemote {
  /** The server. */
  readonly remote: RemoteServer
  readonly #way: FrameWay
  /** Number of the request that each vCPU waits for; 0: none. */
  readonly #open: Uint32Array
  #sequence = 0

  constructor(dispatch: IoDispatch, platform: DevicePlatform, way: FrameWay, options: RemoteServerOptions) {
    this.#way = way
    this.#open = new Uint32Array(dispatch.vcpus)
    this.remote = new RemoteServer(
      dispatch,
      platform,
      {
        send: (frame) => way.send(frame),
        notify: (vcpu) => this.#notify(vcpu),
        notifyBuffered: () => this.sendBuffered(false),
        close: () => way.close(),
      },
      options,
    )
  }

  #notify(vcpu: number): void {
    this.sendBuffered(true)
    const request = createIoRequest()
    if (!this.remote.server.slot(vcpu).accept(request)) return
    this.#sequence = (this.#sequence % 0xffff_ffff) + 1
    this.#open[vcpu] = this.#sequence
    this.#way.send({ kind: 'request', vcpu, sequence: this.#sequence, now: this.remote.now(), request })
  }

  /** Posted writes stay in the ring while the other end lags; a request takes them `all` along. */
  sendBuffered(all: boolean): void {
    const { ring } = this.remote.server
    const request = createIoRequest()
    while (all || this.#way.writable) {
      if (ring === null || !ring.consume(request)) return
      this.#way.send({ kind: 'buffered', now: this.remote.now(), request })
    }
    this.#way.lags()
  }

  /**
   * Takes a frame of the other end.
   *
   * @throws IoreqError `ERR_PROTOCOL` for an answer to a request that is not open
   */
  receive(frame: Frame): void {
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

/** Serves models to a hypervisor whose requests come as frames, not by a page that both share. */
export class FramedServer {
  /** Serves the models. */
  readonly server: DeviceServer
  /** Number of the request of each vCPU: its answer names it. */
  readonly #sequences = new Map<number, number>()

  constructor(send: (frame: Frame) => void, options: DeviceServerOptions) {
    this.server = new DeviceServer(
      {
        send,
        answer: (vcpu, lo, hi) => send({ kind: 'answer', vcpu, sequence: this.#sequences.get(vcpu) ?? 0, lo, hi }),
      },
      options,
    )
  }

  /**
   * Takes a frame of the hypervisor.
   *
   * @throws IoreqError `ERR_PROTOCOL` for a frame that a hypervisor does not send
   */
  receive(frame: Frame): void {
    const { server } = this
    if (frame.kind === 'request') {
      this.#sequences.set(frame.vcpu, frame.sequence)
      server.setTime(frame.now)
      server.requests.serve(frame.vcpu, frame.request, server)
    } else server.receive(frame)
    server.yieldTime()
  }
}
