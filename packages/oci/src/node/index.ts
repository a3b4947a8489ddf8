export { withFileLock } from './file-lock.ts'
export { imageNames, openImageFile, type OpenImageFileOptions } from './open-image-file.ts'
export {
  isImageName,
  type PulledImage,
  pulledImages,
  pullImage,
  type PullOptions,
  type PullPolicy,
  prunePulledImages,
} from './pull-image.ts'
