/**
 * Flash memory for firmware.
 *
 * @packageDocumentation
 */
export { CfiFlash, type CfiFlashOptions } from './cfi-flash.ts'
