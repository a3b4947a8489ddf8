/**
 * Floppy drives, and the DMA controllers that they need.
 *
 * @packageDocumentation
 */

export { FloppyController } from './floppy-controller.ts'
export { floppyDriveType } from './floppy-drive.ts'
export { I8237 } from './i8237.ts'
