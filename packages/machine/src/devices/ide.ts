import { PiixIde } from '@retrap/devices/ide'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { placeDrives } from './drive-places.ts'
import { drivesOf } from '../options/drives.ts'

/** Connects the drives of a `pc` to its IDE controller. */
export function place({ options }: Pick<DeviceSite, 'options'>): PlacedDevices {
  return placeDrives(drivesOf(options.drives, 'ide'), {
    places: 4,
    path: (at) => `/pci@i0cf8/ide@1,1/drive@${at >> 1}/disk@${at & 1}`,
    create: (given) => new PiixIde(given),
  })
}
