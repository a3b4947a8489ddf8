/**
 * Images of containers as a read-only file system for a guest: OCI layouts, archives of `docker save`.
 *
 * @packageDocumentation
 */
export { archiveFiles } from './archive-files.ts'
export type { ImageConfig } from './config.ts'
export type { Digest } from './digest.ts'
export { wrongDigest } from './digest.ts'
export { OciError } from './errors.ts'
export type { OciErrorCode } from './errors.ts'
export { memoryFile, partsOf, readExactly } from './image-file.ts'
export type { ImageFile, ImageFiles } from './image-file.ts'
export { mostUnpacked, PAGE_LAYERS, tooLarge } from './layer-store.ts'
export type { ImageLayer, LayerCompression, LayerStore, OpenLayer } from './layer-store.ts'
export { DEFAULT_LIMITS } from './limits.ts'
export type { ImageLimits } from './limits.ts'
export type { ImageChoice } from './manifests.ts'
export { openImage } from './open-image.ts'
export type { OciImage, OpenImageOptions } from './open-image.ts'
export { readTar } from './tar.ts'
export type { TarEntry } from './tar.ts'
