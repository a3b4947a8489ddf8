/**
 * Disk images with one asynchronous interface.
 *
 * @packageDocumentation
 */
export { BlobStorage } from './storage.ts'
export { CopyBeforeWrite } from './copy-before-write.ts'
export { ImageError, type BlockImage } from './image.ts'
export { type HttpFetch, type HttpResponse, HttpStorage } from './http-storage.ts'
export { MemoryStorage } from './storage.ts'
export { OpfsStorage, type SyncAccessHandle } from './opfs-storage.ts'
export { Overlay, type OverlayState } from './overlay.ts'
export { checkQcow2, type Qcow2Check } from './qcow2/check.ts'
export type { Codec } from './qcow2/codec.ts'
export { createQcow2, type Qcow2CreateOptions } from './qcow2/create.ts'
export { isQcow2 } from './qcow2/header.ts'
export { type Qcow2Info, readQcow2Info } from './qcow2/info.ts'
export { type ImageExtent, Qcow2Image } from './qcow2/qcow2-image.ts'
export { repairQcow2 } from './qcow2/open-metadata.ts'
export type { Qcow2Snapshot } from './qcow2/snapshots.ts'
export type { HttpFileState, RangeStore } from './range-store.ts'
export { RawImage } from './raw-image.ts'
export type { BlockStorage } from './storage.ts'
