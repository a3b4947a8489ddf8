import type { Region } from '../access.ts'
import { DeviceError } from '../errors.ts'
import type { PciFunctionOptions, PciFunctionState, PciSlot, PciSlotEvents } from '../pci-function.ts'
import type { InterruptLine } from '../wires.ts'
import { PciConfigSpace } from './pci-config-space.ts'
import type { BarRegion } from './pci-decoders.ts'
import { TreeSlot } from './pci-slot.ts'

/** The machine's interface for a server's functions. */
export interface PciTreeHost {
  /** Makes the region behind a BAR of a model's function. */
  mapBar(device: string, bar: BarRegion): Region
  /** The wire of a root bus device's INTx pin (1–4), or null. */
  wire(device: number, pin: number): InterruptLine | null
  /** Sends a message interrupt. */
  signalMsi(address: number, data: number, requester: number): void
  /** Whether a function may have port 0, as where nothing but PCI has ports. Default: an I/O BAR of 0 is off. */
  hasPortZero?(): boolean
  /** Called when functions have come, gone, or got other bus numbers. */
  changed(): void
  /** Resets models, as their buses are. @returns settles when no work of theirs is in flight */
  rest?(owners: readonly string[]): Promise<void>
  /** Called when the guest has released the device in the slot below a port. */
  release?(busName: string): void
}

interface Entry {
  readonly owner: string
  readonly key: string
  readonly fn: PciConfigSpace
  /** The bridge above, or null. */
  readonly parent: Entry | null
  /** The bus below, or undefined. */
  readonly busName: string | undefined
  /** The bus below is a slot. */
  readonly slot: TreeSlot | undefined
  /** The slot of bus 0 that the function is in, or undefined. */
  readonly within: RootSlot | undefined
}

/** A slot of bus 0. */
interface RootSlot {
  readonly owner: string
  readonly busName: string
  readonly device: number
  readonly slot: TreeSlot
}

/**
 * Holds the PCI functions of one server, the buses below its bridges, and the way of configuration cycles to them.
 *
 * Source: PCI-to-PCI Bridge Architecture Specification 1.2, §3.1.2, "Configuration Transactions".
 */
export class PciTree {
  readonly #host: PciTreeHost
  /** Functions by place, in order of arrival: a bridge before functions below it. */
  readonly #entries = new Map<string, Entry>()
  /** Slots of bus 0, by name. */
  readonly #rootSlots = new Map<string, RootSlot>()
  /** Functions that configuration cycles presently reach, by bus·256 + device·8 + function. */
  #byRequester = new Map<number, Entry>()
  /** True while several functions change: no notice is sent. */
  #restoring = false

  constructor(host: PciTreeHost) {
    this.#host = host
  }

  /**
   * Adds a function.
   *
   * @param owner - the model's name
   * @throws DeviceError `ERR_EXISTS`, `ERR_NOT_FOUND`, `ERR_INVALID`, `ERR_NO_SPACE`
   */
  add(owner: string, options: PciFunctionOptions): PciConfigSpace {
    const { bus = 0, device, function: number = 0, bridge } = options
    const key = `${bus}:${device}.${number}`
    if (this.#entries.has(key) || (bus === 0 && this.#rootSlotAt(device)))
      throw new DeviceError('ERR_EXISTS', `${owner}: PCI function ${key} is taken`)
    const within = typeof bus === 'number' ? undefined : this.#rootSlots.get(bus)
    const parent = typeof bus === 'number' || within ? null : this.#bridge(owner, bus)
    if (bridge !== undefined) this.#checkNew(owner, bridge.busName)
    const pin = options.interruptPin ?? 0
    const slot = bridge?.slot && this.#makeSlot(bridge.busName, bridge.slot)
    const placed = within ? { ...options, bus: 0, device: within.device } : options
    const fn = new PciConfigSpace(placed, {
      mapBar: (bar) => this.#host.mapBar(owner, bar),
      wire: pin === 0 ? null : this.#wire(parent, placed.device, pin),
      signalMsi: (address, data, requester) => this.#host.signalMsi(address, data, requester),
      hasPortZero: () => this.#host.hasPortZero?.() ?? false,
      parent: parent?.fn ?? null,
      bridgeChanged: (changed) => this.#bridgeChanged(changed),
      slot,
      within: within?.slot,
    })
    this.#entries.set(key, { owner, key, fn, parent, busName: bridge?.busName, slot, within })
    this.#renumber()
    return fn
  }

  /**
   * Makes a place on bus 0 a slot.
   *
   * @param owner - the model's name
   * @throws DeviceError `ERR_EXISTS`
   */
  addSlot(owner: string, busName: string, device: number, events: PciSlotEvents): PciSlot {
    this.#checkNew(owner, busName)
    const isTaken = [...this.#entries.keys()].some((key) => key.startsWith(`0:${device}.`))
    if (isTaken || this.#rootSlotAt(device))
      throw new DeviceError('ERR_EXISTS', `${owner}: PCI device number ${device} is taken`)
    const slot = this.#makeSlot(busName, events)
    slot.connected = true
    this.#rootSlots.set(busName, { owner, busName, device, slot })
    return slot
  }

  #rootSlotAt(device: number): boolean {
    return [...this.#rootSlots.values()].some((one) => one.device === device)
  }

  /** @throws DeviceError `ERR_EXISTS` for the name of an existing bus or slot */
  #checkNew(owner: string, busName: string): void {
    if (this.#find(busName) === undefined && !this.#rootSlots.has(busName)) return
    throw new DeviceError('ERR_EXISTS', `${owner}: there is a PCI bus ${busName} already`)
  }

  #makeSlot(busName: string, events: PciSlotEvents): TreeSlot {
    return new TreeSlot(events, {
      occupied: () => this.ownersBelow(busName).length > 0,
      connected: () => {
        this.#tellBelow(busName)
        this.#renumber()
      },
      disconnected: () => {
        for (const { fn } of this.#below(busName)) fn.reset()
        this.#renumber()
        return this.#host.rest?.(this.ownersBelow(busName)) ?? Promise.resolve()
      },
      release: () => this.#host.release?.(busName),
    })
  }

  /** Functions on a bus, and on the buses below it. */
  #below(busName: string): Entry[] {
    const found: Entry[] = []
    for (const entry of this.#entries.values()) {
      for (let one: Entry | null = entry; one !== null; one = one.parent)
        if ((one.parent ?? one.within)?.busName === busName) found.push(entry)
    }
    return found
  }

  /** Returns names of models with functions on a bus, or below it. */
  ownersBelow(busName: string): string[] {
    return [...new Set(this.#below(busName).map(({ owner }) => owner))]
  }

  /** The slot that is the bus of this name, or undefined. */
  slot(busName: string): TreeSlot | undefined {
    return (this.#find(busName) ?? this.#rootSlots.get(busName))?.slot
  }

  /**
   * Notifies ports that a model with functions in their slots is complete.
   *
   * @param hot - the machine runs, and the guest must be notified
   * @returns whether the port exists
   */
  arrived(owner: string, hot: boolean): boolean {
    const slots = new Set<TreeSlot>()
    for (const entry of this.#entries.values()) {
      const slot = (entry.parent ?? entry.within)?.slot
      if (entry.owner === owner && slot !== undefined) slots.add(slot)
    }
    for (const { events } of slots) events.inserted(hot)
    return slots.size > 0
  }

  #find(busName: string): Entry | undefined {
    for (const entry of this.#entries.values()) if (entry.busName === busName) return entry
    return undefined
  }

  #bridge(owner: string, busName: string): Entry {
    const found = this.#find(busName)
    if (found !== undefined) return found
    throw new DeviceError('ERR_NOT_FOUND', `${owner}: there is no PCI bus ${busName}: expected the busName of a bridge`)
  }

  /** Pins of devices below a bridge arrive at its own, in turn (PCI-to-PCI Bridge 1.2, §9.1, "Interrupt Routing"). */
  #wire(parent: Entry | null, device: number, pin: number): InterruptLine | null {
    for (let above = parent; above !== null; above = above.parent) {
      pin = ((pin - 1 + device) & 3) + 1
      device = above.fn.device
    }
    return this.#host.wire(device, pin)
  }

  #bridgeChanged(bridge: PciConfigSpace): void {
    if (this.#restoring) return
    const busName = [...this.#entries.values()].find(({ fn }) => fn === bridge)?.busName
    if (busName === undefined) return
    if (bridge.bridge?.resets === true) {
      // A bridge below resets the functions on its own bus.
      for (const { fn, parent } of this.#entries.values()) if (parent?.fn === bridge) fn.reset()
      void this.#host.rest?.(this.ownersBelow(busName))
    } else this.#tellBelow(busName)
    this.#renumber()
  }

  #tellBelow(busName: string): void {
    for (const { fn } of this.#below(busName)) fn.aboveChanged()
  }

  #renumber(): void {
    const now = new Map<number, Entry>()
    for (const entry of this.#entries.values()) {
      // Of two bridges with one bus number the first one responds, as the specification leaves this open.
      if (entry.fn.reachable && !now.has(entry.fn.requester)) now.set(entry.fn.requester, entry)
    }
    const before = this.#byRequester
    this.#byRequester = now
    if (before.size === now.size && [...now.keys()].every((requester) => before.has(requester))) return
    this.#host.changed()
  }

  /** Requester IDs that configuration cycles reach now. */
  requesters(): number[] {
    return [...this.#byRequester.keys()]
  }

  /** Requester ID of a model's first function, or −1. */
  firstOf(owner: string): number {
    for (const entry of this.#entries.values()) if (entry.owner === owner) return entry.fn.requester
    return -1
  }

  /** Returns the name of the model that owns a function; undefined if none. */
  ownerAt(requester: number): string | undefined {
    return this.#byRequester.get(requester)?.owner
  }

  /** Reads up to 4 bytes of configuration space; ones without a function. */
  read(requester: number, register: number, size: number): number {
    return this.#byRequester.get(requester)?.fn.configRead(register, size) ?? 0xffff_ffff
  }

  /** Configuration write of up to 4 bytes. */
  write(requester: number, register: number, size: number, value: number): void {
    this.#byRequester.get(requester)?.fn.configWrite(register, size, value)
  }

  /**
   * Takes a model's functions out. Their ranges are the caller's to silence; the buses below its bridges stay unreachable.
   *
   * @param claimed - whether the server still answers for the free places, with ones
   */
  remove(owner: string, claimed: boolean): void {
    for (const all of [this.#entries, this.#rootSlots])
      for (const [key, entry] of all) if (entry.owner === owner) all.delete(key)
    for (const [requester, entry] of this.#byRequester) {
      if (entry.owner === owner) this.#byRequester.delete(requester)
    }
    if (!claimed) this.#host.changed()
  }

  /** Power-on state of every function. */
  reset(): void {
    for (const { fn } of this.#entries.values()) fn.reset()
  }

  /** Whether a function exists at a place, named as in `save`. */
  has(place: string): boolean {
    return this.#entries.has(place)
  }

  /** Returns the state of every function, by place. */
  save(): Record<string, PciFunctionState> {
    const states: Record<string, PciFunctionState> = {}
    for (const { key, fn } of this.#entries.values()) states[key] = fn.save()
    return states
  }

  /**
   * Restores every function, bridges first.
   *
   * @throws DeviceError `ERR_NOT_FOUND` for a function that does not exist; nothing has been restored then
   */
  restore(states: Readonly<Record<string, PciFunctionState>>): void {
    for (const key of Object.keys(states)) {
      if (!this.#entries.has(key)) {
        throw new DeviceError('ERR_NOT_FOUND', `saved state names PCI function ${key}, which is not there`)
      }
    }
    this.#restoring = true
    try {
      // In the map's order, bridges' windows are restored before the functions behind them.
      for (const [key, { fn }] of this.#entries) {
        const state = states[key]
        if (state !== undefined) fn.restore(state)
      }
    } finally {
      this.#restoring = false
    }
    this.#renumber()
  }
}
