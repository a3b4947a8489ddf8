import { WebError } from './errors.ts'
import {
  imageFile,
  isKeptName,
  isTaken,
  KEPT_NAME,
  keptFolder,
  keptNames,
  readAbout,
  removeKept,
  writeAbout,
  writeFile,
} from './kept-disk-files.ts'

/** A guest's writes to a disk, kept in the browser: see `DriveOptions.keep`. */
export interface KeptDisk {
  /** Name. */
  readonly name: string
  /** Size of the file. */
  readonly bytes: number
  /** The image under the disk: an address, or a file's name; for an imported disk its backing file; null: none. */
  readonly source: string | null
  /** Time of the last change, in milliseconds since 1970. */
  readonly changedAt: number
}

/** Magic number and version of a qcow2 image. */
const QCOW2_MAGIC = 0x5146_49fb
/** Most bytes of the name of the image below. */
const MOST_BACKING_BYTES = 1023

/** Lists the kept disks of this site. None where the browser has no private file system. */
export async function keptDisks(): Promise<KeptDisk[]> {
  const folder = await keptFolder().catch(() => null)
  if (folder === null) return []
  const found = await Promise.all(
    (await keptNames(folder)).map(async (name): Promise<KeptDisk | null> => {
      try {
        const file = await (await imageFile(folder, name)).getFile()
        const about = await readAbout(folder, name)
        const source = about?.source?.name ?? (await backingName(file))
        return { name, bytes: file.size, source, changedAt: file.lastModified }
      } catch {
        // The disk has just been deleted.
        return null
      }
    }),
  )
  return found.filter((disk) => disk !== null)
}

/**
 * The image that a qcow2 image says that it lies over.
 *
 * Source: QEMU, docs/interop/qcow2.txt, "Header", `backing_file_offset` and `backing_file_size`.
 */
async function backingName(file: Blob): Promise<string | null> {
  const head = new DataView(await file.slice(0, 20).arrayBuffer())
  if (head.byteLength < 20 || head.getUint32(0) !== QCOW2_MAGIC) return null
  const [offset, bytes] = [Number(head.getBigUint64(8)), head.getUint32(16)]
  if (offset === 0 || bytes === 0 || bytes > MOST_BACKING_BYTES) return null
  return (await file.slice(offset, offset + bytes).text()) || null
}

/**
 * Returns the file of a kept disk: a qcow2 image whose backing file is the disk's image. To be called while no machine has it.
 *
 * @throws WebError `ERR_SOURCE` for an unknown disk
 */
export async function exportKeptDisk(name: string): Promise<File> {
  try {
    const file = await (await imageFile(await keptFolder(), name)).getFile()
    return new File([file], `${name}.qcow2`, { type: 'application/octet-stream', lastModified: file.lastModified })
  } catch (error) {
    throw failed(name, 'cannot be read', error)
  }
}

/**
 * Replaces a kept disk by a file of {@link exportKeptDisk}, or another qcow2 image of the same size.
 *
 * @throws WebError `ERR_OPTION` for an invalid name or file, `ERR_SOURCE` where the browser has no room, or a machine has
 *   the disk
 */
export async function importKeptDisk(name: string, image: Blob): Promise<void> {
  if (!isKeptName(name)) throw new WebError('ERR_OPTION', `the kept disk's name '${name}': ${KEPT_NAME}`)
  const head = new DataView(await image.slice(0, 4).arrayBuffer())
  if (head.byteLength < 4 || head.getUint32(0) !== QCOW2_MAGIC)
    throw new WebError('ERR_OPTION', `the kept disk '${name}': the file is no qcow2 image`)
  try {
    const folder = await keptFolder()
    await writeFile(await imageFile(folder, name, { create: true }), image)
    await writeAbout(folder, name, { version: 1, source: null })
  } catch (error) {
    throw failed(name, 'cannot be imported', error)
  }
}

/** Deletes a kept disk. @throws WebError `ERR_SOURCE` if a machine uses the disk, or it does not exist */
export async function deleteKeptDisk(name: string): Promise<void> {
  try {
    await removeKept(await keptFolder(), name)
  } catch (error) {
    throw failed(name, 'cannot be deleted', error)
  }
}

function failed(name: string, what: string, error: unknown): WebError {
  const { name: kind, message } = error instanceof Error ? error : new Error(String(error))
  const reasons: Readonly<Record<string, string>> = {
    NotFoundError: 'there is none of this name',
    QuotaExceededError: 'the browser has no room left for this site',
  }
  const reason = isTaken(error) ? 'a machine of this or another tab has it; close that machine' : reasons[kind]
  return new WebError('ERR_SOURCE', `the kept disk '${name}' ${what}: ${reason ?? message}`, { cause: error })
}
