import { concatenate } from '@retrap/basics'
import * as tables from './tables.ts'
import type { AcpiBoard } from './board.ts'
import { type AcpiTables, TableImage } from './image.ts'
import { RSDP_BYTES, TABLE_HEADER_BYTES } from './tables.ts'
import { dsdtBody } from './dsdt.ts'

/** Default GPA of tables: the BIOS area that an OS scans for the RSDP. */
export const ACPI_DEFAULT_BASE = 0xe_0000
const BIOS_AREA_END = 0x10_0000

/**
 * Builds RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT and, with an HPET or
 * PCI Express, their tables, as one image with absolute addresses.
 *
 * @param base - GPA of the image, a multiple of 64. The RSDP is found by
 *   scanning only from 0xE0000 to 0xFFFFF; elsewhere a boot protocol has to
 *   pass its address.
 * @throws RangeError if `base` is not a multiple of 64 or the tables overrun
 *   the area below 1 MiB
 *
 * Source: ACPI Specification 6.5, section 5.2.
 */
export function buildAcpiTables(board: AcpiBoard, base: number = ACPI_DEFAULT_BASE): AcpiTables {
  if (base % 64 !== 0) throw new RangeError(`ACPI table base 0x${base.toString(16)}: expected a multiple of 64`)
  const image = new TableImage(base)
  const facs = image.place('FACS', tables.facs())
  const dsdt = image.place('DSDT', tables.dsdt(dsdtBody(board)))
  const roots = [image.place('FACP', tables.fadt(board, facs, dsdt)), image.place('APIC', tables.madt(board))]
  if (board.hpet !== undefined) roots.push(image.place('HPET', tables.hpetTable(board.hpet)))
  if (board.ecam !== undefined) roots.push(image.place('MCFG', tables.mcfg(board.ecam)))
  const rsdt = image.place('RSDT', tables.rsdt(roots))
  const xsdt = image.place('XSDT', tables.xsdt(roots))
  if (base < BIOS_AREA_END && image.end > BIOS_AREA_END)
    throw new RangeError(`ACPI tables of ${image.end - base} bytes at 0x${base.toString(16)}: they end above 1 MiB`)
  return image.finish(tables.rsdp(rsdt, xsdt))
}

/** ACPI tables that firmware places: two files and the script that links them. */
export interface RelocatableAcpi {
  /** Content of the file `etc/acpi/rsdp`. */
  readonly rsdp: Uint8Array
  /** Content of the file `etc/acpi/tables`. */
  readonly tables: Uint8Array
  /** Content of the file `etc/table-loader`. */
  readonly script: Uint8Array
}

const RSDP_FILE = 'etc/acpi/rsdp'
const TABLES_FILE = 'etc/acpi/tables'
const NAME_BYTES = 56
const COMMAND_BYTES = 128
const ALLOCATE = 1
const ADD_POINTER = 2
const ADD_CHECKSUM = 3
const ZONE_HIGH = 1
const ZONE_FSEG = 2
const CHECKSUM_OFFSET = 9
// Bytes of the pointers in each table, by offset (ACPI Specification 6.5, section 5.2).
const RSDP_POINTERS = { 16: 4, 24: 8 }
const FADT_POINTERS = { 36: 4, 40: 4, 140: 8 }

/** The tables that were built last: a machine's clones have the same board and reuse them. */
let latest: { readonly board: string; readonly acpi: RelocatableAcpi } | undefined

/** The read-only tables of {@link buildAcpiTables}, for firmware to place. */
export function relocatableAcpi(board: AcpiBoard): RelocatableAcpi {
  const described = JSON.stringify(board)
  if (latest?.board !== described) latest = { board: described, acpi: relocate(buildAcpiTables(board, 0)) }
  return latest.acpi
}

/**
 * Tables with addresses relative to their own file, and the commands by
 * which firmware allocates, links and sums them.
 *
 * @param built - at address 0: every pointer is an offset into the image, and 0 is none
 *
 * Source: EDK2, OvmfPkg/AcpiPlatformDxe/QemuLoader.h (BSD), the layout of the commands.
 */
export function relocate({ image, addresses }: AcpiTables): RelocatableAcpi {
  const rsdp = image.slice(0, RSDP_BYTES)
  const tables = image.slice()
  tables.fill(0, 0, RSDP_BYTES)
  const view = new DataView(image.buffer)
  const script: Uint8Array[] = [allocate(TABLES_FILE, 64, ZONE_HIGH), allocate(RSDP_FILE, 16, ZONE_FSEG)]
  const isSet = (at: number): boolean => view.getUint32(at, true) !== 0
  const addPointers = (file: string, at: number, pointers: Readonly<Record<number, number>>): void => {
    for (const [offset, size] of Object.entries(pointers))
      if (isSet(at + Number(offset))) script.push(addPointer(file, at + Number(offset), size))
  }
  const link = (signature: string, pointers: Readonly<Record<number, number>>): void => {
    const at = addresses[signature]
    if (at === undefined) return
    addPointers(TABLES_FILE, at, pointers)
    script.push(addChecksum(TABLES_FILE, at + CHECKSUM_OFFSET, at, view.getUint32(at + 4, true)))
    // SeaBIOS subtracts the sum from the present value, while OVMF overwrites it by the negative sum: both need zero.
    tables[at + CHECKSUM_OFFSET] = 0
  }
  const entries = (signature: string, size: number): Readonly<Record<number, number>> => {
    const at = addresses[signature]
    const bytes = at === undefined ? 0 : view.getUint32(at + 4, true) - TABLE_HEADER_BYTES
    return Object.fromEntries(Array.from({ length: bytes / size }, (_, i) => [TABLE_HEADER_BYTES + i * size, size]))
  }
  link('FACP', FADT_POINTERS)
  link('RSDT', entries('RSDT', 4))
  link('XSDT', entries('XSDT', 8))
  addPointers(RSDP_FILE, 0, RSDP_POINTERS)
  script.push(addChecksum(RSDP_FILE, 8, 0, 20), addChecksum(RSDP_FILE, 32, 0, RSDP_BYTES))
  rsdp[8] = 0
  rsdp[32] = 0
  return { rsdp, tables, script: concatenate(script) }
}

/** A command of 128 bytes: its number, the files that it names, and its other fields by offset. */
function command(number: number, names: readonly string[], fields: Readonly<Record<number, number>>): Uint8Array {
  const out = new Uint8Array(COMMAND_BYTES)
  const view = new DataView(out.buffer)
  view.setUint32(0, number, true)
  for (const [n, name] of names.entries()) out.set(new TextEncoder().encode(name), 4 + n * NAME_BYTES)
  // Fields of one byte have zeros behind them, as the upper bytes of a small u32.
  for (const [at, value] of Object.entries(fields)) view.setUint32(Number(at), value, true)
  return out
}

const allocate = (file: string, alignment: number, zone: number): Uint8Array =>
  command(ALLOCATE, [file], { 60: alignment, 64: zone })

/** ADD_POINTER: firmware adds the address at which it loaded the tables to a pointer in `file`. */
const addPointer = (file: string, offset: number, size: number): Uint8Array =>
  command(ADD_POINTER, [file, TABLES_FILE], { 116: offset, 120: size })

const addChecksum = (file: string, offset: number, start: number, bytes: number): Uint8Array =>
  command(ADD_CHECKSUM, [file], { 60: offset, 64: start, 68: bytes })
