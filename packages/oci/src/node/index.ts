/**
 * Images of containers that are files of this host, with a cache folder for their layers.
 *
 * @packageDocumentation
 */
export { LayerCache, type LayerCacheOptions } from './layer-cache.ts'
export { localFolder, openLocalFile } from './local-files.ts'
export { openImageFile, type OpenImageFileOptions } from './open-image-file.ts'
