import { type DeviceContext, MEMORY_PAGE_BYTES, type PciRomOptions } from '@retrap/device'

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

/** A function's expansion ROM. The function has one of two device IDs, and the program's maker knows only one of them. */
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

/** A copy whose first image is for this device; what is no image stays as it is. */
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
