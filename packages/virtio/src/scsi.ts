/**
 * A SCSI controller: an entry point of its own, so that machines without one do not carry it.
 *
 * @packageDocumentation
 */
export { VirtioScsi } from './devices/scsi/virtio-scsi.ts'
