/**
 * A frame buffer in guest RAM.
 *
 * @packageDocumentation
 */

export { Ramfb, RAMFB_BYTES, RAMFB_FILE, type RamfbOptions, type RamfbState } from './ramfb.ts'
