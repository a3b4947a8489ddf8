// Files that a machine shares with its page. Loaded on demand.
import type { PcOptions } from '@retrap/machine'
import { MemoryShare, ShareError, type ShareNode } from '@retrap/virtio/p9'
import { WebError } from '../errors.ts'
import type { FileCalls, FileEntry } from '../files.ts'

const MOST_BYTES = 256 << 20
/** The name that the guest mounts them by. */
const TAG = 'page'
/** Kinds of a file's mode. Source: Linux, `uapi/linux/stat.h`. */
const [S_IFMT, S_IFDIR, S_IFREG] = [0o170_000, 0o040_000, 0o100_000]

/** The files of `MachineFiles`, and the device by which the guest reaches them. They go on when the machine starts anew. */
export class SharedFiles implements FileCallsOfWorker {
  readonly #share = new MemoryShare({ mostBytes: MOST_BYTES })

  /** The device for a machine. */
  get device(): NonNullable<PcOptions['virtio']>[number] {
    return { kind: 'share', share: this.#share, tag: TAG }
  }

  writeFile(path: string, content: Uint8Array<ArrayBuffer>): void {
    const names = namesOf(path)
    try {
      this.#share.write(names.join('/'), content)
    } catch (error) {
      throw new WebError('ERR_OPTION', `files: '${path}': ${reasonOf(error)}`, { cause: error })
    }
  }

  readFile(path: string): Uint8Array<ArrayBuffer> | null {
    return this.#share.read(namesOf(path).join('/')) as Uint8Array<ArrayBuffer> | null
  }

  async listFiles(path: string): Promise<FileEntry[]> {
    let folder = this.#share.root()
    try {
      for (const name of namesOf(path)) {
        const next = await folder.child(name)
        folder.release()
        folder = next
      }
      const names = await folder.list()
      return await Promise.all(names.toSorted().map((name) => entryOf(folder, name)))
    } catch (error) {
      if (error instanceof ShareError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return []
      throw error
    } finally {
      folder.release()
    }
  }
}

/** The same calls with results that may be promises. */
type FileCallsOfWorker = {
  readonly [K in keyof FileCalls]: (
    ...given: Parameters<FileCalls[K]>
  ) => ReturnType<FileCalls[K]> | Promise<ReturnType<FileCalls[K]>>
}

async function entryOf(folder: ShareNode, name: string): Promise<FileEntry> {
  const node = await folder.child(name)
  try {
    const { mode, size } = await node.stat()
    const kind = (mode & S_IFMT) === S_IFDIR ? 'folder' : (mode & S_IFMT) === S_IFREG ? 'file' : 'link'
    return { name, kind, bytes: kind === 'file' ? size : 0 }
  } finally {
    node.release()
  }
}

/** The names of a path. Guests resolve `.` and `..` by themselves: no entry has such a name. @throws WebError `ERR_OPTION` */
function namesOf(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '')
  if (names.some((name) => name === '.' || name === '..' || name.includes('\0') || new Blob([name]).size > 255))
    throw new WebError('ERR_OPTION', `files: '${path}': expected names of at most 255 bytes, none of them . or ..`)
  return names
}

function reasonOf(error: unknown): string {
  const code = error instanceof ShareError ? error.code : ''
  if (code === 'ENOSPC') return `there is no room: all files take at most ${MOST_BYTES >> 20} MiB`
  if (code === 'ENOTDIR') return 'a part of its path is a file, not a folder'
  if (code === 'EISDIR') return 'it is a folder, or a link'
  return error instanceof Error ? error.message : String(error)
}
