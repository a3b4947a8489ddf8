import type { AcpiBoard } from './board.ts'
import { dsdtBody } from './dsdt.ts'
import { TableImage, type AcpiTables } from './image.ts'
import * as tables from './tables.ts'

/** GPA where tables go unless told otherwise: the BIOS area that an OS scans for the RSDP. */
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
