/**
 * The graphics card.
 *
 * @packageDocumentation
 */
export type { PreferredMode } from './edid.ts'
export { StandardVga, type StandardVgaOptions, type StandardVgaState } from './standard-vga.ts'
