import { TableImage, type AcpiTables } from '../acpi/image.ts'
import { relocate, type RelocatableAcpi } from '../acpi/relocatable.ts'
import { dsdt, mcfg, rsdp, xsdt } from '../acpi/tables.ts'
import { dbg2, fadt, gtdt, iort, madt, pptt, spcr } from './acpi-tables.ts'
import { dsdtBody, UART_PATH } from './dsdt.ts'
import { type ArmBoard, checkArmBoard, hasIts, VIRT } from './layout.ts'

/**
 * The ACPI tables of the board, with absolute addresses: RSDP, XSDT, FADT, DSDT, MADT, PPTT, GTDT, SPCR, DBG2, MCFG and, with an
 * ITS, IORT. There is no RSDT: addresses of 64 bits are what Arm's firmware uses.
 *
 * @param base - GPA of the image, a multiple of 64
 * @throws MachineError `ERR_CPUS`, `ERR_MEMORY_SIZE`
 *
 * Source: Arm DEN 0044, Base Boot Requirements, "ACPI tables".
 */
export function buildArmAcpiTables(board: ArmBoard, base: number): AcpiTables {
  checkArmBoard(board)
  const image = new TableImage(base)
  const definition = image.place('DSDT', dsdt(dsdtBody(board)))
  const roots = [
    image.place('FACP', fadt(board, definition)),
    image.place('APIC', madt(board)),
    image.place('PPTT', pptt(board)),
    image.place('GTDT', gtdt()),
    image.place('MCFG', mcfg(VIRT.pcie)),
    image.place('SPCR', spcr()),
    image.place('DBG2', dbg2(`\\_SB.${UART_PATH}`)),
    ...(hasIts(board) ? [image.place('IORT', iort())] : []),
  ]
  return image.finish(rsdp(0, image.place('XSDT', xsdt(roots))))
}

/** The same for firmware to place, by files of fw_cfg: `etc/acpi/rsdp`, `etc/acpi/tables`, `etc/table-loader`. */
export const relocatableArmAcpi = (board: ArmBoard): RelocatableAcpi => relocate(buildArmAcpiTables(board, 0))
