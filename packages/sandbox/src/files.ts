import { resolve } from 'node:path/posix'
import { MAKE_PARENTS, MOST_READ, Request, STAT_LINK, WRITE_APPEND } from './agent/protocol.ts'
import type { AgentLink } from './agent-link.ts'
import { SandboxError } from './errors.ts'

/** Bytes of one request to write. */
const MOST_WRITE = 128 << 10
const USUAL_MODE = 0o644
const USUAL_FOLDER_MODE = 0o755

/** The type of a file. */
export type SandboxFileType = 'file' | 'directory' | 'symlink' | 'other'

/** An entry of a folder. */
export interface SandboxEntry {
  /** Name, without the folder. */
  readonly name: string
  /** Type; links are not followed. */
  readonly type: SandboxFileType
}

/** Metadata of a file. */
export interface SandboxFileStat {
  /** Type. */
  readonly type: SandboxFileType
  /** In bytes. */
  readonly size: number
  /** Permissions, such as 0o644. */
  readonly mode: number
  /** The number of its owner. */
  readonly uid: number
  /** The number of its group. */
  readonly gid: number
  /** Time of the last change, in milliseconds since 1970. */
  readonly mtimeMs: number
}

/** Options for writing a file. */
export interface SandboxWriteOptions {
  /** Permissions of a new file, less the mask 022; default 0o644. */
  readonly mode?: number
  /** Appends to the file; default false. */
  readonly append?: boolean
}

/** Source: Linux include/uapi/linux/stat.h, `S_IFMT`. */
const TYPES: Readonly<Record<number, SandboxFileType>> = { 0o10: 'file', 0o04: 'directory', 0o12: 'symlink' }
/** Source: Linux include/linux/fs_types.h, `DT_REG` and others: the same numbers. */
const typeOf = (number: number): SandboxFileType => TYPES[number] ?? 'other'

/**
 * The files of a sandbox, with the rights of its agent: root's. Paths that do not begin with `/` are in the folder that commands start
 * in. Errors are SandboxError `ERR_SANDBOX_FILE`, whose `errno` is the system's name, such as `ENOENT`.
 */
export class SandboxFiles {
  readonly #link: AgentLink
  readonly #folder: string

  /** @internal */
  constructor(link: AgentLink, folder: string) {
    this.#link = link
    this.#folder = folder
  }

  /** Reads a file. */
  async read(path: string): Promise<Uint8Array> {
    const whole = this.#whole(path)
    const parts: Uint8Array[] = []
    for (let at = 0; ; at += MOST_READ) {
      const part = await this.#link.request(Request.Read, whole, BigInt(at), MOST_READ, whole)
      if (part.length === MOST_READ) {
        parts.push(part)
        continue
      }
      return parts.length === 0 ? part : joined([...parts, part])
    }
  }

  /** Reads a file of UTF-8. */
  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.read(path))
  }

  /** Writes a file, and makes its missing folders. */
  async write(path: string, data: string | Uint8Array, options: SandboxWriteOptions = {}): Promise<void> {
    const whole = this.#whole(path)
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
    const { mode = USUAL_MODE, append = false } = options
    for (let at = 0; at === 0 || at < bytes.length; at += MOST_WRITE) {
      const flags = MAKE_PARENTS | (append || at > 0 ? WRITE_APPEND : 0)
      await this.#link.request(Request.Write, whole, flags, mode, whole, bytes.subarray(at, at + MOST_WRITE))
    }
  }

  /** Lists a folder, in no order. */
  async list(path: string): Promise<readonly SandboxEntry[]> {
    const whole = this.#whole(path)
    const parts = await this.#link.requestAll(Request.List, whole, whole)
    return parts.slice(0, -1).flatMap(entriesOf)
  }

  /** Returns metadata. @param options - `link`: a symbolic link is not followed; default false */
  async stat(path: string, options: { readonly link?: boolean } = {}): Promise<SandboxFileStat> {
    const whole = this.#whole(path)
    return statOf(await this.#link.request(Request.Stat, whole, options.link === true ? STAT_LINK : 0, whole))
  }

  /** Makes a folder and its missing parents. An existing folder is no error. */
  async makeFolder(path: string): Promise<void> {
    const whole = this.#whole(path)
    try {
      await this.#link.request(Request.MakeFolder, whole, MAKE_PARENTS, USUAL_FOLDER_MODE, whole)
    } catch (error) {
      const isThere = error instanceof SandboxError && error.errno === 'EEXIST'
      if (!isThere || (await this.stat(whole)).type !== 'directory') throw error
    }
  }

  /** Renames a file or a folder. An existing file is replaced. */
  async rename(from: string, to: string): Promise<void> {
    const [whole, other] = [this.#whole(from), this.#whole(to)]
    await this.#link.request(Request.Rename, whole, whole, other)
  }

  /** Removes a file, a link itself, or an empty folder. */
  async remove(path: string): Promise<void> {
    const whole = this.#whole(path)
    await this.#link.request(Request.Remove, whole, whole)
  }

  #whole(path: string): string {
    return resolve(this.#folder, path)
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Reads records of a folder. Source: getdents64(2), `struct linux_dirent64`. */
function entriesOf(bytes: Uint8Array): SandboxEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entries: SandboxEntry[] = []
  for (let at = 0; at < bytes.length; at += view.getUint16(at + 16, true)) {
    const end = bytes.indexOf(0, at + 19)
    const name = new TextDecoder().decode(bytes.subarray(at + 19, end))
    if (name !== '.' && name !== '..') entries.push({ name, type: typeOf(bytes[at + 18]!) })
  }
  return entries
}

/** Reads a `struct statx`. Source: Linux include/uapi/linux/stat.h. */
function statOf(bytes: Uint8Array): SandboxFileStat {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const mode = view.getUint16(0x1c, true)
  const mtimeMs = Number(view.getBigInt64(0x70, true)) * 1000 + view.getUint32(0x78, true) / 1e6
  return {
    type: typeOf(mode >>> 12),
    size: Number(view.getBigUint64(0x28, true)),
    mode: mode & 0o7777,
    uid: view.getUint32(0x14, true),
    gid: view.getUint32(0x18, true),
    mtimeMs,
  }
}
