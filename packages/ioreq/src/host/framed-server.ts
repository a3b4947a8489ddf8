import { DeviceServer } from './device-server.ts'
import type { Frame } from './frames.ts'
import type { DeviceServerOptions } from './linked-platform.ts'

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
   * @throws IoreqError `ERR_PROTOCOL` for one that a hypervisor does not send
   */
  receive(frame: Frame): void {
    const { server } = this
    if (frame.kind === 'request') {
      this.#sequences.set(frame.vcpu, frame.sequence)
      server.setTime(frame.now)
      server.serve(frame.vcpu, frame.request)
    } else server.receive(frame)
    server.yieldTime()
  }

  /** Adds models, and says that they are there, or why not. */
  async attach(add: (server: DeviceServer) => void | Promise<void>): Promise<void> {
    try {
      await add(this.server)
      this.server.ready()
    } catch (error) {
      this.server.fail('attach', error)
    }
  }
}
