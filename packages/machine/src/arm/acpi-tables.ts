import { putFields } from '@retrap/basics'
import { FADT_BYTES, register, table, TABLE_HEADER_BYTES } from '../acpi/tables.ts'
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
const UART = register(0, 8, 1, VIRT.uart.base)
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
  const out = new Uint8Array(FADT_BYTES)
  const bootFlags = BOOT_PSCI | (board.psciConduit === 'smc' ? 0 : BOOT_PSCI_HVC)
  putFields(out, { u16: { 129: bootFlags }, u32: { 112: FADT_HARDWARE_REDUCED }, u64: { 140: dsdtAddress } })
  return table('FACP', 6, out)
}

/** Multiple APIC Description Table, revision 4: the GIC, and a processor interface for each processor. */
export function madt(board: ArmBoard): Uint8Array {
  const { cpus, gic = 3 } = board
  const its = hasIts(board)
  const processorBytes = 80
  const processorsAt = 44 + 24
  const rest = processorsAt + cpus * processorBytes
  const out = new Uint8Array(rest + (gic === 3 ? 16 : 24) + (its ? 20 : 0))
  putFields(out, { u8: { 44: GICD, 45: 24, 64: gic }, u64: { 52: VIRT.gicDistributor.base } })
  const interfaceBase = gic === 2 ? VIRT.gicCpuInterface.base : 0
  for (let cpu = 0; cpu < cpus; cpu++) {
    const u32 = { 4: cpu, 8: cpu, 12: GICC_ENABLED }
    const u64 = { 32: interfaceBase, 68: affinityOf(cpu) }
    putFields(out, { u8: { 0: GICC, 1: processorBytes }, u32, u64 }, processorsAt + cpu * processorBytes)
  }
  if (gic === 3) {
    const { base, bytes } = VIRT.gicRedistributors
    putFields(out, { u8: { 0: GICR, 1: 16 }, u32: { 12: bytes }, u64: { 4: base } }, rest)
  }
  if (gic === 2) {
    const { base, spi, count } = VIRT.gicMessages
    const u16 = { 20: count, 22: gsiOfSpi(spi) }
    putFields(out, { u8: { 0: GIC_MESSAGES, 1: 24 }, u16, u32: { 16: MESSAGES_TOLD }, u64: { 8: base } }, rest)
  }
  if (its) putFields(out, { u8: { 0: GIC_ITS, 1: 20 }, u64: { 8: VIRT.gicIts.base } }, rest + 16)
  return table('APIC', 4, out)
}

/** Processor Properties Topology Table, revision 2: all processors are in one cluster of one package. */
export function pptt({ cpus }: ArmBoard): Uint8Array {
  const cluster = TABLE_HEADER_BYTES + TOPOLOGY_NODE_BYTES
  const out = new Uint8Array(TABLE_HEADER_BYTES + (cpus + 2) * TOPOLOGY_NODE_BYTES)
  const node = (index: number, flags: number, parent: number, uid: number): void => {
    const u32 = { 4: flags, 8: parent, 12: uid }
    putFields(out, { u8: { 1: TOPOLOGY_NODE_BYTES }, u32 }, TABLE_HEADER_BYTES + index * TOPOLOGY_NODE_BYTES)
  }
  node(0, TOPOLOGY_PACKAGE, 0, 0)
  node(1, 0, TABLE_HEADER_BYTES, 0)
  for (let cpu = 0; cpu < cpus; cpu++) node(cpu + 2, TOPOLOGY_ID_VALID | TOPOLOGY_LEAF, cluster, cpu)
  return table('PPTT', 2, out)
}

/** Generic Timer Description Table, revision 2. The timers run in all power states of the processors. */
export function gtdt(): Uint8Array {
  const out = new Uint8Array(96)
  putFields(out, {
    u32: {
      48: gsiOfPpi('secureTimer'),
      56: gsiOfPpi('physicalTimer'),
      60: TIMER_ALWAYS_ON,
      64: gsiOfPpi('virtualTimer'),
      68: TIMER_ALWAYS_ON,
      72: gsiOfPpi('hypervisorTimer'),
    },
    u64: { 36: NO_BLOCK, 80: NO_BLOCK },
  })
  return table('GTDT', 2, out)
}

/** Serial Port Console Redirection table, revision 2 (Microsoft). */
export function spcr(): Uint8Array {
  const out = new Uint8Array(80)
  putFields(out, {
    u8: { 36: SERIAL_PL011, 52: INTERRUPT_GIC, 58: BAUD_9600, 60: 1, 61: FLOW_RTS_CTS },
    u16: { 64: NO_PCI_DEVICE, 66: NO_PCI_DEVICE },
    u32: { 54: gsiOfSpi(VIRT.uart.spi) },
  })
  putFields(out, UART, 40)
  return table('SPCR', 2, out)
}

/** Builds Debug Port Table 2, revision 0 (Microsoft): the same UART, by its name in the DSDT. */
export function dbg2(name: string): Uint8Array {
  const first = 44
  const address = first + 22
  const size = address + 12
  const text = size + 4
  const out = new Uint8Array(text + name.length + 1)
  const u16 = {
    1: out.length - first,
    4: name.length + 1,
    6: text - first,
    12: DEBUG_PORT_SERIAL,
    14: SERIAL_PL011,
    18: address - first,
    20: size - first,
  }
  putFields(out, { u8: { 3: 1 }, u16 }, first)
  putFields(out, { u32: { 36: first, 40: 1, [size]: VIRT.uart.bytes } })
  putFields(out, UART, address)
  out.set(new TextEncoder().encode(name), text)
  return table('DBG2', 0, out)
}

/** IO Remapping Table, revision 3: messages of PCI functions go to the ITS with their requester IDs. */
export function iort(): Uint8Array {
  const its = IORT_HEADER_BYTES
  const root = its + ITS_GROUP_BYTES
  const mapping = root + ROOT_COMPLEX_BYTES
  const out = new Uint8Array(mapping + ID_MAPPING_BYTES)
  putFields(out, { u32: { 36: 2, 40: its } })
  putFields(out, { u8: { 3: 1 }, u16: { 1: ITS_GROUP_BYTES }, u32: { 16: 1 } }, its)
  const rootBytes = { 0: ROOT_COMPLEX_NODE, 3: 3, 23: MEMORY_COHERENT, 32: ADDRESS_BITS }
  putFields(out, { u8: rootBytes, u16: { 1: ROOT_COMPLEX_BYTES + ID_MAPPING_BYTES } }, root)
  putFields(out, { u32: { 4: 1, 8: 1, 12: ROOT_COMPLEX_BYTES, 16: 1 } }, root)
  putFields(out, { u32: { 4: REQUESTER_IDS - 1, 12: its } }, mapping)
  return table('IORT', 3, out)
}
