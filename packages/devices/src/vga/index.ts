/**
 * The graphics card.
 *
 * @packageDocumentation
 */
export type { PreferredMode } from './edid.ts'
export { StandardVga } from './standard-vga.ts'
