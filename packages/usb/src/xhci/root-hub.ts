import { type DeviceContext, DeviceError, type PlainState, shapeFault } from '@retrap/device'
import { AttachedDevice } from '../attached-device.ts'
import type { UsbDevice, UsbPort } from '../usb-device.ts'
import { RootPort } from './root-port.ts'

/** Saved form of a {@link RootHub}. */
export interface RootHubState {
  readonly ports: readonly unknown[]
  /** States of devices by socket. */
  readonly devices: readonly (PlainState | null)[]
}

/** The part of its controller that a root hub needs. */
export interface RootHubHost {
  /** A port's state has changed. */
  changed(port: RootPort): void
  /** A device's endpoint can go on. */
  woken(port: RootPort, address: number): void
}

/**
 * Sockets, each of which is a USB 3 port and a USB 2 port; the speed of the attached device decides which it uses.
 *
 * The USB 3 ports come first, as in QEMU: firmware takes the number of a boot device's socket for that of its port.
 */
export class RootHub {
  readonly ports: readonly RootPort[]
  readonly #name: string
  readonly #host: RootHubHost
  readonly #sockets: (AttachedDevice | null)[]
  #context: DeviceContext | null = null

  constructor(name: string, sockets: number, host: RootHubHost) {
    this.#name = name
    this.#host = host
    this.#sockets = Array.from({ length: sockets }, () => null)
    this.ports = Array.from({ length: 2 * sockets }, (_, i) => {
      return new RootPort(i + 1, i < sockets, (port) => this.#host.changed(port))
    })
  }

  get sockets(): number {
    return this.#sockets.length
  }

  port(number: number): RootPort | undefined {
    return this.ports[number - 1]
  }

  attach(context: DeviceContext): void {
    this.#context = context
    this.#sockets.forEach((_one, socket) => this.#connect(socket))
  }

  /** @throws DeviceError `ERR_NO_SPACE`, `ERR_EXISTS`, `ERR_OPTION` */
  plug(device: UsbDevice): number {
    const attached = new AttachedDevice(device)
    const socket = this.#sockets.indexOf(null)
    if (socket < 0) throw new DeviceError('ERR_NO_SPACE', `${this.#name}: all ${this.sockets} ports are taken`)
    if (this.#sockets.some((one) => one?.name === device.name))
      throw new DeviceError('ERR_EXISTS', `${this.#name}: two devices have the name '${device.name}'`)
    this.#sockets[socket] = attached
    this.#connect(socket)
    return socket
  }

  /** @throws DeviceError `ERR_NOT_FOUND` */
  unplug(device: UsbDevice): RootPort {
    const socket = this.#sockets.findIndex((one) => one?.device === device)
    const attached = this.#sockets[socket]
    if (!attached) throw new DeviceError('ERR_NOT_FOUND', `${this.#name}: ${device.name} is not plugged in`)
    const port = this.#portOf(attached, socket)
    attached.reset()
    this.#sockets[socket] = null
    port.unplug()
    device.removed?.()
    return port
  }

  /** The controller has left the machine. */
  removed(): void {
    for (const one of this.#sockets) one?.device.removed?.()
  }

  #portOf({ speed }: AttachedDevice, socket: number): RootPort {
    return this.ports[speed === 'super' ? socket : this.sockets + socket]!
  }

  #connect(socket: number): void {
    const device = this.#sockets[socket]
    const context = this.#context
    if (!device || context === null) return
    const port = this.#portOf(device, socket)
    const wires: UsbPort = {
      clock: context.clock,
      timer: (callback) => context.timer(callback),
      wake: (address) => {
        if (port.device !== device) return
        port.wake()
        this.#host.woken(port, address)
      },
    }
    device.device.attach?.(wires)
    port.plug(device)
  }

  reset(): void {
    for (const port of this.ports) port.reset()
  }

  async quiesce(): Promise<void> {
    await Promise.all(this.#sockets.map(async (one) => one?.device.quiesce?.()))
  }

  resume(): void {
    for (const one of this.#sockets) one?.device.resume?.()
  }

  save(): RootHubState {
    return {
      ports: this.ports.map((port) => port.save()),
      devices: this.#sockets.map((one) => one?.save() ?? null),
    }
  }

  /** Whether a saved state is of another shape, or of other devices. */
  stateFault(state: unknown): string | undefined {
    const fault = shapeFault('', state, { ports: this.save().ports, devices: [] }, state === null)
    if (fault !== undefined) return fault
    const namesOf = (list: RootHubState['devices']): string =>
      list.map((one) => (one?.['name'] as string | undefined) ?? '-').join()
    const [found, expected] = [namesOf((state as RootHubState).devices), namesOf(this.save().devices)]
    return found === expected ? undefined : `.devices is ${found}: expected ${expected}`
  }

  restore({ ports, devices }: RootHubState): void {
    this.#sockets.forEach((one, i) => one?.restore(devices[i]!))
    this.ports.forEach((port, i) => port.restore(ports[i]!))
  }
}
