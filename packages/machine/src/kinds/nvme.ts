import { Nvme } from '@retrap/devices/nvme'
import type { PcSite, PlacedDevices } from '../device-kinds.ts'
import { drivesOf, type PcDrive } from '../drives.ts'
import { MachineError } from '../errors.ts'

/**
 * Makes a controller for each drive of `interface: 'nvme'`.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<PcSite, 'options' | 'slots'>): PlacedDevices {
  const drives = drivesOf(options.drives, 'nvme')
  const placed = drives.map((drive) => ({ drive, slot: slots.take('nvme', drive.nvme?.slot) }))
  return {
    models: placed.map(({ drive, slot }) => makeDrive(drive, slot)),
    bootPaths: placed.map(({ drive, slot }) => [drive, `/pci@i0cf8/pci1b36,10@${slot.toString(16)}/namespace@1,0`]),
  }
}

function makeDrive({ medium, media, serialNumber, model, nvme }: PcDrive, slot: number): Nvme {
  const name = `nvme-${slot}`
  if (medium === null || media === 'cdrom')
    throw new MachineError('ERR_OPTION', `${name}: an NVMe drive is a disk with a medium; use a drive of IDE for CDs`)
  return new Nvme({
    name,
    medium,
    device: slot,
    ...(nvme?.queues !== undefined && { queues: nvme.queues }),
    serialNumber: serialNumber ?? `RT${String(slot).padStart(4, '0')}`,
    ...(model !== undefined && { model }),
  })
}
