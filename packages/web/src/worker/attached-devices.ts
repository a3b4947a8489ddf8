import type { X86Domain } from '@retrap/hvm'
import { MessageTransport } from '@retrap/ioreq/host'
import { WebError } from '../errors.ts'
import { reasonOf } from './sources.ts'

/** The devices are made before the page attaches them. */
const READY_MS = 10_000

/** Device models behind message ports, in frames or Workers of the page's. */
export class AttachedDevices {
  readonly #servers = new Map<string, MessageTransport>()

  /** @throws WebError `ERR_MACHINE` */
  async attach(domain: X86Domain, name: string, port: MessagePort): Promise<void> {
    if (this.#servers.has(name)) {
      port.close()
      throw new WebError('ERR_MACHINE', `devices: there are devices '${name}' already; detach them first`)
    }
    const options = { name, readyMs: READY_MS, policy: 'detach' } as const
    const server = new MessageTransport(domain.dispatch, domain.platform, port, options)
    this.#servers.set(name, server)
    server.remote.onClosed(() => {
      if (this.#servers.get(name) === server) this.#servers.delete(name)
    })
    domain.addServer(server)
    try {
      await server.remote.ready
    } catch (error) {
      throw new WebError('ERR_MACHINE', `devices '${name}': ${reasonOf(error)}`, { cause: error })
    }
  }

  /** @returns whether there were any of that name */
  detach(name: string): boolean {
    const server = this.#servers.get(name)
    server?.close()
    return server !== undefined
  }

  /** @throws WebError `ERR_MACHINE` where there are some */
  checkNone(): void {
    const names = [...this.#servers.keys()]
    if (names.length > 0)
      throw new WebError(
        'ERR_MACHINE',
        `devices '${names.join("', '")}' of the page cannot be saved; detach them first`,
      )
  }

  /** Takes all out. */
  close(): void {
    for (const server of [...this.#servers.values()]) server.close()
  }
}
