import {
  type DeviceContext,
  DeviceError,
  type DeviceModel,
  type PciFunction,
  type PciFunctionState,
  type PlainState,
  Stateful,
} from '@retrap/device'
import {
  HOT_PLUG_CAPABILITIES,
  HotPlugSlot,
  SLOT_CONTROL,
  SLOT_CONTROL_WRITABLE,
  SLOT_STATUS_CLEARABLE,
} from './hot-plug-slot.ts'

/** Red Hat's vendor id, as QEMU's generic root port has it. */
const VENDOR = 0x1b36
const DEVICE = 0x000c
const CLASS_PCI_BRIDGE = 0x06_0400

const COMMAND = 0x04
const COMMAND_BUS_MASTER = 1 << 2
const EXPRESS_CAPABILITY = 0x10
/** Bytes of the capability from byte 2 on. */
const BODY_BYTES = 0x3a
/** Version 2, a root port, with a slot. */
const EXPRESS = 2 | (4 << 4) | (1 << 8)
const ROLE_BASED_ERRORS = 1 << 15
/** Link of one lane at 2.5 GT/s. */
const LINK = 1 | (1 << 4)
const REPORTS_ACTIVE = 1 << 20
const LAST_PORT = 255

/** Options of {@link PcieRootPort}. */
export interface PcieRootPortOptions {
  /** Name of the model; default `pcie-root-port`. */
  readonly name?: string
  /** PCI device number on bus 0. */
  readonly device: number
  /** Name of the bus below the port, for `PciFunctionOptions.bus`. Its only device has number 0. */
  readonly busName: string
  /** Number of the port and of its slot, 0 to 255; no two ports have the same. Default: the PCI device number. */
  readonly port?: number
  /** Whether a device may come and go while the machine runs. Default true. */
  readonly hotPlug?: boolean
}

/**
 * A root port of PCI Express: a bridge with a slot for one device. A host plugs devices in and asks the guest for them;
 * the guest takes and gives power.
 *
 * Source: PCI Express Base Specification 3.0, §7.8, "PCI Express Capability Structure", and §6.7, "PCI Express Hot-Plug
 * Support".
 */
export class PcieRootPort extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  readonly #options: PcieRootPortOptions
  readonly #slot: HotPlugSlot
  #pci: PciFunction | null = null
  /** Offset of the PCI Express capability. */
  #at = 0

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: PcieRootPortOptions) {
    super()
    const { name = 'pcie-root-port', port = options.device, hotPlug = true } = options
    if (!Number.isInteger(port) || port < 0 || port > LAST_PORT)
      throw new DeviceError('ERR_OPTION', `${name}: port ${port}: expected 0 to ${LAST_PORT}`)
    this.name = name
    this.#options = options
    this.#slot = new HotPlugSlot(name, hotPlug)
    this.keeps({
      version: 2,
      pci: { save: () => this.#pci?.save(), restore: (state: PciFunctionState) => this.#pci?.restore(state) },
      slot: this.#slot,
    })
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
      bridge: { busName, slot: this.#slot },
      msi: { vectors: 1 },
      capabilities: [{ id: EXPRESS_CAPABILITY, ...this.#express() }],
      onWrite: (register, size) => {
        const control = this.#at + SLOT_CONTROL
        this.#slot.written(register < control + 2 && register + size > control)
      },
    })
    this.#passOn(this.#pci)
    this.#at = this.#pci.capability(EXPRESS_CAPABILITY)
    this.#slot.attach(context, this.#pci, this.#at)
  }

  #express(): { readonly body: Uint8Array; readonly writable: Uint8Array; readonly clearable: Uint8Array } {
    const { device, port = device, hotPlug = true } = this.#options
    const registers = (): DataView<ArrayBuffer> => new DataView(new ArrayBuffer(BODY_BYTES))
    const [value, mask, cleared] = [registers(), registers(), registers()]
    // Offsets are within the capability, whose first two bytes are not part of the body.
    value.setUint16(0x02 - 2, EXPRESS, true)
    value.setUint32(0x04 - 2, ROLE_BASED_ERRORS, true)
    mask.setUint16(0x08 - 2, 0x000f, true)
    value.setUint32(0x0c - 2, LINK | REPORTS_ACTIVE | (port << 24), true)
    mask.setUint16(0x10 - 2, 0x00c3, true)
    value.setUint16(0x12 - 2, LINK, true)
    value.setUint32(0x14 - 2, (port << 19) | (hotPlug ? HOT_PLUG_CAPABILITIES : 0), true)
    mask.setUint16(0x18 - 2, hotPlug ? SLOT_CONTROL_WRITABLE : 0, true)
    cleared.setUint16(0x1a - 2, hotPlug ? SLOT_STATUS_CLEARABLE : 0, true)
    mask.setUint16(0x1c - 2, 0x000f, true)
    const bytes = ({ buffer }: DataView<ArrayBuffer>): Uint8Array => new Uint8Array(buffer)
    return { body: bytes(value), writable: bytes(mask), clearable: bytes(cleared) }
  }

  /** Configuration space and slot as at power-on. A device that the guest was asked for leaves. */
  override reset(): void {
    if (this.#pci === null) return
    this.#pci.reset()
    this.#passOn(this.#pci)
    this.#slot.reset()
  }

  /**
   * Has the port forward bus accesses of the devices below it. The specification begins with 0 (§7.5.1.1), for firmware
   * to set it; SeaBIOS sets the bit of the device alone, as QEMU passes everything on.
   */
  #passOn(pci: PciFunction): void {
    pci.config[COMMAND]! |= COMMAND_BUS_MASTER
    pci.update()
  }

  /** Completes the slot's command. */
  async quiesce(): Promise<void> {
    await this.#slot.quiesce()
  }

  /** Whether nothing is being plugged or unplugged. */
  isAtRest(): boolean {
    return this.#slot.isAtRest
  }

  /** Goes on. */
  resume(): void {
    this.#slot.resume()
  }

  /** Returns the state as plain data. @throws DeviceError `ERR_STATE` before it is attached */
  override save(): PlainState {
    if (this.#pci === null) throw new DeviceError('ERR_STATE', `${this.name} is not attached`)
    return super.save()
  }
}
