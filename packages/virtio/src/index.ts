/**
 * virtio 1.x: queues, transports, and devices on top of them.
 *
 * @packageDocumentation
 */
export type { ReadableBytes, VirtioAnswer, VirtioChain, WritableBytes } from './ring/chain.ts'
export type { VirtioQueue } from './queue.ts'
export { FeatureSet, VirtioFeature } from './ring/feature-bits.ts'
export type { VirtioDevice, VirtioHost, VirtioQueueDefinition, VirtioRingOptions } from './virtio-device.ts'
export { VirtioPci, type VirtioPciOptions, type VirtioPciState } from './pci/virtio-pci.ts'
export { EmptyVirtioMmio, type EmptyVirtioMmioOptions } from './mmio/virtio-mmio.ts'
export { VirtioMmio, type VirtioMmioOptions, type VirtioMmioState } from './mmio/virtio-mmio.ts'
export { VirtioBlock, type VirtioBlockOptions } from './devices/block/virtio-block.ts'
export { VirtioRng, type VirtioRngOptions } from './devices/virtio-rng.ts'
export { VirtioNet, type VirtioNetOptions } from './devices/net/virtio-net.ts'
export { VirtioConsole, type VirtioConsoleOptions, type VirtioConsolePort } from './devices/console/virtio-console.ts'
