import { type DeviceContext, MEMORY_PAGE_BYTES, type PciRomOptions } from '@retrap/device'

/** The identity of a PCI function, by device type. */
interface TypeIdentity {
  /** Device ID of a function with the legacy interface; absent: the type has none. */
  readonly transitional?: number
  readonly classCode: number
}

/** Source: VIRTIO 1.2, §4.1.2, "PCI Device Discovery". The classes are those of the PCI Code and ID Assignment Specification. */
const TYPES: Readonly<Record<number, TypeIdentity>> = {
  1: { transitional: 0x1000, classCode: 0x02_0000 },
  2: { transitional: 0x1001, classCode: 0x01_0000 },
  3: { transitional: 0x1003, classCode: 0x07_8000 },
  4: { transitional: 0x1005, classCode: 0x00_ff00 },
  5: { transitional: 0x1002, classCode: 0x00_ff00 },
  8: { transitional: 0x1004, classCode: 0x01_0000 },
  9: { transitional: 0x1009, classCode: 0x01_8000 },
  18: { classCode: 0x09_8000 },
}

export const VENDOR_ID = 0x1af4
const FIRST_MODERN_ID = 0x1040
/** A modern function's subsystem is 0x40 or more, so that no legacy driver takes it. */
const MODERN_SUBSYSTEM_ID = 0x1100
const ANY_CLASS = 0x00_ff00

/** Identity registers of a function. */
export interface PciIdentity {
  readonly vendorId: number
  readonly deviceId: number
  readonly revisionId: number
  readonly subsystemVendorId: number
  readonly subsystemId: number
  readonly classCode: number
}

/** Whether a type has a legacy interface. */
export function hasLegacy(type: number): boolean {
  return TYPES[type]?.transitional !== undefined
}

/** @param legacy - the function has the legacy interface */
export function identityOf(type: number, legacy: boolean): PciIdentity {
  const { transitional, classCode = ANY_CLASS } = TYPES[type] ?? {}
  const old = legacy && transitional !== undefined
  return {
    vendorId: VENDOR_ID,
    deviceId: old ? transitional : FIRST_MODERN_ID + type,
    revisionId: old ? 0 : 1,
    subsystemVendorId: VENDOR_ID,
    subsystemId: old ? type : MODERN_SUBSYSTEM_ID,
    classCode,
  }
}

/*
 * Source: PCI Firmware Specification 3.0, §5.1, "PCI Expansion ROM Contents".
 */

const SIGNATURE = 0xaa55
const LENGTH = 2
/** Reserved on a PC; the sum of all bytes of an image is 0. */
const BALANCE = 6
const DATA_POINTER = 0x18
const DATA_SIGNATURE = 0x5249_4350 // 'PCIR'
const BLOCK = 512

/** Returns a function's expansion ROM. The function may have either of two device IDs, of which the ROM knows only one. */
export function romFor(
  context: DeviceContext,
  rom: Uint8Array,
  { vendorId, deviceId }: { readonly vendorId: number; readonly deviceId: number },
): PciRomOptions {
  const contents = withIdentity(rom, vendorId, deviceId)
  const bytes = Math.max(2 ** Math.ceil(Math.log2(contents.length)), MEMORY_PAGE_BYTES)
  return {
    memory: context.ownMemory({ name: 'rom', bytes, kind: 'rom', executable: true, contents, saved: false }),
  }
}

/** Returns a copy whose first image carries this device's identity; other data is unchanged. */
export function withIdentity(rom: Uint8Array, vendorId: number, deviceId: number): Uint8Array {
  const copy = rom.slice()
  const view = new DataView(copy.buffer)
  if (copy.length < DATA_POINTER + 2 || view.getUint16(0, true) !== SIGNATURE) return copy
  const data = view.getUint16(DATA_POINTER, true)
  if (data + 8 > copy.length || view.getUint32(data, true) !== DATA_SIGNATURE) return copy
  view.setUint16(data + 4, vendorId, true)
  view.setUint16(data + 6, deviceId, true)
  const image = copy.subarray(0, copy[LENGTH]! * BLOCK)
  copy[BALANCE]! -= image.reduce((sum, byte) => sum + byte, 0)
  return copy
}
