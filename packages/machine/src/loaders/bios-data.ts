import type { GuestMemoryWriter } from './guest-memory.ts'
import { EBDA_BASE } from './memory-map.ts'

const BDA = 0x400
const BDA_COM_PORTS = 0x00
const BDA_EBDA_SEGMENT = 0x0e
const BDA_EQUIPMENT = 0x10
const BDA_MEMORY_KIB = 0x13
const COM_PORTS = 4
const EQUIPMENT_FPU = 0x02
const EQUIPMENT_SERIAL_SHIFT = 9

/**
 * Writes the few words of the BIOS data area that kernels look at when no
 * firmware has run: serial ports, the extended BIOS data area, the size of
 * base memory.
 *
 * Source: IBM PC/AT Technical Reference, "BIOS Data Area".
 */
export function writeBiosData(
  memory: GuestMemoryWriter,
  board: { /** First ports of the serial ports. */ readonly serialPorts: readonly number[] },
): void {
  const area = new Uint8Array(0x100)
  const view = new DataView(area.buffer)
  const ports = board.serialPorts.slice(0, COM_PORTS)
  ports.forEach((port, i) => view.setUint16(BDA_COM_PORTS + 2 * i, port, true))
  view.setUint16(BDA_EBDA_SEGMENT, EBDA_BASE >> 4, true)
  view.setUint16(BDA_EQUIPMENT, EQUIPMENT_FPU | (ports.length << EQUIPMENT_SERIAL_SHIFT), true)
  view.setUint16(BDA_MEMORY_KIB, EBDA_BASE / 1024, true)
  memory.write(BDA, area)
}
