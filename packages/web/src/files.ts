/** An entry of a folder that a machine shares with its page. */
export interface FileEntry {
  /** Name in the folder. */
  readonly name: string
  /** Kind: a file, a folder or a symbolic link. */
  readonly kind: 'file' | 'folder' | 'link'
  /** Bytes of a file's content; 0 of others. */
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
  /** Writes a file, such as `notes/today.txt`. Folders of its path are made; a file that is there is replaced. */
  write(path: string, content: string | Blob | ArrayBuffer | Uint8Array): Promise<void>
  /** Reads a file. @returns null where there is none of that path */
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
