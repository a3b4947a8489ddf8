import { FADT_BYTES, table, TABLE_HEADER_BYTES, TableBody } from '../acpi/tables.ts'
import { affinityOf, type ArmBoard, gsiOfPpi, gsiOfSpi, hasIts, VIRT } from './layout.ts'

/**
 * The fixed-form tables of an Arm board. Field offsets are of ACPI Specification 6.5, section 5.2, "ACPI System
 * Description Tables", and of the documents that it names.
 */

/** FADT flag: the board lacks the PC's power management hardware (5.2.9). */
const FADT_HARDWARE_REDUCED = 1 << 20
// FADT boot architecture flags (5.2.9.4, "ARM Architecture Boot Flags").
const BOOT_PSCI = 1 << 0
const BOOT_PSCI_HVC = 1 << 1

// Structures of the MADT (5.2.12).
const GICC = 0x0b
const GICD = 0x0c
const GIC_MESSAGES = 0x0d
const GICR = 0x0e
const GIC_ITS = 0x0f
const GICC_ENABLED = 1
/** The structure has the interrupts of a frame for messages, in place of the frame's own register. */
const MESSAGES_TOLD = 1

// Flags of timers (5.2.25, "Generic Timer Description Table").
const TIMER_ALWAYS_ON = 1 << 2
/** GPA for a block of registers that does not exist. */
const NO_BLOCK = 0xffff_ffff_ffff_ffffn

/** The UART's registers in memory, which are read and written by bytes. */
const UART = [0, 8, 1, VIRT.uart.base] as const
/** Subtype of a PL011 (Microsoft, Debug Port Table 2, "Port Subtypes"). */
const SERIAL_PL011 = 3
const DEBUG_PORT_SERIAL = 0x8000
const INTERRUPT_GIC = 8
const BAUD_9600 = 3
const FLOW_RTS_CTS = 2
const NO_PCI_DEVICE = 0xffff

// Nodes of the PPTT (5.2.30, "Processor Properties Topology Table").
const TOPOLOGY_NODE_BYTES = 20
const TOPOLOGY_PACKAGE = 1 << 0
const TOPOLOGY_ID_VALID = 1 << 1
const TOPOLOGY_LEAF = 1 << 3

// Nodes of the IORT (Arm DEN 0049, IO Remapping Table, revision E.b).
const IORT_HEADER_BYTES = 48
const ITS_GROUP_BYTES = 24
const ROOT_COMPLEX_BYTES = 36
const ID_MAPPING_BYTES = 20
const ROOT_COMPLEX_NODE = 2
/** Cacheable, with the attributes of the processors' mappings. */
const MEMORY_COHERENT = 3
const REQUESTER_IDS = 0x1_0000
const ADDRESS_BITS = 64

/** Fixed ACPI Description Table, revision 6: hardware-reduced, and PSCI. */
export function fadt(board: ArmBoard, dsdtAddress: number): Uint8Array {
  const body = new TableBody(FADT_BYTES)
  body.u32(112, FADT_HARDWARE_REDUCED)
  body.u16(129, BOOT_PSCI | (board.psciConduit === 'smc' ? 0 : BOOT_PSCI_HVC))
  body.u64(140, dsdtAddress)
  return table('FACP', 6, body)
}

/** Multiple APIC Description Table, revision 4: the GIC, and a processor interface for each processor. */
export function madt(board: ArmBoard): Uint8Array {
  const { cpus, gic = 3 } = board
  const its = hasIts(board)
  const processorBytes = 80
  const processorsAt = 44 + 24
  const rest = processorsAt + cpus * processorBytes
  const body = new TableBody(rest + (gic === 3 ? 16 : 24) + (its ? 20 : 0))
  body.u8(44, GICD).u8(45, 24).u64(52, VIRT.gicDistributor.base).u8(64, gic)
  for (let cpu = 0; cpu < cpus; cpu++) {
    const at = processorsAt + cpu * processorBytes
    body.u8(at, GICC).u8(at + 1, processorBytes)
    body
      .u32(at + 4, cpu)
      .u32(at + 8, cpu)
      .u32(at + 12, GICC_ENABLED)
    body.u64(at + 32, gic === 2 ? VIRT.gicCpuInterface.base : 0)
    body.u64(at + 68, affinityOf(cpu))
  }
  if (gic === 3) {
    const { base, bytes } = VIRT.gicRedistributors
    body.u8(rest, GICR).u8(rest + 1, 16)
    body.u64(rest + 4, base).u32(rest + 12, bytes)
  }
  if (gic === 2) {
    const { base, spi, count } = VIRT.gicMessages
    body.u8(rest, GIC_MESSAGES).u8(rest + 1, 24)
    body.u64(rest + 8, base).u32(rest + 16, MESSAGES_TOLD)
    body.u16(rest + 20, count).u16(rest + 22, gsiOfSpi(spi))
  }
  if (its) {
    body.u8(rest + 16, GIC_ITS).u8(rest + 17, 20)
    body.u64(rest + 24, VIRT.gicIts.base)
  }
  return table('APIC', 4, body)
}

/** Processor Properties Topology Table, revision 2: all processors are in one cluster of one package. */
export function pptt({ cpus }: ArmBoard): Uint8Array {
  const cluster = TABLE_HEADER_BYTES + TOPOLOGY_NODE_BYTES
  const body = new TableBody(TABLE_HEADER_BYTES + (cpus + 2) * TOPOLOGY_NODE_BYTES)
  const node = (index: number, flags: number, parent: number, uid: number): void => {
    const at = TABLE_HEADER_BYTES + index * TOPOLOGY_NODE_BYTES
    body
      .u8(at + 1, TOPOLOGY_NODE_BYTES)
      .u32(at + 4, flags)
      .u32(at + 8, parent)
      .u32(at + 12, uid)
  }
  node(0, TOPOLOGY_PACKAGE, 0, 0)
  node(1, 0, TABLE_HEADER_BYTES, 0)
  for (let cpu = 0; cpu < cpus; cpu++) node(cpu + 2, TOPOLOGY_ID_VALID | TOPOLOGY_LEAF, cluster, cpu)
  return table('PPTT', 2, body)
}

/** Generic Timer Description Table, revision 2. The timers run in all power states of the processors. */
export function gtdt(): Uint8Array {
  const body = new TableBody(96)
  body.u64(36, NO_BLOCK).u64(80, NO_BLOCK)
  body.u32(48, gsiOfPpi('secureTimer'))
  body.u32(56, gsiOfPpi('physicalTimer')).u32(60, TIMER_ALWAYS_ON)
  body.u32(64, gsiOfPpi('virtualTimer')).u32(68, TIMER_ALWAYS_ON)
  body.u32(72, gsiOfPpi('hypervisorTimer'))
  return table('GTDT', 2, body)
}

/** Serial Port Console Redirection table, revision 2 (Microsoft). */
export function spcr(): Uint8Array {
  const body = new TableBody(80)
  body.u8(36, SERIAL_PL011).register(40, ...UART)
  body.u8(52, INTERRUPT_GIC).u32(54, gsiOfSpi(VIRT.uart.spi))
  body.u8(58, BAUD_9600).u8(60, 1).u8(61, FLOW_RTS_CTS)
  body.u16(64, NO_PCI_DEVICE).u16(66, NO_PCI_DEVICE)
  return table('SPCR', 2, body)
}

/** Builds Debug Port Table 2, revision 0 (Microsoft): the same UART, by its name in the DSDT. */
export function dbg2(name: string): Uint8Array {
  const first = 44
  const address = first + 22
  const size = address + 12
  const text = size + 4
  const body = new TableBody(text + name.length + 1)
  body.u32(36, first).u32(40, 1)
  body.u16(first + 1, text + name.length + 1 - first).u8(first + 3, 1)
  body.u16(first + 4, name.length + 1).u16(first + 6, text - first)
  body.u16(first + 12, DEBUG_PORT_SERIAL).u16(first + 14, SERIAL_PL011)
  body.u16(first + 18, address - first).u16(first + 20, size - first)
  body.register(address, ...UART).u32(size, VIRT.uart.bytes)
  for (let i = 0; i < name.length; i++) body.u8(text + i, name.charCodeAt(i))
  return table('DBG2', 0, body)
}

/** IO Remapping Table, revision 3: messages of PCI functions go to the ITS with their requester IDs. */
export function iort(): Uint8Array {
  const its = IORT_HEADER_BYTES
  const root = its + ITS_GROUP_BYTES
  const mapping = root + ROOT_COMPLEX_BYTES
  const body = new TableBody(mapping + ID_MAPPING_BYTES)
  body.u32(36, 2).u32(40, its)
  body
    .u16(its + 1, ITS_GROUP_BYTES)
    .u8(its + 3, 1)
    .u32(its + 16, 1)
  body
    .u8(root, ROOT_COMPLEX_NODE)
    .u16(root + 1, ROOT_COMPLEX_BYTES + ID_MAPPING_BYTES)
    .u8(root + 3, 3)
  body
    .u32(root + 4, 1)
    .u32(root + 8, 1)
    .u32(root + 12, ROOT_COMPLEX_BYTES)
  body
    .u32(root + 16, 1)
    .u8(root + 23, MEMORY_COHERENT)
    .u8(root + 32, ADDRESS_BITS)
  body.u32(mapping + 4, REQUESTER_IDS - 1).u32(mapping + 12, its)
  return table('IORT', 3, body)
}
