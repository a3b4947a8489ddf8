import { fetchedFiles, fetchedFolder, fetchedName } from '../files.ts'
import { KeptRanges, type RangeFile } from './kept-ranges.ts'

/** The part of the room that the browser gives the site: the rest is for the user's own files. */
const SHARE = 0.5
/** Free space below which the oldest fetched files are deleted. */
const LEAST_ROOM_BYTES = 256 << 20
/** Bytes by which the files that are open in this Worker may grow: the room is no other file's. */
let promised = 0

/**
 * Opens the cache of a file on a web server, for one `HttpStorage`.
 *
 * @returns undefined where the browser keeps nothing for this page, or another tab has the file
 */
export async function openKeptRanges(address: string, chunkBytes: number): Promise<KeptRanges | undefined> {
  try {
    const url = address.replace(/#.*$/, '')
    const [folder, name] = await Promise.all([fetchedFolder(), fetchedName(url)])
    const room = await makeRoom(folder, name)
    const file = await folder.getFileHandle(name, { create: true })
    // Workers have this method; TypeScript's DOM types describe pages.
    const { createSyncAccessHandle } = file as { createSyncAccessHandle?: () => Promise<RangeFile> }
    const handle = await createSyncAccessHandle?.call(file)
    if (handle === undefined) return undefined
    // A machine has several images, and how large this one is is not known.
    const growth = Math.floor(Math.max(0, room - promised) / 2)
    promised += growth
    const closed = (): void => void (promised -= growth)
    return new KeptRanges(handle, { url, chunkBytes, mostBytes: handle.getSize() + growth, closed })
  } catch {
    // A cache is worth no message: the image is read from its server.
    return undefined
  }
}

/** Deletes the oldest fetched files while space is short. @returns bytes of room */
async function makeRoom(folder: FileSystemDirectoryHandle, wanted: string): Promise<number> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate()
  let room = quota * SHARE - usage
  if (room >= LEAST_ROOM_BYTES) return room
  for (const { name, bytes } of await fetchedFiles(folder)) {
    if (name === wanted) continue
    try {
      await folder.removeEntry(name)
      room += bytes
    } catch {
      // A machine has the file open.
    }
    if (room >= LEAST_ROOM_BYTES) break
  }
  return Math.max(0, room)
}
