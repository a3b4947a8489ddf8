import { StandardVga } from '@retrap/devices/vga'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { VGA_MEMORY_BYTES } from '../options/vga.ts'

/** The slot of QEMU's `pc`; with Xen the platform device takes this slot. */
const DEVICE = 2
const DEVICE_WITH_XEN = 3

/** Makes the graphics card. */
export function place({ options, screen, vga: at }: Pick<DeviceSite, 'options' | 'screen' | 'vga'>): PlacedDevices {
  const { vgaBios, hypervisor, preferredMode } = options
  const vga = new StandardVga({
    display: screen,
    device: at?.device ?? (hypervisor === 'xen' ? DEVICE_WITH_XEN : DEVICE),
    legacy: at === undefined,
    memoryBytes: VGA_MEMORY_BYTES,
    ...(vgaBios !== undefined && { rom: vgaBios }),
    ...(preferredMode !== undefined && { preferredMode }),
  })
  return { models: [vga] }
}
