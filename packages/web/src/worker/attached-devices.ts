import type { X86Domain } from '@retrap/hvm'
import { MessageTransport } from '@retrap/device-hosting'
import { Pc, type PluggedServer, type PlugServer } from '@retrap/machine'
import { WebError } from '../errors.ts'
import type { BoardMachine } from './boards.ts'
import { reasonOf } from './sources.ts'

/** The devices are made before the page attaches them. */
const READY_MS = 10_000

/** Device models behind a message port. */
interface Attached {
  readonly name: string
  /** Detaches the devices, or cancels a pending attachment. */
  leave(): void
}

/** The machine as a PC. @throws WebError `ERR_MACHINE` for an Arm board */
export function requirePc(machine: BoardMachine): Pc {
  if (machine instanceof Pc) return machine
  throw new WebError('ERR_MACHINE', "board 'virt': an Arm board takes no devices of the page")
}

/** Plugs a server into a machine that is not recorded: at once. */
export async function plugInto(domain: X86Domain, start: PlugServer): Promise<PluggedServer> {
  const server = start(domain.dispatch, domain.platform, true)
  domain.addServer(server)
  return { server, unplug: () => server.close() }
}

/** Device models behind message ports, in frames or Workers of the page's. */
export class AttachedDevices {
  readonly #attached = new Map<string, Attached>()
  /** Devices that leave when the machine runs on. */
  readonly #leaving = new Set<Attached>()

  /**
   * Attaches devices.
   *
   * @param plug - plugs the devices' server into the machine
   * @throws WebError `ERR_MACHINE`
   */
  async attach(plug: (start: PlugServer) => Promise<PluggedServer>, name: string, port: MessagePort): Promise<void> {
    if (this.#attached.has(name)) {
      port.close()
      throw new WebError('ERR_MACHINE', `devices: there are devices '${name}' already; detach them first`)
    }
    const left = Promise.withResolvers<never>()
    let leave = (): void => {
      port.close()
      left.reject(new Error('they were detached'))
    }
    const attached: Attached = { name, leave: () => leave() }
    this.#attached.set(name, attached)
    const forget = (): void => {
      if (this.#attached.get(name) === attached) this.#attached.delete(name)
    }
    const start: PlugServer = (dispatch, platform, realTime) => {
      if (this.#attached.get(name) !== attached) throw new Error('they were detached')
      const options = { name, realTime, readyMs: READY_MS, policy: 'detach' } as const
      const transport = new MessageTransport(dispatch, platform, port, options)
      transport.remote.onClosed(forget)
      return transport
    }
    try {
      const { server, unplug } = await Promise.race([plug(start), left.promise])
      leave = () => {
        this.#leaving.add(attached)
        server.remote.onClosed(() => this.#leaving.delete(attached))
        unplug()
      }
      await server.remote.ready
    } catch (error) {
      forget()
      throw new WebError('ERR_MACHINE', `devices '${name}': ${reasonOf(error)}`, { cause: error })
    }
  }

  /** @returns whether any devices had that name */
  detach(name: string): boolean {
    const attached = this.#attached.get(name)
    this.#attached.delete(name)
    attached?.leave()
    return attached !== undefined
  }

  /** @throws WebError `ERR_MACHINE` if any are attached */
  checkNone(): void {
    const names = [...this.#attached.keys()]
    if (names.length > 0)
      throw new WebError(
        'ERR_MACHINE',
        `devices '${names.join("', '")}' of the page cannot be saved; detach them first`,
      )
    const leaving = [...this.#leaving].map((one) => one.name)
    if (leaving.length > 0)
      throw new WebError('ERR_MACHINE', `devices '${leaving.join("', '")}' of the page leave when the machine runs on`)
  }

  /** Takes all out. */
  close(): void {
    for (const name of [...this.#attached.keys()]) this.detach(name)
  }
}
