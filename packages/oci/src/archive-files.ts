import { OciError } from './errors.ts'
import { type ImageFile, type ImageFiles, slice } from './image-file.ts'
import type { ImageLimits } from './limits.ts'
import { readTar, S_IFLNK, S_IFMT, S_IFREG, type TarEntry } from './tar.ts'

const MOST_LINKS = 8

/**
 * The files of an image that is one tar archive, read in place. `docker save` writes a layer that is there twice as a link
 * to the first.
 *
 * @throws OciError as {@link readTar} does
 */
export async function archiveFiles(archive: ImageFile, limits: ImageLimits): Promise<ImageFiles> {
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
