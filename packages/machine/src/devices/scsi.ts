import { ScsiCd, ScsiDisk, type ScsiUnit } from '@retrap/scsi'
import { VirtioScsi } from '@retrap/virtio/scsi'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { virtioOf } from '../options/virtio-device.ts'
import { virtioFunction } from './virtio-function.ts'

const MOST_TARGETS = 256

/**
 * Makes the SCSI controller with the drives of `interface: 'scsi'`.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function place({ options, slots }: Pick<DeviceSite, 'options' | 'slots'>): PlacedDevices {
  const controllers = virtioOf(options.virtio, 'scsi')
  if (controllers.length > 1)
    throw new MachineError('ERR_OPTION', `virtio: ${controllers.length} SCSI controllers: expected at most one`)
  const controller: Partial<(typeof controllers)[number]> = controllers[0] ?? {}
  const { queues } = controller
  const drives = placeTargets(drivesOf(options.drives, 'scsi'))
  const place = slots.place('scsi', controller)
  const device = new VirtioScsi({
    name: `virtio-scsi-${place.label}`,
    targets: new Map([...drives].map(([target, drive]) => [target, unitOf(drive, target)])),
    queues,
  })
  const at = `${place.path('scsi')}/channel@0/disk@`
  return {
    models: [virtioFunction(device, place, controller)],
    bootPaths: [...drives].map(([target, drive]) => [drive, `${at}${target.toString(16)},0`] as const),
  }
}

function placeTargets(drives: readonly MachineDrive[]): ReadonlyMap<number, MachineDrive> {
  const places = new Map<number, MachineDrive>()
  for (const drive of drives) {
    const target = drive.scsi?.target
    if (target === undefined) continue
    if (!Number.isInteger(target) || target < 0 || target >= MOST_TARGETS || places.has(target)) {
      const why = places.has(target) ? 'two drives have it' : `expected 0 to ${MOST_TARGETS - 1}`
      throw new MachineError('ERR_OPTION', `drives: SCSI target ${target}: ${why}`)
    }
    places.set(target, drive)
  }
  let free = 0
  for (const drive of drives) {
    if (drive.scsi?.target !== undefined) continue
    while (places.has(free)) free++
    if (free >= MOST_TARGETS)
      throw new MachineError('ERR_OPTION', `${drives.length} SCSI drives: expected at most ${MOST_TARGETS}`)
    places.set(free, drive)
  }
  return new Map([...places].toSorted(([a], [b]) => a - b))
}

function unitOf({ medium, media, serialNumber, model }: MachineDrive, target: number): ScsiUnit {
  const named = model !== undefined && { model }
  if (media === 'cdrom') return new ScsiCd({ medium, ...named })
  if (medium === null)
    throw new MachineError('ERR_OPTION', `SCSI target ${target}: a disk has a medium; only a CD drive may have none`)
  return new ScsiDisk({ medium, ...named, ...(serialNumber !== undefined && { serialNumber }) })
}
