/**
 * The SATA controller of a Q35.
 *
 * @packageDocumentation
 */
export type { IdeDriveOptions } from '../ata/create-drive.ts'
export { Ahci } from './ahci.ts'
