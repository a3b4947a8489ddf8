import type { DeviceContext, DeviceModel, PciFunction } from '@retrap/device'
import { type HostBridgeOptions, PamRegisters, SmramRegisters } from '../host-bridge.ts'
import { storage } from '../pci-device-number.ts'

const PCIEXBAR = 0x60
const PCIEXBAR_BYTES = 8
const PCIEXBAR_ENABLE = 1
const PCIEXBAR_BITS = 0xfc00_0007
const PCIEXBAR_HIGH_BITS = 0x0000_000f
const PAM_FIRST = 0x90
const SMRAM = 0x9d
const ESMRAMC = 0x9e
/** MiB of the extended TSEG size, which a guest asks for with FFFFH (QEMU, docs/specs; the register is not Intel's). */
const EXTENDED_TSEG = 0x50
const EXTENDED_TSEG_QUERY = 0xffff
const EXTENDED_TSEG_MIB = 16
/** Buses that each value of the length field stands for; the fourth is reserved. */
const BUSES = [256, 128, 64] as const
const BUS_BYTES = 1 << 20

/** The guest's placement of PCI Express configuration space. */
export interface EcamPlacement {
  /** Guest-physical address of bus 0. */
  readonly base: number
  /** Number of buses from 0 on, 1 MiB each. */
  readonly buses: number
}

/** Options of {@link MchHostBridge}. */
export interface MchHostBridgeOptions extends HostBridgeOptions {
  /** Called with the place of PCI Express configuration space, whenever it changes; null: it is off. */
  readonly onEcam?: (placement: EcamPlacement | null) => void
  /** Where the bridge is at power-on, a multiple of 256 MiB below 4 GiB: for machines without firmware. Default: it is off. */
  readonly ecamBase?: number
}

/**
 * Host bridge of the Q35 chipset (82Q35 MCH) at 00:00.0: identity, the programmable attribute map, and the place of PCI
 * Express configuration space, and SMRAM. The registers of the memory controller are plain storage. State is the PCI
 * function's, which the device host saves.
 *
 * Source: Intel 3 Series Express Chipset Family data sheet (316966), "DRAM Controller Registers (D0:F0)".
 */
export class MchHostBridge implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'host-bridge'
  readonly #options: MchHostBridgeOptions
  readonly #pam: PamRegisters
  readonly #smram = new SmramRegisters()
  #bridge: PciFunction | null = null

  constructor(options: MchHostBridgeOptions = {}) {
    this.#options = options
    this.#pam = new PamRegisters(PAM_FIRST, (register) => this.#bridge?.config[register] ?? 0, options.onShadow)
  }

  /** Adds the PCI function 00:00.0. */
  attach(context: DeviceContext): void {
    const { ecamBase } = this.#options
    this.#bridge = context.pci.add({
      device: 0,
      vendorId: 0x8086,
      deviceId: 0x29c0,
      revisionId: 2,
      // SeaBIOS recognises a board with fw_cfg by this subsystem.
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      classCode: 0x06_0000,
      writable: [
        [PCIEXBAR, PCIEXBAR_BITS, ecamBase === undefined ? 0 : ecamBase + PCIEXBAR_ENABLE],
        [PCIEXBAR + 4, PCIEXBAR_HIGH_BITS],
        // PAM0 to PAM6 and LAC.
        ...storage(0x90, 2),
        // SMRAM and ESMRAMC with their reserved bits.
        ...(this.#options.onSmram === undefined ? [] : ([[EXTENDED_TSEG, 0xffff]] as const)),
        [0x9c, 0x0087_7800, 0x0038_0200],
        // TOM, TOUUD, and the bases of stolen memory and of the top of low memory.
        ...storage(0xa0, 4),
        [0xb0, 0x0000_fff0],
      ],
      onWrite: (register: number, size: number): void => {
        this.#pam.written(register, size)
        if (register + size > SMRAM && register <= ESMRAMC) this.#writeSmram()
        if (register < EXTENDED_TSEG + 2 && register + size > EXTENDED_TSEG) this.#writeExtendedTseg()
        if (register + size > PCIEXBAR && register < PCIEXBAR + PCIEXBAR_BYTES) this.#reportEcam()
      },
    })
    if (ecamBase !== undefined) this.#reportEcam()
  }

  #writeSmram(): void {
    const { config } = this.#bridge!
    const { control, extended } = this.#smram.write(config[SMRAM]!, config[ESMRAMC]!)
    config[SMRAM] = control
    config[ESMRAMC] = extended
    this.#reportSmram()
  }

  #writeExtendedTseg(): void {
    const { config } = this.#bridge!
    const view = new DataView(config.buffer, config.byteOffset)
    if (this.#options.onSmram === undefined || view.getUint16(EXTENDED_TSEG, true) !== EXTENDED_TSEG_QUERY) return
    view.setUint16(EXTENDED_TSEG, EXTENDED_TSEG_MIB, true)
  }

  #reportSmram(): void {
    this.#options.onSmram?.(this.#smram.settings(EXTENDED_TSEG_MIB))
  }

  #follow(): void {
    const { config } = this.#bridge!
    this.#smram.restore(config[SMRAM]!, config[ESMRAMC]!)
    this.#pam.report()
    this.#reportSmram()
    this.#reportEcam()
  }

  #reportEcam(): void {
    this.#options.onEcam?.(this.#ecam())
  }

  #ecam(): EcamPlacement | null {
    const { config } = this.#bridge!
    const view = new DataView(config.buffer, config.byteOffset)
    const low = view.getUint32(PCIEXBAR, true)
    const buses = BUSES[(low >> 1) & 3]
    if ((low & PCIEXBAR_ENABLE) === 0 || buses === undefined) return null
    const high = view.getUint32(PCIEXBAR + 4, true)
    return { base: high * 2 ** 32 + ((low & -(buses * BUS_BYTES)) >>> 0), buses }
  }

  /** Reports the effects of registers that the device host has reset. */
  reset(): void {
    if (this.#options.isAsleep?.() === true) this.#pam.keep(this.#bridge!.config)
    this.#follow()
  }

  /** Reports the effects of registers that the device host has restored. */
  restore(): void {
    this.#follow()
  }

  /** Returns null, because the bridge itself has no state: see {@link MchHostBridge}. */
  save(): null {
    return null
  }
}
