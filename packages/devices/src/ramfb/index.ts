/**
 * A frame buffer in guest RAM.
 *
 * @packageDocumentation
 */

export { Ramfb, RAMFB_BYTES, RAMFB_FILE } from './ramfb.ts'
