import { type DeviceContext, type DeviceModel, Stateful, type StatePart, viewed } from '@retrap/device'
import { checkDevice, type CoreTransport, VirtioCore } from './virtio-core.ts'
import type { VirtioDevice, VirtioRingOptions } from './virtio-device.ts'

/** A device model of a virtio device, whatever its registers are. */
export abstract class VirtioTransport extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** Handlers answer at once: what takes time is a request of a queue. */
  readonly synchronous: boolean = true
  protected readonly device: VirtioDevice
  protected core: VirtioCore | null = null
  /** Pending interrupts of the line: 1 a queue's, 2 a change of configuration. */
  protected isr = 0
  protected readonly isrPart: StatePart = viewed(
    () => this.isr,
    (isr) => (this.isr = isr),
  )

  /** @throws DeviceError `ERR_OPTION` */
  constructor(device: VirtioDevice) {
    super()
    checkDevice(device)
    this.name = device.name
    this.device = device
  }

  /** Claims the registers. */
  abstract attach(context: DeviceContext): void
  /** Sets the level of the interrupt line. */
  protected abstract drive(level: boolean): void

  protected connect(
    context: DeviceContext,
    options: VirtioRingOptions,
    transport: Omit<CoreTransport, 'reset'>,
  ): VirtioCore {
    this.core = new VirtioCore(this.device, context, { ...transport, reset: () => this.setIsr(0) }, options)
    return this.core
  }

  protected setIsr(isr: number): void {
    this.isr = isr
    this.drive(isr !== 0)
  }

  /** The model is out of the machine. */
  removed(): void {
    this.device.removed?.()
  }

  /** Finishes pending requests, and begins none until `resume`. */
  async quiesce(deadlineMs: number): Promise<void> {
    await this.core?.quiesce(deadlineMs)
  }

  /** Whether no request is pending, and the driver has announced all available chains. */
  isAtRest(): boolean {
    return this.core?.isAtRest() ?? true
  }

  /** Goes on. */
  resume(): void {
    this.core?.resume()
  }

  /** Takes over a saved state. @throws DeviceError `ERR_STATE` for that of another device */
  override restore(state: unknown): void {
    super.restore(state)
    // The core's restore has reset the device, and the interrupt status with it.
    this.setIsr((state as { readonly isr: number }).isr)
  }
}
