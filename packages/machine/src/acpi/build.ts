import type { AcpiBoard } from './board.ts'
import { dsdtBody } from './dsdt.ts'
import * as tables from './tables.ts'

/** GPA where tables go unless told otherwise: the BIOS area that an OS scans for the RSDP. */
export const ACPI_DEFAULT_BASE = 0xe_0000
const BIOS_AREA_END = 0x10_0000

/** A set of ACPI tables, ready to be copied to guest memory. */
export interface AcpiTables {
  /** GPA of the image; also that of the RSDP. */
  readonly rsdpAddress: number
  /** RSDP and all tables. */
  readonly image: Uint8Array
  /** GPA of each table, by signature. */
  readonly addresses: Readonly<Record<string, number>>
}

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
  const addresses: Record<string, number> = {}
  const placed: { readonly at: number; readonly bytes: Uint8Array }[] = []
  let next = base + 64
  const place = (signature: string, bytes: Uint8Array): number => {
    const at = next
    placed.push({ at, bytes })
    addresses[signature] = at
    // The FACS needs 64-byte alignment; the rest share it for simplicity.
    next = Math.ceil((at + bytes.length) / 64) * 64
    return at
  }
  const facs = place('FACS', tables.facs())
  const dsdt = place('DSDT', tables.dsdt(dsdtBody(board)))
  const roots = [place('FACP', tables.fadt(board, facs, dsdt)), place('APIC', tables.madt(board))]
  if (board.hpet !== undefined) roots.push(place('HPET', tables.hpetTable(board.hpet)))
  if (board.ecam !== undefined) roots.push(place('MCFG', tables.mcfg(board.ecam)))
  const rsdt = place('RSDT', tables.rsdt(roots))
  const xsdt = place('XSDT', tables.xsdt(roots))
  if (base < BIOS_AREA_END && next > BIOS_AREA_END)
    throw new RangeError(`ACPI tables of ${next - base} bytes at 0x${base.toString(16)}: they end above 1 MiB`)
  const image = new Uint8Array(next - base)
  for (const { at, bytes } of placed) image.set(bytes, at - base)
  image.set(tables.rsdp(rsdt, xsdt), 0)
  return { rsdpAddress: base, image, addresses }
}
