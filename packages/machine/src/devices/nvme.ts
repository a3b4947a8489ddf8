import { Nvme } from '@retrap/devices/nvme'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import type { PciPlace } from './pci-slots.ts'

/**
 * Makes a controller for each drive of `interface: 'nvme'`.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const drives = drivesOf(options.drives, 'nvme')
  const placed = drives.map((drive) => ({ drive, at: slots.place('nvme', drive.nvme ?? {}) }))
  return {
    models: placed.map(({ drive, at }) => makeDrive(drive, at)),
    bootPaths: placed.map(({ drive, at }) => [drive, `${at.path('pci1b36,10')}/namespace@1,0`]),
  }
}

function makeDrive({ medium, media, serialNumber, model, nvme }: MachineDrive, at: PciPlace): Nvme {
  const name = `nvme-${at.label}`
  if (medium === null || media === 'cdrom')
    throw new MachineError('ERR_OPTION', `${name}: an NVMe drive is a disk with a medium; use a drive of IDE for CDs`)
  return new Nvme({
    name,
    medium,
    device: at.device,
    bus: at.bus,
    queues: nvme?.queues,
    serialNumber: serialNumber ?? `RT${String(at.root).padStart(4, '0')}`,
    model,
  })
}
