/**
 * virtio 1.x: queues, transports, and devices based on them.
 *
 * @packageDocumentation
 */
export type { VirtioAnswer } from './ring/chain.ts'
export type { VirtioQueue } from './queue.ts'
export type { VirtioDevice } from './virtio-device.ts'
export { VirtioPci, type VirtioPciOptions, type VirtioPciState } from './pci/virtio-pci.ts'
export { EmptyVirtioMmio, VirtioMmio } from './mmio/virtio-mmio.ts'
export { VirtioBlock, type VirtioBlockOptions } from './devices/block/virtio-block.ts'
export { VirtioRng } from './devices/virtio-rng.ts'
export { VirtioNet } from './devices/net/virtio-net.ts'
export { VirtioConsole, type VirtioConsoleOptions, type VirtioConsolePort } from './devices/console/virtio-console.ts'
