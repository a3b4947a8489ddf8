export type { AcpiBoard, AcpiHpet, AcpiSerialPort } from './board.ts'
export { ACPI_DEFAULT_BASE, buildAcpiTables, type AcpiTables } from './build.ts'
export { relocatableAcpi } from './relocatable.ts'
