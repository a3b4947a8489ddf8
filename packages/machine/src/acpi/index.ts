export type { AcpiBoard, AcpiHpet, AcpiSerialPort } from './board.ts'
export { ACPI_DEFAULT_BASE, buildAcpiTables } from './relocatable.ts'
export type { AcpiTables } from './image.ts'
export { relocatableAcpi } from './relocatable.ts'
