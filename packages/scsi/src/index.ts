/**
 * SCSI: commands, sense data, a disk and a CD drive, apart from what carries them.
 *
 * @packageDocumentation
 */
export { HeldSense } from './held-sense.ts'
export { performScsi, senseOf } from './perform.ts'
export { CD_BLOCK_BYTES, ScsiCd } from './scsi-cd.ts'
export { MOST_TRANSFER_BYTES, ScsiDisk, type ScsiDiskOptions } from './scsi-disk.ts'
export { absentUnit, reportUnits, type ScsiOutcome, type ScsiUnit, type ScsiWork } from './scsi-unit.ts'
export { SENSE, type ScsiSense, senseData } from './sense.ts'
