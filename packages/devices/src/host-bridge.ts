import type { DeviceContext, DeviceModel, PciFunction } from '@retrap/device'
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
export class HostBridge implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'host-bridge'
  readonly #options: HostBridgeOptions
  readonly #pam: PamRegisters
  readonly #smram = new SmramRegisters()
  #bridge: PciFunction | null = null

  constructor(options: HostBridgeOptions = {}) {
    this.#options = options
    this.#pam = new PamRegisters(PAM_FIRST, (register) => this.#bridge?.config[register] ?? 0, options.onShadow)
  }

  /** Adds the PCI function 00:00.0. */
  attach(context: DeviceContext): void {
    this.#bridge = context.pci.add({
      device: 0,
      vendorId: 0x8086,
      deviceId: 0x1237,
      revisionId: 2,
      // SeaBIOS recognises a board with fw_cfg by this subsystem.
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      classCode: 0x06_0000,
      writable: [
        // PMCCFG and neighbours, DRAM timing, PAM0–6, DRB0–7 and the rest up to the error registers: plain storage.
        ...storage(0x50, 7),
        // SMRAM at 0x72 shares its dword with MTT.
        [0x70, 0xffff_ffff, SMRAM_INITIAL << 16],
      ],
      onWrite: (register: number, size: number): void => {
        this.#pam.written(register, size)
        if (register <= SMRAM && register + size > SMRAM) this.#writeSmram()
      },
    })
  }

  #writeSmram(): void {
    const { config } = this.#bridge!
    config[SMRAM] = this.#smram.write(config[SMRAM]!).control
    this.#options.onSmram?.(this.#smram.settings(0))
  }

  #follow(): void {
    this.#smram.restore(this.#bridge!.config[SMRAM]!)
    this.#pam.report()
    this.#options.onSmram?.(this.#smram.settings(0))
  }

  /** Reports how each range is backed, from the registers that the device host has put back. */
  reset(): void {
    if (this.#options.isAsleep?.() === true) this.#pam.keep(this.#bridge!.config)
    this.#follow()
  }

  /** Reports how each range is backed, from the registers that the device host has restored. */
  restore(): void {
    this.#follow()
  }

  /** The bridge itself has no state: see {@link HostBridge}. */
  save(): null {
    return null
  }
}
