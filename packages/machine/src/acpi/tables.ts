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

/** A table's body. Offsets count from the start of the whole table, as in specifications. */
export class TableBody {
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(tableBytes: number) {
    this.bytes = new Uint8Array(tableBytes - TABLE_HEADER_BYTES)
    this.#view = new DataView(this.bytes.buffer)
  }

  u8(at: number, value: number): this {
    this.#view.setUint8(at - TABLE_HEADER_BYTES, value)
    return this
  }

  u16(at: number, value: number): this {
    this.#view.setUint16(at - TABLE_HEADER_BYTES, value, true)
    return this
  }

  u32(at: number, value: number): this {
    this.#view.setUint32(at - TABLE_HEADER_BYTES, value, true)
    return this
  }

  u64(at: number, value: number | bigint): this {
    this.#view.setBigUint64(at - TABLE_HEADER_BYTES, BigInt(value), true)
    return this
  }

  /** Generic Address Structure (5.2.3.2): space, bits of the register, code of the access size, address. */
  register(at: number, space: number, bits: number, access: number, address: number): this {
    return this.u8(at, space)
      .u8(at + 1, bits)
      .u8(at + 3, access)
      .u64(at + 4, address)
  }
}

/** A table: standard header, body, checksum. */
export function table(
  signature: string,
  revision: number,
  { bytes: body }: { readonly bytes: Uint8Array },
): Uint8Array {
  const out = new Uint8Array(TABLE_HEADER_BYTES + body.length)
  const view = new DataView(out.buffer)
  text(out, 0, signature)
  view.setUint32(4, out.length, true)
  out[8] = revision
  text(out, 10, OEM_ID)
  text(out, 16, OEM_TABLE_ID)
  view.setUint32(24, 1, true)
  text(out, 28, CREATOR_ID)
  view.setUint32(32, 1, true)
  out.set(body, TABLE_HEADER_BYTES)
  out[9] = checksum(out)
  return out
}

/** Root System Description Pointer, revision 2. @param rsdtAddress - 0: no RSDT */
export function rsdp(rsdtAddress: number, xsdtAddress: number): Uint8Array {
  const out = new Uint8Array(RSDP_BYTES)
  const view = new DataView(out.buffer)
  text(out, 0, 'RSD PTR ')
  text(out, 9, OEM_ID)
  out[15] = 2
  view.setUint32(16, rsdtAddress, true)
  view.setUint32(20, RSDP_BYTES, true)
  view.setBigUint64(24, BigInt(xsdtAddress), true)
  // The first checksum covers the 20 bytes of revision 0, the second all.
  out[8] = checksum(out.subarray(0, 20))
  out[32] = checksum(out)
  return out
}

/** Root table with 32-bit entries. */
export function rsdt(addresses: readonly number[]): Uint8Array {
  const body = new TableBody(TABLE_HEADER_BYTES + 4 * addresses.length)
  addresses.forEach((address, i) => body.u32(TABLE_HEADER_BYTES + 4 * i, address))
  return table('RSDT', 1, body)
}

/** Root table with 64-bit entries. */
export function xsdt(addresses: readonly number[]): Uint8Array {
  const body = new TableBody(TABLE_HEADER_BYTES + 8 * addresses.length)
  addresses.forEach((address, i) => body.u64(TABLE_HEADER_BYTES + 8 * i, address))
  return table('XSDT', 1, body)
}

/** Firmware ACPI Control Structure, version 2; it has no checksum. */
export function facs(): Uint8Array {
  const out = new Uint8Array(FACS_BYTES)
  text(out, 0, 'FACS')
  new DataView(out.buffer).setUint32(4, FACS_BYTES, true)
  out[32] = 2
  return out
}

/** Differentiated System Description Table; revision 2 gives AML 64-bit integers. */
export const dsdt = (body: Aml): Uint8Array => table('DSDT', 2, { bytes: body })

/** Fixed ACPI Description Table, revision 6. */
export function fadt(board: AcpiBoard, facsAddress: number, dsdtAddress: number): Uint8Array {
  const body = new TableBody(FADT_BYTES)
  const { pmBase } = board
  body.u32(36, facsAddress)
  body.u32(40, dsdtAddress)
  // Preferred profile: desktop.
  body.u8(45, 1)
  body.u16(46, board.sciIrq)
  if (board.smiCommand !== undefined) {
    body.u32(48, board.smiCommand.port)
    body.u8(52, board.smiCommand.enable)
    body.u8(53, board.smiCommand.disable)
  }
  body.u32(56, pmBase)
  body.u32(64, pmBase + 4)
  body.u32(76, pmBase + 8)
  body.u8(88, 4)
  body.u8(89, 2)
  body.u8(91, 4)
  if (board.hotPlugSlots !== undefined) {
    const { eventBase, eventBytes } = ACPI_HOT_PLUG
    body.u32(80, eventBase)
    body.u8(92, eventBytes)
    body.register(220, IO_SPACE, 8 * eventBytes, 1, eventBase)
  }
  // C2 and C3 latencies beyond their limits mean that these states do not exist.
  body.u16(96, 0xfff)
  body.u16(98, 0xfff)
  body.u8(106, board.dayAlarmIndex ?? 0)
  body.u8(108, board.centuryIndex)
  const keyboard = board.keyboardController ? BOOT_8042 : 0
  body.u16(109, BOOT_LEGACY_DEVICES | keyboard | (board.graphics === true ? 0 : BOOT_NO_VGA))
  body.u32(112, FADT_WBINVD | FADT_PROC_C1 | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP)
  body.register(116, IO_SPACE, 8, 1, board.reset.port)
  body.u8(128, board.reset.value)
  // X_FIRMWARE_CTRL stays zero, because FIRMWARE_CTRL is in use.
  body.u64(140, dsdtAddress)
  body.register(148, IO_SPACE, 32, 2, pmBase)
  body.register(172, IO_SPACE, 16, 2, pmBase + 4)
  body.register(208, IO_SPACE, 32, 3, pmBase + 8)
  return table('FACP', 6, body)
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
  return table('APIC', 4, { bytes: Uint8Array.from(bytes) })
}

/** HPET description table (IA-PC HPET Specification 1.0a, 3.2.4). */
export function hpetTable(hpet: NonNullable<AcpiBoard['hpet']>): Uint8Array {
  const body = new TableBody(56)
  body.u32(36, hpet.capabilities).u8(41, 64).u64(44, hpet.address).u16(53, hpet.minimumTick)
  return table('HPET', 1, body)
}

/** Table of memory-mapped configuration space (PCI Firmware Specification 3.3, 4.1.2, "MCFG Table Description"). */
export function mcfg({ base, buses }: NonNullable<AcpiBoard['ecam']>): Uint8Array {
  const body = new TableBody(60)
  body.u64(44, base).u8(55, buses - 1)
  return table('MCFG', 1, body)
}
