/**
 * Keyboards, mice and tablets: an entry point of its own, so that machines without them do not carry them.
 *
 * @packageDocumentation
 */
export { VirtioInput, type VirtioInputOptions } from './devices/input/virtio-input.ts'
