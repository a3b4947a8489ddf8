/**
 * Flash memory for firmware.
 *
 * @packageDocumentation
 */
export { CfiFlash, type CfiFlashOptions, type CfiFlashState } from './cfi-flash.ts'
