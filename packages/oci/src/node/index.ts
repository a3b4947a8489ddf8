export { imageNames, openImageFile, type OpenImageFileOptions } from './open-image-file.ts'
