/**
 * Disk images with one asynchronous interface.
 *
 * @packageDocumentation
 */
export { ImageError, type ImageErrorCode } from './errors.ts'
export type { BlockImage } from './image.ts'
export { MemoryStorage } from './memory-storage.ts'
export { Overlay } from './overlay.ts'
export { RawImage, type RawImageOptions } from './raw-image.ts'
export type { BlockStorage } from './storage.ts'
