import { stat } from 'node:fs/promises'
import { type ImageFile, slice } from '../image-file.ts'
import { DEFAULT_LIMITS, type ImageFiles, OciError, type OciImage, openImage, type OpenImageOptions } from '../index.ts'
import type { ImageLimits } from '../limits.ts'
import { namesIn } from '../manifests.ts'
import { readTar, S_IFLNK, S_IFMT, S_IFREG, type TarEntry } from '../tar.ts'
import { LayerCache, type LayerCacheOptions } from './layer-cache.ts'
import { localFolder, openLocalFile } from './local-files.ts'

const MOST_LINKS = 8

/**
 * The files of an image that is one tar archive, read in place. `docker save` writes a layer that is there twice as a link
 * to the first.
 *
 * @throws OciError as {@link readTar} does
 */
async function archiveFiles(archive: ImageFile, limits: ImageLimits): Promise<ImageFiles> {
  const entries = new Map<string, TarEntry>()
  for (const entry of await readTar(archive, limits)) entries.set(entry.path, entry)
  const find = (name: string): TarEntry | undefined => {
    let entry = entries.get(name)
    for (let hops = 0; entry !== undefined && (entry.mode & S_IFMT) !== S_IFREG; hops++) {
      if (hops === MOST_LINKS) throw new OciError('ERR_LINK', name, `more than ${MOST_LINKS} links in the archive`)
      const isLink = (entry.mode & S_IFMT) === S_IFLNK
      if (!isLink && entry.mode !== 0) return undefined
      entry = entries.get(isLink ? beside(entry) : entry.target)
    }
    return entry
  }
  return {
    name: archive.name,
    async open(name) {
      const entry = find(name)
      return entry === undefined ? undefined : slice(archive, `${archive.name}: ${name}`, entry.offset, entry.size)
    },
    close: () => archive.close(),
  }
}

/** The path that a symbolic link of the archive names, from the archive's top. */
function beside({ path, target }: TarEntry): string {
  const names = path.split('/').slice(0, -1)
  for (const name of target.split('/')) {
    if (name === '..') names.pop()
    else if (name !== '' && name !== '.') names.push(name)
  }
  return names.join('/')
}

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
