import { IoreqError } from '@retrap/ioreq'
import { MachineError, type MachineRootPort } from '@retrap/machine'
import type { BackEnds } from '../back-ends/back-ends.ts'
import { CliError } from '@retrap/linux-guest/errors'
import type { Machine } from '@retrap/linux-guest/machine/machine-contract'
import { didYouMean, type DeviceArgument, usage } from '../../options/values.ts'
import { namesModule } from '../devices/device-modules.ts'
import { namesProgram, openPluggedProgram, type ProgramOutput } from '../devices/device-programs.ts'
import { placeOf } from '../devices/pci-devices.ts'

/** A device behind a root port. */
export interface PortDevice {
  readonly name: string
  readonly port: string
  readonly id?: string
  /** Settles when the device is out, and its disk closed; absent: the device is present. */
  gone?: Promise<void>
}

/** Machines that devices are plugged into. */
type HotMachine = Pick<Machine, 'plug' | 'unplug'> & { readonly domain: Pick<Machine['domain'], 'clock' | 'devices'> }

/** Devices that `device_add` makes. */
export const PLUGGABLE: readonly string[] = [
  ...['virtio-blk-pci', 'nvme', 'virtio-net-pci', 'e1000', 'virtio-rng-pci', 'AC97'],
  ...['virtio-keyboard-pci', 'virtio-mouse-pci', 'virtio-tablet-pci'],
]
const isPluggable = (name: string): boolean => PLUGGABLE.includes(name) || namesModule(name)
/** Controllers that can have devices of their own. */
const HAVE_DEVICES: readonly string[] = ['virtio-scsi-pci', 'qemu-xhci']
/** Milliseconds after which the user is notified that the guest still has the device. */
const LATE_MS = 30_000

/** The devices of a command line that are behind root ports. @throws CliError `ERR_USAGE` */
export function devicesBehindPorts(devices: readonly DeviceArgument[] = []): readonly PortDevice[] {
  return devices.flatMap((argument) => {
    const { name, properties } = argument
    if (properties.get('mmio') === 'on') return []
    if (!isPluggable(name) && !HAVE_DEVICES.includes(name) && !/^virtio-.*-pci$/.test(name)) return []
    const { port } = placeOf(argument)
    const id = properties.get('id')
    return port === undefined ? [] : [{ name, port, ...(id !== undefined && { id }) }]
  })
}

/** The devices behind the root ports of a session's machines. A device stays when the guest resets its machine. */
export class HotDevices {
  readonly #ports: readonly MachineRootPort[]
  readonly #devices: Set<PortDevice>
  readonly #backEnds: Pick<BackEnds, 'add' | 'removeBehind'>
  /** Gets the stderr of device programs. */
  readonly #stderr: ProgramOutput
  /** Called with the id of a device that the guest has released. */
  onRemoved: (id: string) => void = () => {}
  /** End of the last addition: each one sees the results of earlier ones. */
  #added: Promise<unknown> = Promise.resolve()

  constructor(
    ports: readonly MachineRootPort[],
    devices: readonly PortDevice[],
    backEnds: Pick<BackEnds, 'add' | 'removeBehind'>,
    stderr: ProgramOutput,
  ) {
    this.#stderr = stderr
    this.#ports = ports
    this.#devices = new Set(devices)
    this.#backEnds = backEnds
  }

  /** Opens or plugs in a device, after pending additions. */
  inTurn<T>(add: () => Promise<T>): Promise<T> {
    const done = this.#added.then(add)
    this.#added = done.catch(() => {})
    return done
  }

  /** The user's name of a device model: its id, or the name that the machine gives it by its place. */
  nameOf(model: string): string {
    for (const { id } of this.#ports) {
      if (model === `pcie-root-port-${id}`) return id
      if (model.endsWith(`-${id}`)) return this.#behind(id)?.id ?? model
    }
    return model
  }

  #behind(port: string): PortDevice | undefined {
    return [...this.#devices].find((device) => device.port === port)
  }

  /**
   * Plugs a device into a root port of the machine that runs.
   *
   * @returns a message for the user
   * @throws CliError `ERR_USAGE`, `ERR_INPUT`; MachineError
   */
  async add(machine: HotMachine, argument: DeviceArgument): Promise<string> {
    const { name } = argument
    if (!isPluggable(name) && !namesProgram(name))
      throw usage(
        `device_add: '${name}' cannot be added while the machine runs; these can: ${PLUGGABLE.join(', ')}, and modules of your own${didYouMean(name, PLUGGABLE)}`,
      )
    if (machine.plug === undefined) throw usage('device_add: a replay has the devices that its recording had')
    const port = this.#freePort(argument)
    const id = argument.properties.get('id')
    if (id !== undefined && [...this.#devices, ...this.#ports].some((device) => device.id === id))
      throw usage(`device_add: there is a device '${id}' already`)
    if (namesProgram(name)) return this.#addProgram(machine, argument, { name, port, ...(id !== undefined && { id }) })
    const { device, undo } = await this.#backEnds.add(argument).catch((error: unknown) => {
      throw inWordsOfCommands(error)
    })
    try {
      await machine.plug(device)
    } catch (error) {
      undo()
      throw error
    }
    this.#devices.add({ name, port, ...(id !== undefined && { id }) })
    return `${id ?? name}: in ${port}; the guest is told\n`
  }

  /** Plugs in a device of a program. The program ends with the device, and a device whose program ends is unplugged. */
  async #addProgram(machine: HotMachine, argument: DeviceArgument, entry: PortDevice): Promise<string> {
    const { name, port, id = name } = entry
    const { clock } = machine.domain
    if (clock === undefined) throw usage(`device_add: this machine has no clock for the program of '${name}'`)
    const device = await openPluggedProgram(argument, this.#stderr, {
      clock,
      onFailed: ({ message }) => {
        if (!this.#devices.delete(entry)) return
        this.#stderr.write(`retrap: ${message}: ${id} is out of ${port}\n`)
        machine.unplug?.(port, { force: true }).catch(() => {})
      },
      onClosed: () => void this.#devices.delete(entry),
    }).catch((error: unknown) => {
      if (error instanceof IoreqError) throw new CliError('ERR_INPUT', `device_add: ${error.message}`)
      throw error
    })
    this.#devices.add(entry)
    try {
      await machine.plug!({ device, port })
    } catch (error) {
      this.#devices.delete(entry)
      device.removed?.()
      throw error
    }
    return `${id}: in ${port}; the guest is told\n`
  }

  /** Follows the devices of a machine: its guest may eject one without a request. */
  follow({ domain: { devices } }: HotMachine): void {
    if (devices === undefined) return
    devices.onLeaving = (port) => {
      const device = this.#behind(port)
      if (device === undefined) return
      this.#gone(device).catch(({ message }: Error) => this.#stderr.write(`retrap: ${message}\n`))
    }
  }

  /** A device is out of its port: closes its disk. @throws CliError `ERR_INPUT` where the last writes are not in its file */
  #gone(device: PortDevice): Promise<void> {
    const { id, port } = device
    this.#devices.delete(device)
    // The event is sent whether the disk has taken its last writes or not.
    device.gone ??= this.#backEnds.removeBehind(port).finally(() => id !== undefined && this.onRemoved(id))
    return device.gone
  }

  #isFixed(port: string): boolean {
    return this.#ports.some(({ id, hotPlug }) => id === port && hotPlug === false)
  }

  /** @throws CliError `ERR_USAGE` where the device is to have no free port */
  #freePort(argument: DeviceArgument): string {
    const usable = this.#ports.filter(({ hotPlug }) => hotPlug !== false).map(({ id }) => id)
    if (usable.length === 0)
      throw usage('device_add: the machine has no root port for it; start it with --device pcie-root-port,id=rp1')
    const free = usable.filter((port) => this.#behind(port) === undefined)
    const another =
      free.length > 0
        ? `write bus=${free[0]}`
        : 'all are; start the machine with another one: --device pcie-root-port,id=NAME'
    const { port } = placeOf(argument)
    if (port === undefined) throw usage(`device_add: it goes behind a root port that is not occupied; ${another}`)
    const taken = this.#behind(port)
    if (taken !== undefined)
      throw usage(`device_add: root port '${port}' is occupied by ${taken.id ?? `one ${taken.name}`}; ${another}`)
    if (usable.includes(port)) return port
    throw usage(
      this.#isFixed(port)
        ? `device_add: root port '${port}' has hotplug=off; ${another}`
        : `device_add: there is no root port '${port}'; there are: ${usable.join(', ')}${didYouMean(port, usable)}`,
    )
  }

  /**
   * Asks the guest for a device behind a root port, and waits until it has given it up.
   *
   * @param force - whether to remove the device without asking the guest
   * @param tell - gets intermediate messages for the user
   * @returns a final message for the user
   * @throws CliError `ERR_USAGE`; `ERR_INPUT` where the last writes are not in the disk's file; MachineError
   */
  async remove(machine: HotMachine, id: string, force: boolean, tell: (text: string) => void): Promise<string> {
    const device = [...this.#devices].find((one) => one.id === id)
    if (device === undefined) {
      const ids = [...this.#devices].flatMap((one) => one.id ?? [])
      const there = ids.length === 0 ? 'none with an id= is behind a root port' : `there are: ${ids.join(', ')}`
      throw usage(`device_del: there is no device '${id}' behind a root port; ${there}${didYouMean(id, ids)}`)
    }
    const { name, port } = device
    if (HAVE_DEVICES.includes(name))
      throw usage(`device_del: '${id}' is a ${name}, which has devices of its own; it stays while the machine runs`)
    if (this.#isFixed(port))
      throw usage(`device_del: root port '${port}' of '${id}' has hotplug=off; it stays while the machine runs`)
    if (machine.unplug === undefined) throw usage('device_del: a replay has the devices that its recording had')
    const asked = machine.unplug(port, { force, deadlineMs: Infinity })
    if (!force) tell(`${id}: the guest is asked to give it up\n`)
    const late = `${id}: the guest has not given it up yet; device_del -f ${id} takes it\n`
    const timer = setTimeout(() => tell(late), LATE_MS)
    timer.unref()
    let over = ''
    try {
      await asked
    } catch (error) {
      if (!(error instanceof MachineError) || error.code !== 'ERR_STATE') throw error
      over = ', since its machine has ended'
    } finally {
      clearTimeout(timer)
    }
    // Another command may have removed the device meanwhile.
    await this.#gone(device)
    return `${id}: out${over}\n`
  }
}

/** Reads the text that an option and a command have in common. @throws CliError in the words of commands */
export function asCommand<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw inWordsOfCommands(error)
  }
}

function inWordsOfCommands(error: unknown): unknown {
  if (!(error instanceof CliError)) return error
  return new CliError(error.code, error.message.replaceAll(/--(device|drive)\b/g, '$1_add'))
}
