import type { DeviceContext, DeviceModel, PciFunction } from '@retrap/device'
import { storage } from './pci-device-number.ts'
import { MIB } from '@retrap/basics'

/** The visible parts of SMRAM. */
export interface SmramSettings {
  /** Processors in system-management mode see the RAM behind the VGA window at 0xA0000. */
  readonly low: boolean
  /** Whether processors outside the mode see it at 0xFEDA0000 instead. */
  readonly high: boolean
  /** Whether all code sees SMRAM at 0xA0000. */
  readonly open: boolean
  /** Whether all code sees SMRAM at 0xFEDA0000. */
  readonly openHigh: boolean
  /** The last bytes of RAM below 4 GiB that only processors in system-management mode see; 0 for none. */
  readonly tsegBytes: number
}

// SMRAM control register (82441FX, 72H; 82Q35, 9DH).
const D_OPEN = 1 << 6
const D_CLS = 1 << 5
const D_LCK = 1 << 4
const G_SMRAME = 1 << 3
const BASE_SEGMENT = 2
const WRITABLE = D_OPEN | D_CLS | D_LCK | G_SMRAME
// Extended SMRAM control register (82Q35, 9EH).
const H_SMRAME = 1 << 7
const T_EN = 1 << 0
const TSEG_SIZE_SHIFT = 1
/** Fixed cacheability bits, by which firmware detects SMRAM. */
const EXTENDED_FIXED = 0x38
const EXTENDED_WRITABLE = H_SMRAME | (3 << TSEG_SIZE_SHIFT) | T_EN
/** TSEG by the size field; the fourth is the extended size. */
const TSEG_MIB = [1, 2, 8] as const

/** Values at power-on. */
const SMRAM_INITIAL: number = BASE_SEGMENT
const EXTENDED_SMRAM_INITIAL = EXTENDED_FIXED

/**
 * The SMRAM control registers of a host bridge. D_LCK locks all but D_CLS until the next reset.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "SMRAM—System Management RAM Control Register"; Intel 3 Series Express
 * Chipset Family data sheet (316966), "SMRAM" and "ESMRAMC".
 */
export class SmramRegisters {
  #control = SMRAM_INITIAL
  #extended = EXTENDED_SMRAM_INITIAL

  /** Takes the bytes that the guest has written. @returns the registers' values after that */
  write(control: number, extended: number = this.#extended): { readonly control: number; readonly extended: number } {
    if ((this.#control & D_LCK) !== 0) {
      this.#control = (this.#control & ~D_CLS) | (control & D_CLS)
    } else {
      this.#control = BASE_SEGMENT | (control & WRITABLE)
      this.#extended = EXTENDED_FIXED | (extended & EXTENDED_WRITABLE)
      if ((this.#control & D_LCK) !== 0) this.#control &= ~D_OPEN
    }
    return { control: this.#control, extended: this.#extended }
  }

  /** Restores both registers unchecked. */
  restore(control: number, extended: number = EXTENDED_FIXED): void {
    this.#control = control
    this.#extended = extended
  }

  /** @param extendedMib - MiB of the extended TSEG size */
  settings(extendedMib: number): SmramSettings {
    const on = (this.#control & G_SMRAME) !== 0
    const moved = (this.#extended & H_SMRAME) !== 0
    const open = (this.#control & D_OPEN) !== 0
    const size = TSEG_MIB[(this.#extended >> TSEG_SIZE_SHIFT) & 3] ?? extendedMib
    return {
      low: on && !moved,
      high: on && moved,
      open: open && !moved,
      openHigh: open && moved,
      tsegBytes: on && (this.#extended & T_EN) !== 0 ? size * MIB : 0,
    }
  }
}

/** Registers PAM0 to PAM6. */
const COUNT = 7
const READ = 1
const WRITE = 2
const SEGMENT_BYTES = 0x4000
const FIRST_SEGMENT = 0xc_0000
const BIOS_BASE = 0xf_0000
const BIOS_BYTES = 0x1_0000

/** How a range below 1 MiB is backed: by RAM, or by the bus (ROM). */
export interface ShadowRange {
  /** Guest-physical address of the first byte. */
  readonly gpa: number
  /** Length, a multiple of 16 KiB. */
  readonly bytes: number
  /** Reads come from RAM. */
  readonly readRam: boolean
  /** Writes go to RAM. */
  readonly writeRam: boolean
}

/**
 * The programmable attribute map of a host bridge: seven bytes of configuration space, which say how 0xC0000 to 0xFFFFF
 * is backed. PAM0 has the BIOS area in its high half; the others have two segments each.
 *
 * Source: Intel 82441FX PMC data sheet (290549), "PAM—Programmable Attribute Map Registers"; Intel 3 Series data sheet
 * (316966), "PAM0—Programmable Attribute Map 0".
 */
export class PamRegisters {
  readonly #first: number
  readonly #value: (register: number) => number
  readonly #onShadow: ((range: ShadowRange) => void) | undefined
  readonly #last = new Uint8Array(COUNT)

  /**
   * @param first - place of PAM0 in configuration space
   * @param value - reads a byte of configuration space
   */
  constructor(first: number, value: (register: number) => number, onShadow?: (range: ShadowRange) => void) {
    this.#first = first
    this.#value = value
    this.#onShadow = onShadow
  }

  /** Follows a write to configuration bytes. */
  written(register: number, size: number): void {
    const end = Math.min(register + size, this.#first + COUNT)
    for (let at = Math.max(register, this.#first); at < end; at++) this.#apply(at)
  }

  /** Reports the attributes of each range. */
  report(): void {
    this.written(this.#first, COUNT)
  }

  /** Restores the values from before a reset to configuration space. */
  keep(config: Uint8Array): void {
    config.set(this.#last, this.#first)
  }

  #apply(register: number): void {
    const value = this.#value(register)
    const index = register - this.#first
    this.#last[index] = value
    if (index === 0) {
      this.#tell(BIOS_BASE, BIOS_BYTES, value >> 4)
      return
    }
    const gpa = FIRST_SEGMENT + 2 * SEGMENT_BYTES * (index - 1)
    this.#tell(gpa, SEGMENT_BYTES, value & 15)
    this.#tell(gpa + SEGMENT_BYTES, SEGMENT_BYTES, value >> 4)
  }

  #tell(gpa: number, bytes: number, attributes: number): void {
    this.#onShadow?.({ gpa, bytes, readRam: (attributes & READ) !== 0, writeRam: (attributes & WRITE) !== 0 })
  }
}

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
