/**
 * The screen of a virtual machine.
 *
 * @packageDocumentation
 */
export { DisplayError, type DisplayErrorCode } from './errors.ts'
export { Screen, type ScreenFrame, type ScreenOptions } from './screen.ts'
