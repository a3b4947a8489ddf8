/**
 * The graphics card.
 *
 * @packageDocumentation
 */
export { StandardVga, type StandardVgaOptions, type StandardVgaState } from './standard-vga.ts'
