import { type Properties, usage, type DeviceArgument } from '../../options/values.ts'
import type { DriveArgument } from '../drives/drives.ts'
import { checkedProperties, isDiskDevice, placeOf, virtioPlaceOf } from './pci-devices.ts'

/**
 * Connects each drive of `if=none` to the `--device` that names it.
 *
 * @throws CliError `ERR_USAGE` for a drive without a device, or a device without its drive
 */
export function connectDrives(
  drives: readonly DriveArgument[],
  devices: readonly DeviceArgument[] = [],
): readonly DriveArgument[] {
  const used = new Map<DriveArgument, DriveArgument>()
  for (const argument of devices.filter(isDiskDevice)) {
    const properties = checkedProperties(argument)
    const id = properties.text('drive', '')
    const drive = drives.find((one) => one.forDevice === true && one.id === id)
    if (drive === undefined)
      throw usage(
        `--device ${argument.name}: there is no drive '${id}'; write --drive if=none,id=${id || 'NAME'},file=FILE`,
      )
    if (used.has(drive)) throw usage(`--device ${argument.name}: drive '${id}' belongs to another device already`)
    used.set(drive, { ...drive, ...diskOf(argument, properties) })
  }
  const lost = drives.find((drive) => drive.forDevice === true && !used.has(drive))
  if (lost !== undefined)
    throw usage(`--drive ${lost.id}: no device uses it; write --device virtio-blk-pci,drive=${lost.id}`)
  return drives.map((drive) => used.get(drive) ?? drive)
}

/** Returns the drive that a disk device's properties describe. @throws CliError `ERR_USAGE` */
export function diskOf(argument: DeviceArgument, properties: Properties): Partial<DriveArgument> {
  const given = (key: string): boolean => argument.properties.has(key)
  return {
    ...interfaceOf(argument, properties),
    ...(given('bootindex') && { bootIndex: properties.whole('bootindex', 0, 0x7fff_ffff) }),
    ...(given('serial') && { serialNumber: properties.text('serial', '') }),
  }
}

function interfaceOf(argument: DeviceArgument, properties: Properties): Partial<DriveArgument> {
  const given = (key: string): boolean => argument.properties.has(key)
  const queues = (key: string, usual: number) => given(key) && { queues: properties.whole(key, usual, 64, 1) }
  switch (argument.name) {
    case 'usb-storage':
      return { interface: 'usb' }
    case 'nvme':
      return { interface: 'nvme', nvme: { ...placeOf(argument), ...queues('max_ioqpairs', 8) } }
    case 'scsi-hd':
    case 'scsi-cd':
      properties.whole('lun', 0, 0)
      return {
        interface: 'scsi',
        ...(given('scsi-id') && { scsi: { target: properties.whole('scsi-id', 0, 255) } }),
        ...(argument.name === 'scsi-hd' ? { media: 'disk' } : { media: 'cdrom', readOnly: true }),
      }
    default:
      return { interface: 'virtio', virtio: { ...virtioPlaceOf(argument, properties), ...queues('num-queues', 1) } }
  }
}
