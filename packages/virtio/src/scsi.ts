/**
 * A SCSI controller: a separate entry point, so that other machines do not load it.
 *
 * @packageDocumentation
 */
export { VirtioScsi } from './devices/scsi/virtio-scsi.ts'
