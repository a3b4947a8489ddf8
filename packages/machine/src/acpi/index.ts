export type { AcpiBoard } from './board.ts'
export { buildAcpiTables } from './relocatable.ts'
export type { AcpiTables } from './image.ts'
export { relocatableAcpi } from './relocatable.ts'
