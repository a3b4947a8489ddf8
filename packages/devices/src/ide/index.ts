/**
 * The IDE controller of a PIIX3.
 *
 * @packageDocumentation
 */
export type { IdeDriveOptions } from '../ata/create-drive.ts'
export { PiixIde } from './piix-ide.ts'
