import { privateFolder } from './kept-disk-files.ts'

// Folder in which the browser caches machines' reads of files on web servers, shared by a page and its Workers. Each cache file
// belongs to one address.
const FOLDER = 'retrap-fetched'

/** Returns the folder of the cache files. @throws Error if the browser has no private file system */
export const fetchedFolder = (): Promise<FileSystemDirectoryHandle> => privateFolder(FOLDER)

/** The name of an address's file. */
export async function fetchedName(url: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(url)))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A cache file of an image at an address. */
interface FetchedFile {
  readonly name: string
  readonly bytes: number
  /** Time of the last change, in milliseconds since 1970. */
  readonly changedAt: number
}

/** Lists all cache files, least recently written first. */
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

/** Deletes this site's copies of images at addresses, but for images that a machine reads at present. */
export async function deleteFetched(): Promise<void> {
  const folder = await fetchedFolder().catch(() => null)
  if (folder === null) return
  const files = await fetchedFiles(folder)
  await Promise.all(files.map(({ name }) => folder.removeEntry(name).catch(() => {})))
}

/** An entry of a folder that a machine shares with its page. */
export interface FileEntry {
  /** Name in the folder. */
  readonly name: string
  /** Kind: a file, a folder or a symbolic link. */
  readonly kind: 'file' | 'folder' | 'link'
  /** Bytes of a file's content; 0 for folders. */
  readonly bytes: number
}

/** Requests of the page for the files. Paths have `/` between names. */
export interface FileCalls {
  writeFile(path: string, content: Uint8Array<ArrayBuffer>): void
  readFile(path: string): Uint8Array<ArrayBuffer> | null
  listFiles(path: string): FileEntry[]
}

/**
 * Files that a page and its machine's guest share, with the option `files`. They are in the memory of the machine's Worker, 256 MiB
 * in all; a reset keeps them, and snapshots have none of them. Linux mounts them by `mount -t 9p -o trans=virtio page /mnt`.
 *
 * All methods throw a `WebError`: `ERR_MACHINE` for a machine without the option; `ERR_OPTION` for a path that cannot be, and
 * where there is no room.
 */
export interface MachineFiles {
  /** Writes a file, such as `notes/today.txt`. Missing folders are made; an existing file is replaced. */
  write(path: string, content: string | Blob | ArrayBuffer | Uint8Array): Promise<void>
  /** Reads a file. @returns null for an unknown path */
  read(path: string): Promise<Uint8Array<ArrayBuffer> | null>
  /** Lists a folder, by names; default the one at the top. A path of no folder has no entries. */
  list(path?: string): Promise<FileEntry[]>
}

/** Asks the Worker. */
type Call = <K extends keyof FileCalls>(
  call: K,
  ...given: Parameters<FileCalls[K]>
) => Promise<ReturnType<FileCalls[K]>>

/** The files by way of the machine's Worker. */
export const filesBy = (call: Call): MachineFiles => ({
  write: async (path, content) => call('writeFile', path, await bytesOf(content)),
  read: (path) => call('readFile', path),
  list: (path = '') => call('listFiles', path),
})

async function bytesOf(content: string | Blob | ArrayBuffer | Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof content === 'string') return new TextEncoder().encode(content)
  if (content instanceof Blob) return new Uint8Array(await content.arrayBuffer())
  return content instanceof ArrayBuffer ? new Uint8Array(content) : (content as Uint8Array<ArrayBuffer>)
}
