import { Ahci } from '@retrap/devices/ahci'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { placeDrives } from './drive-places.ts'
import { drivesOf } from '../options/drives.ts'

/** Puts the drives of a `q35`, or of an Arm board, on the ports of its SATA controller. */
export function place({ options, sata }: Pick<DeviceSite, 'options' | 'sata'>): PlacedDevices {
  const { device, function: number } = sata ?? { device: 0x1f, function: 2 }
  return placeDrives(drivesOf(options.drives, 'ide'), {
    places: 6,
    path: (at) => `/pci@i0cf8/pci8086,2922@${device.toString(16)},${number}/drive@${at}/disk@0`,
    create: (given) => new Ahci({ ...given, ...sata }),
  })
}
