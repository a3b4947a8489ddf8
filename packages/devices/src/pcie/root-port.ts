import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type PciFunction,
  type PciFunctionState,
  savedState,
} from '@retrap/device'

/** Red Hat's, as QEMU's generic root port has it. */
const VENDOR = 0x1b36
const DEVICE = 0x000c
const CLASS_PCI_BRIDGE = 0x06_0400

const EXPRESS_CAPABILITY = 0x10
/** From byte 2 of the capability on. */
const BODY_BYTES = 0x3a
/** Version 2, a root port, with a slot. */
const EXPRESS = 2 | (4 << 4) | (1 << 8)
const ROLE_BASED_ERRORS = 1 << 15
/** 2.5 GT/s by one lane. */
const LINK = 1 | (1 << 4)
const REPORTS_ACTIVE = 1 << 20
const LINK_ACTIVE = 1 << 13
const PRESENT = 1 << 6
const LAST_PORT = 255

/** Options of {@link PcieRootPort}. */
export interface PcieRootPortOptions {
  /** Name of the model; default `pcie-root-port`. */
  readonly name?: string
  /** PCI device number on bus 0. */
  readonly device: number
  /** Names the bus below, for `PciFunctionOptions.bus`. Its one device has number 0. */
  readonly busName: string
  /** Number of the port and of its slot, 0 to 255; no two ports have the same. Default: the PCI device number. */
  readonly port?: number
  /** Whether there is a device in its slot. Default false. */
  readonly occupied?: boolean
}

/** Saved form of a {@link PcieRootPort}. */
export interface PcieRootPortState {
  /** Layout of the state. */
  readonly version: 1
  /** Configuration space. */
  readonly pci: PciFunctionState
}

/**
 * A root port of PCI Express: a bridge with a bus for one device, which is there from power-on to power-off.
 *
 * Source: PCI Express Base Specification 3.0, §7.8, "PCI Express Capability Structure".
 */
export class PcieRootPort implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  readonly #options: PcieRootPortOptions
  #pci: PciFunction | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: PcieRootPortOptions) {
    const { name = 'pcie-root-port', port = options.device } = options
    if (!Number.isInteger(port) || port < 0 || port > LAST_PORT)
      throw new DeviceError('ERR_OPTION', `${name}: port ${port}: expected 0 to ${LAST_PORT}`)
    this.name = name
    this.#options = options
  }

  /** Adds the bridge. */
  attach(context: DeviceContext): void {
    const { device, busName } = this.#options
    this.#pci = context.pci.add({
      device,
      vendorId: VENDOR,
      deviceId: DEVICE,
      classCode: CLASS_PCI_BRIDGE,
      interruptPin: 1,
      extendedConfig: true,
      bridge: { busName },
      msi: { vectors: 1 },
      capabilities: [{ id: EXPRESS_CAPABILITY, ...this.#express() }],
    })
  }

  #express(): { readonly body: Uint8Array; readonly writable: Uint8Array } {
    const { device, port = device, occupied = false } = this.#options
    const [body, writable] = [new Uint8Array(BODY_BYTES), new Uint8Array(BODY_BYTES)]
    const [value, mask] = [new DataView(body.buffer), new DataView(writable.buffer)]
    // Offsets are those of the capability, whose first two bytes are not in its body.
    value.setUint16(0x02 - 2, EXPRESS, true)
    value.setUint32(0x04 - 2, ROLE_BASED_ERRORS, true)
    mask.setUint16(0x08 - 2, 0x000f, true)
    value.setUint32(0x0c - 2, LINK | REPORTS_ACTIVE | (port << 24), true)
    mask.setUint16(0x10 - 2, 0x00c3, true)
    value.setUint16(0x12 - 2, LINK | (occupied ? LINK_ACTIVE : 0), true)
    value.setUint32(0x14 - 2, port << 19, true)
    value.setUint16(0x1a - 2, occupied ? PRESENT : 0, true)
    mask.setUint16(0x1c - 2, 0x000f, true)
    return { body, writable }
  }

  /** Configuration space as at power-on. */
  reset(): void {
    this.#pci?.reset()
  }

  /** Returns the state as plain data. @throws DeviceError `ERR_STATE` before it is attached */
  save(): PcieRootPortState {
    if (this.#pci === null) throw new DeviceError('ERR_STATE', `${this.name} is not attached`)
    return { version: 1, pci: this.#pci.save() }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    this.#pci?.restore(savedState<PcieRootPortState>(this.name, state, 1).pci)
  }
}
