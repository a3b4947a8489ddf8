import {
  type Share,
  type ShareAccess,
  type ShareChanges,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareOwner,
  type ShareRoom,
  type ShareStat,
} from './share.ts'

/** Options of {@link MemoryShare}. */
export interface MemoryShareOptions {
  /** The most that all files may take together; default 64 MiB. */
  readonly mostBytes?: number
  /** Returns the instant that files get as their times, in nanoseconds since 1970; default the host's. */
  readonly now?: () => bigint
}

const KIND = 0o170_000
const DIRECTORY = 0o040_000
const REGULAR = 0o100_000
const LINK = 0o120_000
const SET_USER_ID = 0o4000
const SET_GROUP_ID = 0o2000
const GROUP_EXECUTES = 0o10
const BLOCK = 4096
const MOST_ENTRIES = 100_000

/** The content of a file, directory or link. */
interface Inode {
  readonly id: bigint
  mode: number
  uid: number
  gid: number
  links: number
  /** Number of nodes in use. */
  users: number
  /** Content of a file; longer than its size. */
  bytes: Uint8Array
  size: number
  readonly entries: Map<string, Inode> | null
  readonly text: string
  accessedNs: bigint
  modifiedNs: bigint
  changedNs: bigint
}

/**
 * Files in memory, for a guest in a page or a test.
 *
 * `write` and `read` are the host's side: they see what the guest writes at once.
 */
export class MemoryShare implements Share {
  readonly #mostBytes: number
  #used = 0
  #count = 0
  #lastId = 0n
  readonly #root: Inode
  /** @internal Returns the present instant. */
  readonly now: () => bigint

  constructor({ mostBytes = 64 << 20, now = () => BigInt(Date.now()) * 1_000_000n }: MemoryShareOptions = {}) {
    this.#mostBytes = mostBytes
    this.now = now
    this.#root = this.create(DIRECTORY | 0o755)
  }

  /** The directory at the top. */
  root(): ShareNode {
    return new MemoryNode(this, this.#root)
  }

  /** Puts a file at a path such as `etc/motd`; directories are made. @throws ShareError if impossible */
  write(path: string, content: Uint8Array | string): void {
    const names = path.split('/').filter((name) => name !== '')
    const last = names.pop()
    if (last === undefined) throw new ShareError('EINVAL', `'${path}' names no file`)
    let at = this.#root
    for (const name of names) {
      const next = entriesOf(at).get(name) ?? this.create(DIRECTORY | 0o755)
      entriesOf(at).set(name, next)
      at = next
    }
    const file = entriesOf(at).get(last) ?? this.create(REGULAR | 0o644)
    if ((file.mode & KIND) !== REGULAR) throw new ShareError('EISDIR', `'${path}' is no file`)
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
    this.resize(file, bytes.length)
    file.bytes.set(bytes)
    entriesOf(at).set(last, file)
  }

  /** Returns a copy of a file; null for an unknown path. */
  read(path: string): Uint8Array | null {
    let at: Inode | undefined = this.#root
    for (const name of path.split('/').filter((part) => part !== '')) at = at?.entries?.get(name)
    return at === undefined || (at.mode & KIND) !== REGULAR ? null : at.bytes.slice(0, at.size)
  }

  /** @internal Makes a node outside of any directory. */
  create(mode: number, { uid = 0, gid = 0 }: ShareOwner = {}, text = ''): Inode {
    if (this.#count >= MOST_ENTRIES || this.#used + text.length > this.#mostBytes) throw new ShareError('ENOSPC')
    const now = this.now()
    const entries = (mode & KIND) === DIRECTORY ? new Map<string, Inode>() : null
    const times = { accessedNs: now, modifiedNs: now, changedNs: now }
    const fresh = { uid, gid, links: 1, users: 0, bytes: new Uint8Array(0) }
    this.#count++
    this.#used += text.length
    return { id: ++this.#lastId, mode, size: text.length, entries, text, ...fresh, ...times }
  }

  /** @internal Sets a file's size; new bytes read as zeroes. @throws ShareError `ENOSPC` */
  resize(file: Inode, size: number): void {
    if (size > file.bytes.length) {
      const room = Math.max(size, Math.min(2 * file.bytes.length, file.bytes.length + (1 << 20)))
      if (this.#used + room - file.bytes.length > this.#mostBytes) throw new ShareError('ENOSPC')
      this.#used += room - file.bytes.length
      const larger = new Uint8Array(room)
      larger.set(file.bytes.subarray(0, file.size))
      file.bytes = larger
    } else if (size < file.size) file.bytes.fill(0, size, file.size)
    file.size = size
    this.touch(file)
  }

  /** @internal A file has changed. */
  touch(file: Inode): void {
    file.modifiedNs = this.now()
    file.changedNs = file.modifiedNs
  }

  /** @internal A file has been read: the first read after a change counts, as with Linux's `relatime`. */
  accessed(file: Inode): void {
    if (file.accessedNs <= file.modifiedNs || file.accessedNs <= file.changedNs) file.accessedNs = this.now()
  }

  /** @internal A file has lost a name, or a user. It takes room until it has neither. */
  lost(file: Inode): void {
    if (file.links > 0 || file.users > 0) return
    this.#used -= file.bytes.length + file.text.length
    this.#count--
  }

  /** @internal Returns the remaining room. */
  room(): ShareRoom {
    const blocks = Math.floor(this.#mostBytes / BLOCK)
    const freeBlocks = Math.max(0, Math.floor((this.#mostBytes - this.#used) / BLOCK))
    return { blockBytes: BLOCK, blocks, freeBlocks, files: MOST_ENTRIES, freeFiles: MOST_ENTRIES - this.#count }
  }
}

function entriesOf({ entries }: Inode): Map<string, Inode> {
  if (entries === null) throw new ShareError('ENOTDIR')
  return entries
}

class MemoryNode implements ShareNode {
  readonly #share: MemoryShare
  readonly inode: Inode

  constructor(share: MemoryShare, inode: Inode) {
    this.#share = share
    this.inode = inode
    inode.users++
  }

  stat(): ShareStat {
    const { id, mode, uid, gid, links, size, bytes, accessedNs, modifiedNs, changedNs } = this.inode
    return { id, mode, uid, gid, links, size, allocated: bytes.length, accessedNs, modifiedNs, changedNs }
  }

  change({ mode, uid, gid, size, accessedNs, modifiedNs }: ShareChanges): void {
    const { inode } = this
    const time = (given: bigint | 'now'): bigint => (given === 'now' ? this.#share.now() : given)
    if (size !== undefined) {
      if ((inode.mode & KIND) !== REGULAR) throw new ShareError('EINVAL')
      this.#share.resize(inode, size)
    }
    const { mode: before } = inode
    if (uid !== undefined) inode.uid = uid
    if (gid !== undefined) inode.gid = gid
    // As Linux has it, a file with another owner loses these bits; without the group's right to execute, set-group-ID is no such bit.
    if ((uid ?? gid) !== undefined && (before & KIND) === REGULAR)
      inode.mode &= (before & GROUP_EXECUTES) === 0 ? ~SET_USER_ID : ~(SET_USER_ID | SET_GROUP_ID)
    if (mode !== undefined) {
      if ((before & KIND) === LINK) throw new ShareError('ENOTSUP')
      inode.mode = (before & KIND) | mode
    }
    if (accessedNs !== undefined) inode.accessedNs = time(accessedNs)
    if (modifiedNs !== undefined) inode.modifiedNs = time(modifiedNs)
    inode.changedNs = this.#share.now()
  }

  room(): ShareRoom {
    return this.#share.room()
  }

  open({ truncate, append = false }: ShareAccess): ShareFile {
    const kind = this.inode.mode & KIND
    if (kind !== REGULAR) throw new ShareError(kind === DIRECTORY ? 'EISDIR' : 'ELOOP')
    if (truncate) this.#share.resize(this.inode, 0)
    return this.#file(append)
  }

  #file(append: boolean): ShareFile {
    const { inode } = this
    const share = this.#share
    return {
      read(offset, into) {
        const part = inode.bytes.subarray(Math.min(offset, inode.size), Math.min(offset + into.length, inode.size))
        into.set(part)
        share.accessed(inode)
        return part.length
      },
      write(given, from) {
        if (from.length === 0) return 0
        const offset = append ? inode.size : given
        if (offset + from.length > inode.size) share.resize(inode, offset + from.length)
        inode.bytes.set(from, offset)
        share.touch(inode)
        return from.length
      },
      sync() {},
      close() {},
    }
  }

  readLink(name: string): string {
    const { mode, text } = this.#entry(name)
    if ((mode & KIND) !== LINK) throw new ShareError('EINVAL')
    return text
  }

  #entry(name: string): Inode {
    const found = entriesOf(this.inode).get(name)
    if (found === undefined) throw new ShareError('ENOENT')
    return found
  }

  child(name: string): ShareNode {
    return new MemoryNode(this.#share, this.#entry(name))
  }

  list(): readonly string[] {
    this.#share.accessed(this.inode)
    return [...entriesOf(this.inode).keys()]
  }

  #add(name: string, make: () => Inode): Inode {
    const entries = entriesOf(this.inode)
    if (entries.has(name)) throw new ShareError('EEXIST')
    // A directory that was removed takes no entries.
    if (this.inode.links === 0) throw new ShareError('ENOENT')
    const inode = make()
    entries.set(name, inode)
    this.#share.touch(this.inode)
    return inode
  }

  create(name: string, access: Parameters<ShareNode['create']>[1]): { node: ShareNode; file: ShareFile } {
    const found = entriesOf(this.inode).get(name)
    if (found !== undefined && access.exclusive) throw new ShareError('EEXIST')
    const inode = found ?? this.#add(name, () => this.#share.create(REGULAR | access.mode, access))
    const node = new MemoryNode(this.#share, inode)
    return { node, file: node.open(access) }
  }

  makeDirectory(name: string, mode: number, owner?: ShareOwner): void {
    const inherited = this.inode.mode & SET_GROUP_ID
    this.#add(name, () => this.#share.create(DIRECTORY | mode | inherited, owner))
  }

  makeLink(name: string, text: string, owner?: ShareOwner): void {
    this.#add(name, () => this.#share.create(LINK | 0o777, owner, text))
  }

  addName(name: string, directory: ShareNode, otherName: string): void {
    if (!(directory instanceof MemoryNode)) throw new ShareError('EXDEV')
    const found = directory.#entry(otherName)
    this.#add(name, () => {
      if (found.entries !== null) throw new ShareError('EPERM')
      return found
    })
    found.links++
    found.changedNs = this.#share.now()
  }

  remove(name: string, directory: boolean): void {
    const found = this.#entry(name)
    if (directory !== (found.entries !== null)) throw new ShareError(directory ? 'ENOTDIR' : 'EISDIR')
    if (found.entries !== null && found.entries.size > 0) throw new ShareError('ENOTEMPTY')
    entriesOf(this.inode).delete(name)
    found.links--
    found.changedNs = this.#share.now()
    this.#share.lost(found)
    this.#share.touch(this.inode)
  }

  rename(name: string, directory: ShareNode, newName: string): void {
    if (!(directory instanceof MemoryNode)) throw new ShareError('EXDEV')
    const moved = this.#entry(name)
    const target = entriesOf(directory.inode).get(newName)
    if (target === moved) return
    if (moved.entries !== null && holds(moved, directory.inode)) throw new ShareError('EINVAL')
    if (directory.inode.links === 0) throw new ShareError('ENOENT')
    if (target !== undefined) {
      if (target.entries !== null && holds(target, this.inode)) throw new ShareError('ENOTEMPTY')
      if (target.entries !== null && moved.entries === null) throw new ShareError('EISDIR')
      directory.remove(newName, moved.entries !== null)
    }
    entriesOf(this.inode).delete(name)
    entriesOf(directory.inode).set(newName, moved)
    moved.changedNs = this.#share.now()
    this.#share.touch(this.inode)
    this.#share.touch(directory.inode)
  }

  release(): void {
    this.inode.users--
    this.#share.lost(this.inode)
  }
}

/** Whether a directory equals another one, or contains it. */
function holds(directory: Inode, other: Inode): boolean {
  if (directory === other) return true
  return [...entriesOf(directory).values()].some((inode) => inode.entries !== null && holds(inode, other))
}
