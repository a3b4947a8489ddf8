/**
 * A SCSI controller and disks: an entry point of its own, so that machines without them do not carry them.
 *
 * @packageDocumentation
 */
export { ScsiDisk, type ScsiDiskOptions } from './devices/scsi/scsi-disk.ts'
export type { ScsiCommands, ScsiOutcome, ScsiRange, ScsiSense, ScsiUnit } from './devices/scsi/scsi-unit.ts'
export { VirtioScsi, type VirtioScsiOptions } from './devices/scsi/virtio-scsi.ts'
