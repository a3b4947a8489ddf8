export type { AcpiBoard } from './board.ts'
export { buildAcpiTables, relocatableAcpi } from './relocatable.ts'
export type { AcpiTables } from './image.ts'
