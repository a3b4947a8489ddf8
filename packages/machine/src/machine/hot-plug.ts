import { behindPort, DeviceError, type DeviceModel } from '@retrap/device'
import type { Domain } from '@retrap/hvm'
import { requireSupported } from '../refusals/refusals.ts'
import { runOf, traitsOf } from '../refusals/traits.ts'
import { loadDeviceKinds, loadWatch, placeDevices } from '../devices/device-kinds.ts'
import type { DeviceSite } from '../devices/placed-devices.ts'
import type { MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { type MachineNetworkCard, usualMacAddress } from '../options/network-card.ts'
import { checkOptionValues } from '../option-values.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { MachineSoundDevice, MachineUsb } from '../options/pci-options.ts'
import type { MachineVirtioDevice } from '../options/virtio-device.ts'

/** A device for hot plug: one of these kinds, and the `port` above it. */
export type MachinePluggable =
  | {
      /** A disk of `interface: 'virtio'` or `'nvme'`. */
      readonly drive: MachineDrive
    }
  | {
      /** A virtio device; a SCSI controller has no drives. */
      readonly virtio: MachineVirtioDevice
    }
  | {
      /** A network card that is not a virtio device. */
      readonly networkCard: MachineNetworkCard
    }
  | {
      /** A sound device. */
      readonly sound: MachineSoundDevice
    }
  | {
      /** A USB controller with its devices. */
      readonly usb: MachineUsb
    }
  | {
      /**
       * A model of the caller's, whose PCI functions go behind the port. A machine that goes on from a snapshot has it among its
       * `devices`, as `behindPort(model, port)`.
       */
      readonly device: DeviceModel
      /** The `id` of the root port. */
      readonly port: string
    }

/** Options for unplugging a device. */
export interface MachineUnplugOptions {
  /** Removes the device without asking the guest, like a surprise removal. Default false. */
  readonly force?: boolean | undefined
  /** Milliseconds of host time that the guest may take to give it up; default 60,000. */
  readonly deadlineMs?: number | undefined
}

/** Decides when a device comes or goes. */
export interface PlugTurns {
  /** @param enter - plugs in the options' device @throws as `enter` */
  plug(port: string, options: PcOptions, enter: (options: PcOptions) => void): Promise<void>
  /** @param unplug - asks the guest for a device @returns whether it is out */
  unplug(port: string, force: boolean, unplug: () => Promise<boolean>): Promise<boolean>
}

/** Turns of a machine that is not recorded. */
const AT_ONCE: PlugTurns = {
  plug: async (_port, options, enter) => enter(options),
  unplug: (_port, _force, unplug) => unplug(),
}

const DEADLINE_MS = 60_000
const KINDS = ['drive', 'virtio', 'networkCard', 'sound', 'usb', 'device'] as const

/** Plugs devices into the root ports of a machine while it runs, and takes them out. */
export class HotPlug {
  readonly #domain: Domain
  readonly #site: DeviceSite
  readonly #life: { readonly isOver: boolean }
  readonly #gate: { readonly isRecording: boolean; readonly plugs: PlugTurns } | undefined
  /** Network cards that the machine has had. */
  #cards: number
  /** Whether a changed port had a device at power-on; undefined: it had another device. */
  readonly #had = new Map<string, boolean | undefined>()

  /** @param life - knows whether the machine has ended, or was closed. @param gate - of a recorded machine */
  constructor(
    domain: Domain,
    site: DeviceSite,
    life: { readonly isOver: boolean },
    gate?: { readonly isRecording: boolean; readonly plugs: PlugTurns },
  ) {
    this.#domain = domain
    this.#life = life
    this.#site = site
    this.#gate = gate
    const { virtio = [], networkCards = [] } = site.options
    this.#cards = networkCards.length + virtio.filter(({ kind }) => kind === 'net').length
  }

  /** See `Pc.plug`. */
  async plug(device: MachinePluggable): Promise<void> {
    const options = this.#optionsOf(device)
    checkOptionValues(options)
    requireSupported('plug', traitsOf(this.#site.options, runOf(this.#gate)), traitsOf(options))
    const port = portOf(device)
    await (this.#gate?.plugs ?? AT_ONCE).plug(port, options, await this.prepared(port, options))
    this.#domain.wake()
  }

  /** Loads the modules for a device of such options. @returns plugs one in, at once */
  async prepared(port: string, given: PcOptions): Promise<(options: PcOptions) => void> {
    checkOptionValues(given)
    const [kinds, watch] = await Promise.all([loadDeviceKinds(given), loadWatch({ ...this.#site.options, ...given })])
    return (options) => {
      const { slots } = this.#site
      const { devices } = this.#domain
      if (!devices.isOccupied(port)) slots.occupied.delete(port)
      const { models } = placeDevices(kinds, { ...this.#site, options })
      for (const { name } of options.devices ?? []) slots.place(name, { port })
      const behind = (options.devices ?? []).map((model) => behindPort(model, port))
      const own = watch?.(behind, behind, this.#domain) ?? behind
      try {
        for (const model of [...models, ...own]) devices.plug(model)
      } catch (error) {
        throw asMachineError(error)
      }
      this.#had.set(port, this.#had.get(port) === true ? undefined : false)
      slots.plugged.delete(port)
      const [drive] = options.drives ?? []
      if (drive !== undefined) slots.plugged.set(port, drive.medium?.properties.bytes ?? 0)
    }
  }

  /** See `Pc.unplug`. */
  async unplug(port: string, { force = false, deadlineMs = DEADLINE_MS }: MachineUnplugOptions = {}): Promise<void> {
    this.#checkRuns(port)
    if (!this.#had.has(port)) this.#had.set(port, this.#domain.devices.isOccupied(port))
    let out: boolean
    try {
      const unplugged = (this.#gate?.plugs ?? AT_ONCE).unplug(port, force, () =>
        this.#domain.devices.unplug(port, { force, deadlineMs }),
      )
      this.#domain.wake()
      out = await unplugged
    } catch (error) {
      throw asMachineError(error)
    }
    if (out) return
    this.#checkRuns(port)
    const why = force ? 'requests of it are still in flight' : 'the guest has not given it up'
    throw new MachineError(
      'ERR_UNPLUG',
      `root port '${port}': ${why} after ${deadlineMs} ms: wait longer${force ? '' : ', or use force'}`,
    )
  }

  /** A port whose device differs from the machine's options; undefined: no such port. */
  get changedPort(): string | undefined {
    const { devices } = this.#domain
    return [...this.#had].find(([port, had]) => devices.isOccupied(port) !== had)?.[0]
  }

  #checkRuns(port: string): void {
    if (!this.#life.isOver) return
    const what = 'the machine has ended, or was closed: its guest will not give a device up any more'
    throw new MachineError('ERR_STATE', `root port '${port}': ${what}`)
  }

  /** The options of a machine that has this device alone. */
  #optionsOf(device: MachinePluggable): PcOptions {
    const kinds = KINDS.filter((kind) => kind in device)
    if (kinds.length !== 1)
      throw new MachineError('ERR_OPTION', `plug: ${kinds.length} devices: expected one of ${KINDS.join(', ')}`)
    const { memoryBytes, machine } = this.#site.options
    // Without a kernel a machine with disks would have a graphics card.
    const common = { memoryBytes, machine, vga: 'none' } as const
    if ('device' in device) return { ...common, devices: [device.device] }
    if ('drive' in device) return { ...common, drives: [device.drive] }
    if ('virtio' in device) {
      const { virtio } = device
      return { ...common, virtio: [virtio.kind === 'net' ? this.#withAddress(virtio) : virtio] }
    }
    if ('networkCard' in device) return { ...common, networkCards: [this.#withAddress(device.networkCard)] }
    return { ...common, ...('sound' in device ? { sound: [device.sound] } : { usb: device.usb }) }
  }

  /** No two cards of a machine get one address. */
  #withAddress<T extends Pick<MachineNetworkCard, 'network' | 'macAddress'>>(card: T): T {
    const { macAddress = card.network.macAddress ?? usualMacAddress(this.#cards++) } = card
    return { ...card, macAddress }
  }
}

function portOf(device: MachinePluggable): string {
  const place = placeOf(device)
  if (place?.port !== undefined) return place.port
  throw new MachineError('ERR_OPTION', "plug: no port: expected the id of a root port, such as port: 'rp1'")
}

function placeOf(device: MachinePluggable): { readonly port?: string | undefined } | undefined {
  if ('drive' in device) {
    const { interface: how, virtio, nvme } = device.drive
    return how === 'virtio' ? virtio : nvme
  }
  if ('virtio' in device) return device.virtio
  if ('device' in device) return device
  if ('networkCard' in device) return device.networkCard
  return 'sound' in device ? device.sound : device.usb
}

function asMachineError(error: unknown): unknown {
  if (!(error instanceof DeviceError)) return error
  return new MachineError('ERR_OPTION', error.message, { cause: error })
}
