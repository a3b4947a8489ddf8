/**
 * The IDE controller of a PIIX3.
 *
 * @packageDocumentation
 */
export type { IdeDriveOptions } from '../ata/create-drive.ts'
export { CdCommands, type CdCommandsState, type CdOutcome } from '../ata/cd-commands.ts'
export type { Sense } from '../ata/sense.ts'
export { PiixIde, type PiixIdeOptions, type PiixIdeState } from './piix-ide.ts'
