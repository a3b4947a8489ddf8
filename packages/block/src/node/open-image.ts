import { type BlockImage, Overlay, RawImage, type RawImageOptions } from '../index.ts'
import { FileStorage } from './file-storage.ts'

/** How {@link openImage} opens a file. */
export interface OpenImageOptions extends RawImageOptions {
  /** Writes go to memory, and the file stays as it is. Default false. */
  readonly snapshot?: boolean
}

/**
 * Opens a raw image file.
 *
 * @throws ImageError `ERR_OPEN`, `ERR_LOCKED`, `ERR_OPTION`
 */
export async function openImage(path: string, options: OpenImageOptions = {}): Promise<BlockImage> {
  const { snapshot = false, ...raw } = options
  const storage = await FileStorage.open(path, { readOnly: snapshot || raw.readOnly === true })
  try {
    const image = new RawImage(storage, raw)
    return snapshot ? new Overlay(image) : image
  } catch (error) {
    await storage.close()
    throw error
  }
}
