import {
  type AccessSize,
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type InterruptLine,
  type PciSlot,
  Stateful,
  type SynchronousRangeHandler,
} from '@retrap/device'
import { ACPI_HOT_PLUG, ACPI_PM } from '../acpi-pm.ts'

/** A slot of bus 0 whose device may come and go. */
export interface AcpiSlotOptions {
  /** PCI device number. */
  readonly device: number
  /** Name of the slot, for `PciFunctionOptions.bus`. */
  readonly busName: string
  /** Whether a device may come and go while the machine runs. Default true. */
  readonly hotPlug?: boolean
}

/** The bit of a slot, or of an event, in a register. */
const bitOf = (number: number): number => 2 ** number
const EVENT = bitOf(ACPI_HOT_PLUG.event)
/** The byte of the event block from which on the enable bits are. */
const ENABLE = ACPI_HOT_PLUG.eventBytes / 2

/**
 * Slots of bus 0 with hot plug by ACPI, as QEMU's i440FX has them. A device that comes is present at once, and the guest is
 * notified; one leaves when the guest ejects it, asked or not. Beyond QEMU's registers one tells of devices that were pulled, for
 * the guest to look at the bus again.
 *
 * Source: QEMU, docs/specs/acpi_pci_hotplug.rst; ACPI Specification 6.5, 4.8.4.1, "General-Purpose Event Register Blocks".
 */
export class AcpiHotPlug extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'acpi-hot-plug'
  readonly #options: readonly AcpiSlotOptions[]
  readonly #slots = new Map<AcpiSlotOptions, PciSlot>()
  readonly #r = this.keeps(
    {
      version: 1,
      /** The event bit is set; the guest clears it. */
      status: 0,
      /** Events of which the guest wants an interrupt. */
      enable: 0,
      /** The bus that the guest has selected. */
      bus: 0,
      up: 0,
      down: 0,
      pulled: 0,
      /** Slots whose device the guest has been asked for, and not given up. */
      requested: 0,
    },
    { settled: () => this.#follow() },
  )
  /** Slots whose device the guest has just given up. */
  #ejected = 0
  /** Whether the model is quiesced and not yet resumed. */
  #rests = false
  #line: InterruptLine | null = null

  constructor(slots: readonly AcpiSlotOptions[]) {
    super()
    this.#options = slots
  }

  /** Claims the ports, takes the SCI line, and adds the slots. */
  attach(context: DeviceContext): void {
    const { eventBase, eventBytes, base, bytes } = ACPI_HOT_PLUG
    this.#line = context.interruptLine(ACPI_PM.sciIrq)
    const events: SynchronousRangeHandler = {
      read: (offset) => (offset === 0 ? this.#r.status : offset === ENABLE ? this.#r.enable : 0),
      write: (offset: number, _size: AccessSize, value: number): void => {
        if (offset === 0) this.#r.status &= ~value
        else if (offset === ENABLE) this.#r.enable = value & EVENT
        this.#follow()
      },
    }
    const registers: SynchronousRangeHandler = {
      read: (offset) => this.#read(offset),
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    }
    context.mapPorts(eventBase, eventBytes, events, { maximumAccess: 1 })
    context.mapPorts(base, bytes, registers, { minimumAccess: 4, maximumAccess: 4 })
    for (const options of this.#options) this.#slots.set(options, this.#add(context, options))
  }

  #add({ pci }: DeviceContext, { device, busName, hotPlug = true }: AcpiSlotOptions): PciSlot {
    const bit = bitOf(device)
    const check = (what: string): void => {
      if (!hotPlug)
        throw new DeviceError('ERR_PERMISSION', `${busName}: nothing is ${what} here while the machine runs`)
    }
    const slot: PciSlot = pci.addSlot(busName, device, {
      inserted: (hot) => {
        if (!hot) return
        check('plugged')
        this.#tell('up', bit)
      },
      requested: () => {
        check('unplugged')
        this.#r.requested |= bit
        this.#tell('down', bit)
      },
      removed: () => {
        slot.connect()
        for (const register of ['up', 'down', 'requested'] as const) this.#r[register] &= ~bit
        if ((this.#ejected & bit) === 0) this.#tell('pulled', bit)
        this.#ejected &= ~bit
      },
    })
    return slot
  }

  #tell(register: 'up' | 'down' | 'pulled', bit: number): void {
    this.#r[register] |= bit
    this.#r.status |= EVENT
    this.#follow()
  }

  #follow(): void {
    this.#line?.set((this.#r.status & this.#r.enable) !== 0)
  }

  #read(offset: number): number {
    if (offset === ACPI_HOT_PLUG.busOffset) return this.#r.bus
    if (this.#r.bus !== 0) return 0
    switch (offset) {
      case ACPI_HOT_PLUG.upOffset:
        return this.#take('up')
      case ACPI_HOT_PLUG.downOffset:
        return this.#take('down')
      case ACPI_HOT_PLUG.pulledOffset:
        return this.#take('pulled')
      case ACPI_HOT_PLUG.removableOffset:
        return this.#options.reduce((bits, { device, hotPlug = true }) => bits + (hotPlug ? bitOf(device) : 0), 0)
      default:
        // Features of the eject register: none.
        return 0
    }
  }

  #take(register: 'up' | 'down' | 'pulled'): number {
    const bits = this.#r[register] >>> 0
    this.#r[register] = 0
    return bits
  }

  #write(offset: number, value: number): void {
    if (offset === ACPI_HOT_PLUG.busOffset) this.#r.bus = value
    if (offset === ACPI_HOT_PLUG.ejectOffset && this.#r.bus === 0) this.#eject(value)
  }

  /** Lets devices go. */
  #eject(slots: number): void {
    for (const [{ device, hotPlug = true }, slot] of this.#slots) {
      const bit = bitOf(device)
      if (!hotPlug || (slots & bit) === 0 || !slot.occupied) continue
      this.#ejected |= bit
      slot.release()
    }
  }

  /** Does nothing: the model has no work in flight. */
  quiesce(): void {
    this.#rests = true
  }

  /** The machine goes on. */
  resume(): void {
    this.#rests = false
  }

  /**
   * Registers as at power-on. A device that the guest was asked for leaves, since that guest is gone; but one at rest is put back
   * to a state that has the device.
   */
  override reset(): void {
    if (!this.#rests) this.#eject(this.#r.requested)
    super.reset()
  }
}
