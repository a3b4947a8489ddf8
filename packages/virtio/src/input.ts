/**
 * Keyboards, mice and tablets: a separate entry point, so that other machines do not load them.
 *
 * @packageDocumentation
 */
export { VirtioInput, type VirtioInputOptions } from './devices/input/virtio-input.ts'
