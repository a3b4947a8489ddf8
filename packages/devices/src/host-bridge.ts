import type { DeviceContext, DeviceModel, PciFunction, PciFunctionOptions } from '@retrap/device'
import { storage } from './pci-device-number.ts'
import { PamRegisters, type ShadowRange } from './pam.ts'
import { SMRAM_INITIAL, SmramRegisters, type SmramSettings } from './smram.ts'

const PAM_FIRST = 0x59
const SMRAM = 0x72

/** Options of {@link HostBridge}. */
export interface HostBridgeOptions {
  /** Called with the backing of a range between 0xC0000 and 0xFFFFF, whenever firmware changes its PAM attributes. */
  readonly onShadow?: (range: ShadowRange) => void
  /**
   * Whether the machine sleeps (S3): a reset then keeps the PAM registers, like QEMU, so that waking firmware is found in
   * its copy.
   */
  readonly isAsleep?: () => boolean
  /** Called with the visibility of SMRAM's parts, whenever it changes. Absent: there is no system-management mode. */
  readonly onSmram?: (settings: SmramSettings) => void
}

/** The function 00:00.0 of a chipset, with the programmable attribute map and SMRAM. The device host saves its registers. */
export abstract class ChipsetBridge<Options extends HostBridgeOptions> implements DeviceModel {
  readonly name: string = 'host-bridge'
  protected readonly options: Options
  protected readonly smram: SmramRegisters = new SmramRegisters()
  readonly #pam: PamRegisters
  #bridge: PciFunction | null = null

  constructor(options: Options, pamFirst: number) {
    this.options = options
    this.#pam = new PamRegisters(pamFirst, (register) => this.#bridge?.config[register] ?? 0, options.onShadow)
  }

  abstract attach(context: DeviceContext): void

  protected get config(): Uint8Array {
    return this.#bridge!.config
  }

  /** @param written - called after each write to configuration space */
  protected add(
    { pci }: DeviceContext,
    deviceId: number,
    writable: Required<PciFunctionOptions>['writable'],
    written: (register: number, size: number) => void,
  ): void {
    this.#bridge = pci.add({
      device: 0,
      vendorId: 0x8086,
      deviceId,
      revisionId: 2,
      // SeaBIOS recognises a board with fw_cfg by this subsystem.
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      classCode: 0x06_0000,
      writable,
      onWrite: (register, size) => {
        this.#pam.written(register, size)
        written(register, size)
      },
    })
  }

  /** Reports the effects of the registers besides the attribute map's. */
  protected abstract follow(): void

  reset(): void {
    if (this.options.isAsleep?.() === true) this.#pam.keep(this.config)
    this.restore()
  }

  restore(): void {
    this.#pam.report()
    this.follow()
  }

  save(): null {
    return null
  }
}

/**
 * 82441FX (440FX) host bridge at 00:00.0: identity, the programmable
 * attribute map and SMRAM. The PAM registers start out zero (the bus answers below
 * 1 MiB); a machine that boots without firmware has no use for them and
 * leaves out `onShadow`. State is the PCI function's, which the device host
 * saves.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "PAM—Programmable Attribute
 * Map Registers".
 */
export class HostBridge extends ChipsetBridge<HostBridgeOptions> {
  constructor(options: HostBridgeOptions = {}) {
    super(options, PAM_FIRST)
  }

  /** Adds the PCI function 00:00.0. */
  attach(context: DeviceContext): void {
    const writable = [
      // PMCCFG and neighbours, DRAM timing, PAM0–6, DRB0–7 and the rest up to the error registers: plain storage.
      ...storage(0x50, 7),
      // SMRAM at 0x72 shares its dword with MTT.
      [0x70, 0xffff_ffff, SMRAM_INITIAL << 16],
    ] as const
    this.add(context, 0x1237, writable, (register, size) => {
      if (register > SMRAM || register + size <= SMRAM) return
      this.config[SMRAM] = this.smram.write(this.config[SMRAM]!).control
      this.#reportSmram()
    })
  }

  /** Reports SMRAM's parts. */
  protected follow(): void {
    this.smram.restore(this.config[SMRAM]!)
    this.#reportSmram()
  }

  #reportSmram(): void {
    this.options.onSmram?.(this.smram.settings(0))
  }
}
