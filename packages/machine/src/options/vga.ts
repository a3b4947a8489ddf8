import { type PcOptions, startsDirectly } from './pc-options.ts'

/** The frame buffer. */
export const VGA_MEMORY_BYTES: number = 2 ** 24
const ROM_BYTES = 2 ** 16
/** A frame buffer is aligned to large pages. */
const ALIGNMENT = 2 ** 21

function graphicsOf(options: PcOptions): NonNullable<PcOptions['vga']> {
  const { vga, kernel, drives } = options
  return vga ?? (kernel === undefined && !startsDirectly(options) && drives !== undefined ? 'std' : 'none')
}

/** Whether a machine has a graphics card. */
export const hasVga = (options: PcOptions): boolean => graphicsOf(options) === 'std'

/** Whether the machine's picture lies in guest RAM, at a place that the guest chooses. */
export const hasRamfb = (options: PcOptions): boolean => graphicsOf(options) === 'ramfb'

/** Machine memory that the graphics card takes. */
export function vgaBytes(options: PcOptions): number {
  return hasVga(options) ? VGA_MEMORY_BYTES + ROM_BYTES + ALIGNMENT : 0
}
