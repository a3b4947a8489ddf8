import { stat } from 'node:fs/promises'
import { DEFAULT_LIMITS, type ImageFiles, type OciImage, OciError, openImage, type OpenImageOptions } from '../index.ts'
import { archiveFiles } from '../archive-files.ts'
import { namesIn } from '../manifests.ts'
import { LayerCache, type LayerCacheOptions } from './layer-cache.ts'
import { localFolder, openLocalFile } from './local-files.ts'

/** Options of {@link openImageFile}. */
export interface OpenImageFileOptions extends Omit<OpenImageOptions, 'layers'> {
  /** Cache of unpacked layers, and of lists of all layers. */
  readonly cache: LayerCacheOptions
}

/**
 * Opens an image of this host: the folder of an OCI layout, a tar archive of one, an archive of `docker save`, or a folder of
 * skopeo's `dir:`.
 *
 * @throws OciError
 */
export async function openImageFile(path: string, options: OpenImageFileOptions): Promise<OciImage> {
  const { cache, ...rest } = options
  return openImage(await filesOf(path, options), { ...rest, layers: new LayerCache(cache) })
}

/**
 * Lists the names of images that a file or folder has, as `OpenImageFileOptions.name` takes them: tags, or whole names. Docker's own
 * archives have both for one image.
 *
 * @throws OciError
 */
export async function imageNames(path: string): Promise<readonly string[]> {
  const files = await filesOf(path, {})
  try {
    return await namesIn(files)
  } finally {
    await files.close()
  }
}

async function filesOf(path: string, { limits }: Pick<OpenImageFileOptions, 'limits'>): Promise<ImageFiles> {
  const state = await stat(path).catch(() => undefined)
  if (state?.isDirectory() === true) return localFolder(path)
  const archive = await openLocalFile(path)
  if (archive === undefined) throw new OciError('ERR_MISSING', path, 'there is no such file or folder')
  try {
    const head = new Uint8Array(2)
    await archive.read(0, head)
    if (head[0] === 0x1f && head[1] === 0x8b)
      throw new OciError('ERR_UNSUPPORTED', path, 'the archive is compressed as a whole: unpack it with gunzip first')
    return await archiveFiles(archive, { ...DEFAULT_LIMITS, ...limits })
  } catch (error) {
    await archive.close()
    throw error
  }
}
