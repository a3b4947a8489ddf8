import { DeviceError } from '@retrap/device'
import { StandardVga } from '@retrap/devices'
import type { Screen } from '@retrap/display'
import { MachineError } from './errors.ts'
import type { PcOptions } from './pc-options.ts'

/** Where QEMU's `pc` has it; with Xen its platform device is there. */
const DEVICE = 2
const DEVICE_WITH_XEN = 3
/** The frame buffer and room for the ROM. */
const MEMORY_BYTES = 2 ** 24
const ROM_BYTES = 2 ** 16
/** A frame buffer is aligned to large pages. */
const ALIGNMENT = 2 ** 21

/** Whether a machine has a graphics card. */
export function hasVga({ vga, kernel, drives }: PcOptions): boolean {
  return (vga ?? (kernel === undefined && drives !== undefined ? 'std' : 'none')) === 'std'
}

/** Machine memory that the graphics card takes. */
export function vgaBytes(options: PcOptions): number {
  return hasVga(options) ? MEMORY_BYTES + ROM_BYTES + ALIGNMENT : 0
}

/** Makes the graphics card, or null. @throws MachineError `ERR_OPTION` for a video BIOS that is too large */
export function createVga(options: PcOptions, screen: Screen): StandardVga | null {
  if (!hasVga(options)) return null
  const { vgaBios, hypervisor } = options
  const device = hypervisor === 'xen' ? DEVICE_WITH_XEN : DEVICE
  try {
    return new StandardVga({
      display: screen,
      device,
      memoryBytes: MEMORY_BYTES,
      ...(vgaBios !== undefined && { rom: vgaBios }),
    })
  } catch (error) {
    if (error instanceof DeviceError) throw new MachineError('ERR_OPTION', error.message, { cause: error })
    throw error
  }
}
