import type { PcOptions } from './pc-options.ts'

/** The frame buffer. */
export const VGA_MEMORY_BYTES: number = 2 ** 24
const ROM_BYTES = 2 ** 16
/** A frame buffer is aligned to large pages. */
const ALIGNMENT = 2 ** 21

/** Whether a machine has a graphics card. */
export function hasVga({ vga, kernel, drives }: PcOptions): boolean {
  return (vga ?? (kernel === undefined && drives !== undefined ? 'std' : 'none')) === 'std'
}

/** Machine memory that the graphics card takes. */
export function vgaBytes(options: PcOptions): number {
  return hasVga(options) ? VGA_MEMORY_BYTES + ROM_BYTES + ALIGNMENT : 0
}
