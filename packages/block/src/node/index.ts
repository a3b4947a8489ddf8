/**
 * Disk images in files, under Node.
 *
 * @packageDocumentation
 */
export { FileStorage, type FileStorageOptions } from './file-storage.ts'
export { openImage, type OpenImageOptions } from './open-image.ts'
