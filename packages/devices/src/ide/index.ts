/**
 * The IDE controller of a PIIX3.
 *
 * @packageDocumentation
 */
export type { IdeDriveOptions } from '../ata/create-drive.ts'
export { PiixIde, type PiixIdeOptions, type PiixIdeState } from './piix-ide.ts'
