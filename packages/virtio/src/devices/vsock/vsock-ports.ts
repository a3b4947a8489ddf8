import { DeviceError } from '@retrap/device'
import type { VsockBackend, VsockClient, VsockGuest, VsockRequest, VsockStream } from './vsock-backend.ts'

/**
 * Ports of the host for a guest, and connections to ports of the guest: the back end for programs in TypeScript, here or
 * in a page.
 */
export class VsockPorts implements VsockBackend {
  #guest: VsockGuest | undefined
  readonly #listeners = new Map<number, (stream: VsockStream) => VsockClient>()

  /** {@inheritDoc VsockBackend.attach} */
  attach(guest: VsockGuest): void {
    this.#guest = guest
  }

  /** {@inheritDoc VsockBackend.request} */
  request(request: VsockRequest): void {
    const listener = this.#listeners.get(request.hostPort)
    if (listener === undefined) return request.refuse()
    let client: VsockClient | undefined
    // The client is known when the stream is: nothing comes before.
    const stream = request.accept({
      data: (bytes) => client?.data(bytes),
      ended: () => client?.ended(),
      drained: () => client?.drained(),
      closed: (end) => client?.closed(end),
    })
    if (stream !== null) client = listener(stream)
  }

  /**
   * Opens a connection to a port of the guest. Nothing is called back before this returns.
   *
   * @throws DeviceError `ERR_OPTION` for a port out of range, `ERR_DETACHED` before a machine was made with these ports
   */
  connect(port: number, client: VsockClient): VsockStream {
    if (this.#guest === undefined)
      throw new DeviceError('ERR_DETACHED', 'no machine has these ports: give them to a vsock device as its host')
    return this.#guest.connect(port, client)
  }

  /**
   * Waits for connections of the guest to a port of the host.
   *
   * @param accept - called for each connection; the returned client receives its events
   * @returns stops waiting; connections go on
   * @throws DeviceError `ERR_EXISTS` where the port has a listener
   */
  listen(port: number, accept: (stream: VsockStream) => VsockClient): () => void {
    if (this.#listeners.has(port)) throw new DeviceError('ERR_EXISTS', `port ${port} has a listener: expected another`)
    this.#listeners.set(port, accept)
    return () => {
      if (this.#listeners.get(port) === accept) this.#listeners.delete(port)
    }
  }
}
