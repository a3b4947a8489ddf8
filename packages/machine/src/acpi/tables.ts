import { concatenate, type Fields, putFields } from '@retrap/basics'
import { ACPI_HOT_PLUG } from '@retrap/devices'
import type { Aml } from './aml.ts'
import type { AcpiBoard } from './board.ts'

/** The fixed-form tables. Field offsets are of ACPI Specification 6.5, section 5.2, "ACPI System Description Tables". */

export const TABLE_HEADER_BYTES = 36
export const FACS_BYTES = 64
export const RSDP_BYTES = 36
export const FADT_BYTES = 276
const OEM_ID = 'RETRAP'
const OEM_TABLE_ID = 'RETRAPPC'
const CREATOR_ID = 'RTRP'

/** The address space of ports. */
const IO_SPACE = 1
// FADT feature flags (5.2.9, "Fixed ACPI Description Table Fixed Feature Flags").
const FADT_WBINVD = 1 << 0
const FADT_PROC_C1 = 1 << 2
const FADT_TMR_VAL_EXT = 1 << 8
const FADT_RESET_REG_SUP = 1 << 10
// IA-PC boot architecture flags.
const BOOT_LEGACY_DEVICES = 1 << 0
const BOOT_8042 = 1 << 1
const BOOT_NO_VGA = 1 << 2

const MADT_PCAT_COMPAT = 1
const APIC_ENABLED = 1
// MPS INTI flags: polarity in bits 1:0, trigger mode in bits 3:2.
const INTI_LEVEL_HIGH = 0x0d
const INTI_EDGE_HIGH = 0x05
/** GSI that ISA IRQ 0 is wired to, since GSI 0 carries the 8259's INTR. */
const TIMER_GSI = 2

const text = (into: Uint8Array, at: number, chars: string): void => {
  for (let i = 0; i < chars.length; i++) into[at + i] = chars.charCodeAt(i)
}

/** Byte that makes `bytes` sum to zero, given that its own place holds zero. */
function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  return -sum & 0xff
}

/** Fields of a Generic Address Structure (5.2.3.2): space, bits of the register, code of the access size, address. */
export const register = (space: number, bits: number, access: number, address: number): Fields => ({
  u8: { 0: space, 1: bits, 3: access },
  u64: { 4: address },
})

/** Completes a table, whose body is there behind the place of the standard header, with header and checksum. */
export function table(signature: string, revision: number, out: Uint8Array): Uint8Array {
  text(out, 0, signature)
  text(out, 10, OEM_ID)
  text(out, 16, OEM_TABLE_ID)
  text(out, 28, CREATOR_ID)
  putFields(out, { u8: { 8: revision }, u32: { 4: out.length, 24: 1, 32: 1 } })
  out[9] = checksum(out)
  return out
}

/** Root System Description Pointer, revision 2. @param rsdtAddress - 0: no RSDT */
export function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const out = new Uint8Array(RSDP_BYTES)
  text(out, 0, 'RSD PTR ')
  text(out, 9, OEM_ID)
  putFields(out, { u8: { 15: 2 }, u32: { 16: rsdtAddress, 20: RSDP_BYTES }, u64: { 24: xsdtAddress } })
  // The first checksum covers the 20 bytes of revision 0, the second all.
  out[8] = checksum(out.subarray(0, 20))
  out[32] = checksum(out)
  return out
}

/** Root table with 32-bit entries. */
export function rsdt(addresses: readonly number[]): Uint8Array {
  const out = new Uint8Array(TABLE_HEADER_BYTES + 4 * addresses.length)
  for (const [i, address] of addresses.entries()) putFields(out, { u32: { [TABLE_HEADER_BYTES + 4 * i]: address } })
  return table('RSDT', 1, out)
}

/** Root table with 64-bit entries. */
export function xsdt(addresses: readonly number[]): Uint8Array {
  const out = new Uint8Array(TABLE_HEADER_BYTES + 8 * addresses.length)
  for (const [i, address] of addresses.entries()) putFields(out, { u64: { [TABLE_HEADER_BYTES + 8 * i]: address } })
  return table('XSDT', 1, out)
}

/** Firmware ACPI Control Structure, version 2; it has no checksum. */
export function facs(): Uint8Array {
  const out = new Uint8Array(FACS_BYTES)
  text(out, 0, 'FACS')
  putFields(out, { u8: { 32: 2 }, u32: { 4: FACS_BYTES } })
  return out
}

/** Differentiated System Description Table; revision 2 gives AML 64-bit integers. */
export const dsdt = (body: Aml): Uint8Array => table('DSDT', 2, withRoom(body))

/** A table's body behind the place of the header. */
const withRoom = (body: ArrayLike<number>): Uint8Array => concatenate([new Uint8Array(TABLE_HEADER_BYTES), body])

/** Fixed ACPI Description Table, revision 6. */
export function fadt(board: AcpiBoard, facsAddress: number, dsdtAddress: number): Uint8Array {
  const out = new Uint8Array(FADT_BYTES)
  const { pmBase, smiCommand, keyboardController, graphics } = board
  const bootFlags = BOOT_LEGACY_DEVICES | (keyboardController ? BOOT_8042 : 0) | (graphics === true ? 0 : BOOT_NO_VGA)
  putFields(out, {
    u8: {
      // Preferred profile: desktop.
      45: 1,
      88: 4,
      89: 2,
      91: 4,
      106: board.dayAlarmIndex ?? 0,
      108: board.centuryIndex,
      128: board.reset.value,
    },
    // C2 and C3 latencies beyond their limits mean that these states do not exist.
    u16: { 46: board.sciIrq, 96: 0xfff, 98: 0xfff, 109: bootFlags },
    u32: {
      36: facsAddress,
      40: dsdtAddress,
      56: pmBase,
      64: pmBase + 4,
      76: pmBase + 8,
      112: FADT_WBINVD | FADT_PROC_C1 | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
    },
    // X_FIRMWARE_CTRL stays zero, because FIRMWARE_CTRL is in use.
    u64: { 140: dsdtAddress },
  })
  if (smiCommand !== undefined)
    putFields(out, { u8: { 52: smiCommand.enable, 53: smiCommand.disable }, u32: { 48: smiCommand.port } })
  if (board.hotPlugSlots !== undefined) {
    const { eventBase, eventBytes } = ACPI_HOT_PLUG
    putFields(out, { u8: { 92: eventBytes }, u32: { 80: eventBase } })
    putFields(out, register(IO_SPACE, 8 * eventBytes, 1, eventBase), 220)
  }
  putFields(out, register(IO_SPACE, 8, 1, board.reset.port), 116)
  putFields(out, register(IO_SPACE, 32, 2, pmBase), 148)
  putFields(out, register(IO_SPACE, 16, 2, pmBase + 4), 172)
  putFields(out, register(IO_SPACE, 32, 3, pmBase + 8), 208)
  return table('FACP', 6, out)
}

/** Multiple APIC Description Table, revision 4. */
export function madt(board: AcpiBoard): Uint8Array {
  const bytes: number[] = []
  const u32 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24]
  const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff]
  bytes.push(...u32(board.localApicAddress), ...u32(MADT_PCAT_COMPAT))
  let wide = false
  board.apicIds.forEach((apicId, uid) => {
    // Ids from 255 up do not fit the xAPIC structure (5.2.12.12).
    if (apicId < 0xff && uid < 0xff) bytes.push(0, 8, uid, apicId, ...u32(APIC_ENABLED))
    else {
      wide = true
      bytes.push(9, 16, 0, 0, ...u32(apicId), ...u32(APIC_ENABLED), ...u32(uid))
    }
  })
  bytes.push(1, 12, board.ioapic.id, 0, ...u32(board.ioapic.address), ...u32(0))
  bytes.push(2, 10, 0, 0, ...u32(TIMER_GSI), ...u16(0))
  bytes.push(2, 10, 0, board.sciIrq, ...u32(board.sciIrq), ...u16(INTI_LEVEL_HIGH))
  // LINT1 of every local APIC is NMI.
  bytes.push(4, 6, 0xff, ...u16(INTI_EDGE_HIGH), 1)
  if (wide) bytes.push(0x0a, 12, ...u16(INTI_EDGE_HIGH), ...u32(0xffff_ffff), 1, 0, 0, 0)
  return table('APIC', 4, withRoom(bytes))
}

/** HPET description table (IA-PC HPET Specification 1.0a, 3.2.4). */
export function hpetTable(hpet: NonNullable<AcpiBoard['hpet']>): Uint8Array {
  const out = new Uint8Array(56)
  const { capabilities, address, minimumTick } = hpet
  putFields(out, { u8: { 41: 64 }, u16: { 53: minimumTick }, u32: { 36: capabilities }, u64: { 44: address } })
  return table('HPET', 1, out)
}

/** Table of memory-mapped configuration space (PCI Firmware Specification 3.3, 4.1.2, "MCFG Table Description"). */
export function mcfg({ base, buses }: NonNullable<AcpiBoard['ecam']>): Uint8Array {
  const out = new Uint8Array(60)
  putFields(out, { u8: { 55: buses - 1 }, u64: { 44: base } })
  return table('MCFG', 1, out)
}
