import { Ahci } from '@retrap/devices/ahci'
import type { PcSite, PlacedDevices } from '../device-kinds.ts'
import { placeDrives } from '../drive-places.ts'
import { drivesOf } from '../drives.ts'

/** Puts the drives of a `q35` on the ports of its SATA controller. */
export function place({ options }: Pick<PcSite, 'options'>): PlacedDevices {
  return placeDrives(drivesOf(options.drives, 'ide'), {
    places: 6,
    path: (at) => `/pci@i0cf8/pci8086,2922@1f,2/drive@${at}/disk@0`,
    create: (given) => new Ahci(given),
  })
}
