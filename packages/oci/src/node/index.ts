export { openImageFile, type OpenImageFileOptions } from './open-image-file.ts'
