import { type DeviceContext, DeviceError, type DeviceModel, type InterruptLine } from '@retrap/device'

const PINS = 4

/** Options of {@link EcamHostBridge}. */
export interface EcamHostBridgeOptions {
  /** Interrupt line of pin A of device 0, as `DeviceContext.interruptLine` counts them; the next three follow. */
  readonly irq: number
}

/**
 * The host bridge at 00:00.0 of a board whose PCI Express configuration space lies in memory (`pci-host-ecam-generic`), and
 * the wires of interrupt pins on bus 0. Configuration space itself is an `ecam` window of the dispatcher; its place is the
 * board's, and the bridge has no register for it.
 *
 * Sources: Linux, Documentation/devicetree/bindings/pci/host-generic-pci.yaml; PCI-to-PCI Bridge Architecture Specification
 * 1.2, §9.1, "Interrupt Routing".
 */
export class EcamHostBridge implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'host-bridge'
  /** The PCI function's state is the device host's. */
  readonly stateless: boolean = true
  readonly #irq: number
  #context: DeviceContext | null = null

  constructor(options: EcamHostBridgeOptions) {
    this.#irq = options.irq
  }

  /** Adds the PCI function 00:00.0. */
  attach(context: DeviceContext): void {
    this.#context = context
    context.pci.add({
      device: 0,
      // The identity that kernels know from QEMU's board of the same kind.
      vendorId: 0x1b36,
      deviceId: 0x0008,
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      classCode: 0x06_0000,
    })
  }

  /**
   * The wire of the pin (1 to 4) of a device on bus 0: pins go to the four lines in turn.
   *
   * @throws DeviceError `ERR_INVALID` before the bridge is attached
   */
  interruptInput(device: number, pin: number): InterruptLine {
    if (this.#context === null)
      throw new DeviceError('ERR_INVALID', 'host-bridge: it has no wires before it is attached')
    return this.#context.interruptLine(this.#irq + ((device + pin - 1) % PINS))
  }
}
