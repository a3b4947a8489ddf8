/**
 * Floppy drives, and the DMA controllers that they need.
 *
 * @packageDocumentation
 */

export { FloppyController, type FloppyControllerOptions, type FloppyControllerState } from './floppy-controller.ts'
export { floppyDriveType, floppyFormat, type FloppyFormat } from './formats.ts'
export { type DmaChannel, I8237, type I8237Options, type I8237State } from './i8237.ts'
