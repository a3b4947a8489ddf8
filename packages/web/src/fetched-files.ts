// Where the browser keeps what machines have read of files on web servers: for a page and its Workers. Each file is that of one
// address.
import { privateFolder } from './kept-disk-files.ts'

const FOLDER = 'retrap-fetched'

/** The folder of those files. @throws Error where the browser has no private file system */
export const fetchedFolder = (): Promise<FileSystemDirectoryHandle> => privateFolder(FOLDER)

/** The name of an address's file. */
export async function fetchedName(url: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url)))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** One of those files. */
export interface FetchedFile {
  readonly name: string
  readonly bytes: number
  /** Milliseconds since 1970 of its last change. */
  readonly changedAt: number
}

/** All of them, the one that was written longest ago first. */
export async function fetchedFiles(folder: FileSystemDirectoryHandle): Promise<FetchedFile[]> {
  const found: FetchedFile[] = []
  for await (const handle of folder.values()) {
    if (handle.kind !== 'file') continue
    try {
      const { size, lastModified } = await (handle as FileSystemFileHandle).getFile()
      found.push({ name: handle.name, bytes: size, changedAt: lastModified })
    } catch {
      // The file has just been deleted.
    }
  }
  return found.toSorted((a, b) => a.changedAt - b.changedAt)
}

/** Bytes that this site keeps of images at addresses: see `MachineOptions.keepFetched`. */
export async function fetchedBytes(): Promise<number> {
  const folder = await fetchedFolder().catch(() => null)
  return folder === null ? 0 : (await fetchedFiles(folder)).reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Deletes what this site keeps of images at addresses, but for images that a machine reads at present. */
export async function deleteFetched(): Promise<void> {
  const folder = await fetchedFolder().catch(() => null)
  if (folder === null) return
  const files = await fetchedFiles(folder)
  await Promise.all(files.map(({ name }) => folder.removeEntry(name).catch(() => {})))
}
