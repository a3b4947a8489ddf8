import type { DeviceContext, DeviceModel, PciFunction } from '@retrap/device'

const PAM_FIRST = 0x59
const PAM_LAST = 0x5f
const PAM_READ = 1
const PAM_WRITE = 2
const PAM_SEGMENT_BYTES = 0x4000
const BIOS_BASE = 0xf_0000
const BIOS_BYTES = 0x1_0000

/** How a range below 1 MiB is backed: by RAM, or by what lies on the bus (ROM). */
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

/** Options of {@link HostBridge}. */
export interface HostBridgeOptions {
  /** Told how a range between 0xC0000 and 0xFFFFF is backed, whenever firmware changes its PAM attributes. */
  readonly onShadow?: (range: ShadowRange) => void
}

/**
 * 82441FX (440FX) host bridge at 00:00.0: identity and the programmable
 * attribute map. The PAM registers start out zero (the bus answers below
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
  #pam: PciFunction | null = null

  constructor(options: HostBridgeOptions = {}) {
    this.#options = options
  }

  /** Adds the PCI function 00:00.0. */
  attach(context: DeviceContext): void {
    this.#pam = context.pci.add({
      device: 0,
      vendorId: 0x8086,
      deviceId: 0x1237,
      revisionId: 2,
      // By this subsystem SeaBIOS tells a board that has fw_cfg from one that has not.
      subsystemVendorId: 0x1af4,
      subsystemId: 0x1100,
      classCode: 0x06_0000,
      writable: [
        // PMCCFG and neighbours, DRAM timing, PAM0–6, DRB0–7 and the rest up to the error registers: plain storage.
        [0x50, 0xffff_ffff],
        [0x54, 0xffff_ffff],
        [0x58, 0xffff_ffff],
        [0x5c, 0xffff_ffff],
        [0x60, 0xffff_ffff],
        [0x64, 0xffff_ffff],
        [0x68, 0xffff_ffff],
        [0x70, 0xffff_ffff],
        // SMRAM at 0x72 shares its dword with MTT.
      ],
      onWrite: (register: number, size: number): void => {
        for (let at = Math.max(register, PAM_FIRST); at < register + size && at <= PAM_LAST; at++) this.#apply(at)
      },
    })
  }

  #apply(register: number): void {
    const value = this.#pam?.config[register] ?? 0
    if (register === PAM_FIRST) {
      // PAM0's low half is reserved; the high half covers the BIOS area as one.
      this.#report(BIOS_BASE, BIOS_BYTES, value >> 4)
      return
    }
    const gpa = 0xc_0000 + 2 * PAM_SEGMENT_BYTES * (register - PAM_FIRST - 1)
    this.#report(gpa, PAM_SEGMENT_BYTES, value & 15)
    this.#report(gpa + PAM_SEGMENT_BYTES, PAM_SEGMENT_BYTES, value >> 4)
  }

  #report(gpa: number, bytes: number, attributes: number): void {
    this.#options.onShadow?.({
      gpa,
      bytes,
      readRam: (attributes & PAM_READ) !== 0,
      writeRam: (attributes & PAM_WRITE) !== 0,
    })
  }

  /** Reports how each range is backed, from the registers that the device host has put back. */
  reset(): void {
    // The device host has put the registers back; tell what follows from that.
    for (let register = PAM_FIRST; register <= PAM_LAST; register++) this.#apply(register)
  }

  /** Reports how each range is backed, from the registers that the device host has restored. */
  restore(): void {
    for (let register = PAM_FIRST; register <= PAM_LAST; register++) this.#apply(register)
  }

  /** Nothing of its own: see {@link HostBridge}. */
  save(): null {
    return null
  }
}
