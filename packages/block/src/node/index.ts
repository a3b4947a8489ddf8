/**
 * Disk images in files, under Node.
 *
 * @packageDocumentation
 */
export { FileStorage } from './file-storage.ts'
export { NODE_CODEC } from './codec.ts'
export { openImage, type OpenImageOptions, openQcow2, resolveBacking } from './open-image.ts'
export { isUrl, openStorage, shownName } from './open-storage.ts'
export { type ImageFormat, probeFormat } from './open-image.ts'
