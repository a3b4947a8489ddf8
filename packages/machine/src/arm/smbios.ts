import { buildSmbios, type Smbios } from '../firmware/smbios.ts'
import { type ArmBoard, VIRT } from './layout.ts'

const ENTRY_POINT_BYTES = 0x18
const CHECKSUM = 0x05

/**
 * SMBIOS structures of the Arm board, with the 64-bit entry point: RAM lies above what the other can name.
 *
 * Source: DMTF DSP0134, "System Management BIOS (SMBIOS) Reference Specification" 3.0, 5.2.2, "SMBIOS 3.0 (64-bit) Entry Point".
 */
export function armSmbios({ cpus, memoryBytes }: ArmBoard): Smbios {
  const ram = [{ gpa: VIRT.ram.base, bytes: memoryBytes }]
  const { tables } = buildSmbios({ cpus, ram, product: 'retrap Arm board' })
  const anchor = new Uint8Array(ENTRY_POINT_BYTES)
  for (const [i, character] of [...'_SM3_'].entries()) anchor[i] = character.charCodeAt(0)
  // Edition 3.0, revision 1 of the entry point.
  anchor.set([ENTRY_POINT_BYTES, 3, 0, 0, 1], CHECKSUM + 1)
  new DataView(anchor.buffer).setUint32(0x0c, tables.length, true)
  anchor[CHECKSUM] = -anchor.reduce((sum, byte) => sum + byte, 0) & 0xff
  return { anchor, tables }
}
