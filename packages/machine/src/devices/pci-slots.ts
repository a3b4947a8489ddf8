import { MachineError } from '../errors.ts'
import type { PcOptions } from '../options/pc-options.ts'
import { type MachinePciPlace, type MachineVirtioPlace, usbControllers } from '../options/pci-options.ts'

const HIGHEST = 31

/** A device's place on PCI, and its names. */
export interface PciPlace {
  /** Device number on the bus. */
  readonly device: number
  /** The bus of a root port; undefined: bus 0. */
  readonly bus: string | undefined
  /** Device number on bus 0, or that of the port. */
  readonly root: number
  /** Registers and interrupt of a virtio transport in memory. */
  readonly mmio?: { readonly base: number; readonly irq: number }
  /** Identifies the device in names of models. */
  readonly label: string
  /** Returns firmware's path of the device. @param node - firmware's name for the class of the device */
  path(node: string): string
}

/** Device numbers of bus 0 that options ask for. */
export function wantedSlots(options: PcOptions): readonly (number | undefined)[] {
  const { drives = [], virtio = [], networkCards = [], sound = [], rootPorts = [] } = options
  return [
    ...drives.map((drive) => drive.virtio?.slot ?? drive.nvme?.slot),
    ...[...virtio, ...networkCards, ...sound, ...rootPorts, ...usbControllers(options)].map(({ slot }) => slot),
  ]
}

/** Virtio transports of a board, side by side, and how many are used, from the first on. */
interface Transports {
  readonly base: number
  readonly bytes: number
  readonly irq: number
  readonly count: number
  readonly taken: number
}

/** Allocates PCI device numbers of bus 0. */
export class PciSlots {
  readonly #first: number
  readonly #last: number
  readonly #taken = new Set<number>()
  /** Root ports by id: their numbers, and whether they are bridges. */
  readonly #ports = new Map<string, { readonly slot: number; readonly isBridge: boolean }>()
  /** Names of root ports with a device behind them. */
  readonly occupied: Set<string> = new Set()
  /** Root ports that a disk has been plugged into last, and the bytes of its medium. */
  readonly plugged: Map<string, number> = new Map()
  readonly #wanted: ReadonlySet<number | undefined>
  readonly #placed: PciPlace[] = []
  readonly #transports: Transports | undefined
  readonly #takenTransports = new Set<number>()

  /** Bytes of the media of disks that were plugged in and are still present. */
  pluggedBytes(devices: { isOccupied(port: string): boolean }): number[] {
    return [...this.plugged].flatMap(([port, bytes]) => (devices.isOccupied(port) ? bytes : []))
  }

  /**
   * @param first - the lowest slot that is not the board's
   * @param wanted - numbers reserved for later requests
   * @param last - the highest slot that is not the board's
   * @param transports - virtio transports in memory; default none
   */
  constructor(
    first: number,
    wanted: readonly (number | undefined)[] = [],
    last: number = HIGHEST,
    transports?: Transports,
  ) {
    this.#transports = transports
    this.#first = first
    this.#last = last
    this.#wanted = new Set(wanted)
  }

  /**
   * Takes a device number.
   *
   * @param wanted - slot number; default the lowest free slot
   * @throws MachineError `ERR_OPTION` for a slot that is the board's, taken or absent
   */
  take(what: string, wanted?: number): number {
    let slot = wanted ?? this.#first
    if (wanted === undefined) while (this.#taken.has(slot) || this.#wanted.has(slot)) slot++
    if (!Number.isInteger(slot) || slot < this.#first || slot > this.#last || this.#taken.has(slot)) {
      const why = this.#taken.has(slot) ? 'two devices have it' : `expected ${this.#first} to ${this.#last}`
      throw new MachineError('ERR_OPTION', `${what}: PCI device number ${slot}: ${why}`)
    }
    this.#taken.add(slot)
    return slot
  }

  /**
   * Takes the device number of a root port.
   *
   * @param isBridge - false: the port is a slot of bus 0
   * @throws MachineError `ERR_OPTION` as of `take`, and for an id that is invalid or taken
   */
  addPort(id: string, wanted?: number, isBridge: boolean = true): number {
    if (!/^[A-Za-z][\w.-]*$/.test(id) || this.#ports.has(id)) {
      const why = this.#ports.has(id) ? 'two root ports have it' : 'expected a letter, and letters, digits, _, . and -'
      throw new MachineError('ERR_OPTION', `rootPorts: id '${id}': ${why}`)
    }
    const slot = this.take(id, wanted)
    this.#ports.set(id, { slot, isBridge })
    return slot
  }

  /**
   * Takes a place on bus 0, or behind a root port.
   *
   * @throws MachineError `ERR_OPTION`
   */
  place(what: string, wanted: MachinePciPlace & Pick<MachineVirtioPlace, 'mmio'>): PciPlace {
    const { mmio = false } = wanted
    const place = mmio === false ? this.#find(what, wanted) : this.#transport(what, mmio)
    this.#placed.push(place)
    return place
  }

  /** All assigned places, in order. */
  get placed(): readonly PciPlace[] {
    return this.#placed
  }

  #transport(what: string, wanted: number | true): PciPlace {
    const { base, bytes, irq, count, taken } = this.#transports ?? { base: 0, bytes: 0, irq: 0, count: 0, taken: 0 }
    if (count === 0)
      throw new MachineError('ERR_OPTION', `${what}: mmio ${wanted}: a PC has no transports in memory: expected false`)
    let number = wanted === true ? count - 1 : wanted
    if (wanted === true) while (this.#takenTransports.has(number)) number--
    if (!Number.isInteger(number) || number < taken || number >= count || this.#takenTransports.has(number)) {
      const why = this.#takenTransports.has(number) ? 'two devices have it' : `expected ${taken} to ${count - 1}`
      throw new MachineError('ERR_OPTION', `${what}: mmio ${number}: ${why}`)
    }
    this.#takenTransports.add(number)
    const at = { base: base + number * bytes, irq: irq + number }
    const path = `/virtio-mmio@${at.base.toString(16).padStart(16, '0')}`
    return { device: number, bus: undefined, root: number, mmio: at, label: `mmio-${number}`, path: () => path }
  }

  #find(what: string, { slot, port }: MachinePciPlace): PciPlace {
    if (port === undefined) {
      const device = this.take(what, slot)
      const path = (node: string): string => `/pci@i0cf8/${node}@${device.toString(16)}`
      return { device, bus: undefined, root: device, label: `${device}`, path }
    }
    const above = this.#ports.get(port)
    if (above === undefined || this.occupied.has(port) || slot !== undefined) {
      const why =
        above === undefined
          ? `there is none of that id${this.#ports.size > 0 ? `, but ${[...this.#ports.keys()].join(', ')}` : ''}`
          : slot === undefined
            ? 'it has a device already, and room for one'
            : `a device behind it has number 0: leave slot ${slot} out`
      throw new MachineError('ERR_OPTION', `${what}: root port '${port}': ${why}`)
    }
    this.occupied.add(port)
    const root = above.slot
    const number = root.toString(16)
    const path = (node: string): string =>
      above.isBridge ? `/pci@i0cf8/pci-bridge@${number}/${node}@0` : `/pci@i0cf8/${node}@${number}`
    return { device: 0, bus: port, root, label: port, path }
  }
}
