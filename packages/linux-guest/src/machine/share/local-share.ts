import * as fs from 'node:fs'
import { createServer, type Server } from 'node:net'
import { promisify } from 'node:util'
import {
  bytesOfName,
  nameOfBytes,
  type Share,
  type ShareAccess,
  type ShareChanges,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareOwner,
  type ShareRoom,
  type ShareStat,
} from '@retrap/virtio/p9'
import { CliError, troubleWith } from '../../errors.ts'

/**
 * The use of a directory by one machine: it ends with the machine, whatever its guest has left open.
 *
 * Most host calls are synchronous, because the guest waits for them and a call takes less time than a thread switch. Calls
 * that wait for the disk run in another thread.
 */
class Use {
  readonly #open = new Set<number>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #locked = new Map<string, { readonly claim: Server; count: number }>()
  #over = false

  /** @returns the descriptor @throws ShareError `ESTALE`: the machine has ended, and the number may be another file's by now */
  check(fd: number): number {
    if (this.#over) throw new ShareError('ESTALE')
    return fd
  }

  open(path: fs.PathLike, flags: number, mode?: number): number {
    const fd = fs.openSync(path, flags, mode)
    this.#open.add(fd)
    return fd
  }

  close(fd: number): void {
    if (this.#open.delete(fd)) fs.closeSync(fd)
  }

  /** Makes written data durable. */
  async sync(fd: number): Promise<void> {
    const running = promisify(fs.fsync)(this.check(fd))
    this.#running.add(running)
    try {
      await running
    } finally {
      this.#running.delete(running)
    }
  }

  /**
   * Takes a file for locks of this machine, from all processes of the host. Node has no call for a lock: a socket in Linux's abstract
   * namespace has its name until it is closed, or its process ends (unix(7)).
   */
  async lock(fd: number): Promise<boolean> {
    const key = keyOf(this.check(fd))
    const held = this.#locked.get(key)
    if (held !== undefined) return ++held.count > 0
    const claim = createServer((peer) => peer.destroy()).unref()
    const isFree = await new Promise<boolean>((resolve) => {
      claim.once('error', (error) => resolve(!hasCode(error, 'EADDRINUSE')))
      claim.listen(`\0retrap-lock-${key}`, () => resolve(true))
    })
    if (isFree) this.#locked.set(key, { claim, count: 1 })
    return isFree
  }

  unlock(fd: number): void {
    if (this.#over) return
    const key = keyOf(fd)
    const held = this.#locked.get(key)
    if (held === undefined || --held.count > 0) return
    held.claim.close()
    this.#locked.delete(key)
  }

  /** Waits for pending requests, starts no new ones, and closes all open files. */
  async end(): Promise<void> {
    this.#over = true
    await Promise.allSettled(this.#running)
    for (const fd of [...this.#open]) this.close(fd)
    for (const { claim } of this.#locked.values()) claim.close()
  }
}

/** Linux, `uapi/asm-generic/fcntl.h`: the file itself, neither read nor written. Node's constants lack it. */
const O_PATH = 0o10_000_000
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } =
  fs.constants
/** Permissions with the bits of set-user-ID, set-group-ID and the sticky bit. */
const MODE_BITS = 0o7777
const SET_IDS = 0o6000
const SET_GROUP_ID = 0o2000

const FOLDER_TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder to share',
  ENOTDIR: 'it is a file, not a folder to share',
}

/**
 * A directory of the host for a guest. Nothing outside of it is ever read, written or named.
 *
 * Node has no `openat`. Each file is held by a descriptor of its own (`O_PATH`), and a name is always looked up as
 * `/proc/self/fd/N/NAME`: Linux goes from that number straight to the directory, wherever it has been moved meanwhile, and the
 * one name that follows is opened with `O_NOFOLLOW`. No path of more than one name is ever resolved, so that nobody can put
 * a link into the middle of one.
 */
export class LocalShare implements Share {
  readonly #root: number
  #use = new Use()

  /** @throws CliError `ERR_INPUT` if the path is not a directory, or the host is not Linux */
  constructor(path: string) {
    if (process.platform !== 'linux')
      throw new CliError(
        'ERR_INPUT',
        `${path}: directories are shared on Linux only: elsewhere links would be followed`,
      )
    try {
      this.#root = fs.openSync(path, O_PATH | O_DIRECTORY)
    } catch (error) {
      const why = FOLDER_TROUBLES[(error as NodeJS.ErrnoException).code ?? ''] ?? troubleWith(error)
      throw new CliError('ERR_INPUT', `${path}: ${why}`)
    }
  }

  /** Opens the directory at the top; unlike in other shares, at once. */
  root(): LocalNode {
    return new LocalNode(
      this.#use,
      this.#use.open(`/proc/self/fd/${this.#use.check(this.#root)}`, O_PATH | O_DIRECTORY),
    )
  }

  /** Ends the previous machine's use of the directory: its requests and open files. */
  async renew(): Promise<void> {
    const before = this.#use
    this.#use = new Use()
    await before.end()
  }

  /** Gives the directory back. */
  async close(): Promise<void> {
    await this.#use.end()
    fs.closeSync(this.#root)
  }
}

/** A file or directory of a {@link LocalShare}. */
export class LocalNode implements ShareNode {
  /** Descriptor of this file or directory. */
  readonly #fd: number
  readonly #use: Use

  constructor(use: Use, fd: number) {
    this.#use = use
    this.#fd = fd
  }

  /** Path of this file or directory by its descriptor. */
  get #self(): string {
    return `/proc/self/fd/${this.#use.check(this.#fd)}`
  }

  #entry(name: string): fs.PathLike {
    // The server checks names, too; here the share's boundary depends on the check.
    if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw new ShareError('EINVAL')
    return pathOf(`${this.#self}/${name}`)
  }

  stat(): ShareStat {
    return shareStat(statOf(this.#use.check(this.#fd)))
  }

  look(name: string): ShareStat {
    return shareStat(fs.lstatSync(this.#entry(name), { bigint: true }))
  }

  change(changes: ShareChanges): void {
    const { mode, uid, gid, size, accessedNs, modifiedNs } = changes
    const stat = statOf(this.#use.check(this.#fd))
    if (size !== undefined) {
      if (!stat.isFile()) throw new ShareError('EINVAL')
      fs.truncateSync(this.#self, size)
    }
    // Without any change, the time of the last one is set: by the owner that the file has.
    const isNone = Object.keys(changes).length === 0
    if (uid !== undefined || gid !== undefined || isNone)
      giveOwner(changes, (...owner) => fs.chownSync(this.#self, ...owner))
    // Linux takes the bits of set-user-ID and set-group-ID from a file that is given an owner.
    const isBare = isNone && (Number(stat.mode) & SET_IDS) !== 0
    if (mode !== undefined || isBare) fs.chmodSync(this.#self, (mode ?? Number(stat.mode)) & MODE_BITS)
    // A new size sets the modification time to now, and Node sets both times or neither.
    const isSet = modifiedNs !== undefined && !(size !== undefined && modifiedNs === 'now')
    if (accessedNs === undefined && !isSet) return
    const seconds = (given: bigint | 'now' | undefined, otherwise: bigint): number =>
      given === 'now' ? Date.now() / 1000 : Number(given ?? otherwise) / 1e9
    fs.utimesSync(this.#self, seconds(accessedNs, stat.atimeNs), seconds(modifiedNs, stat.mtimeNs))
  }

  room(): ShareRoom {
    const { bsize, blocks, bavail, files, ffree } = fs.statfsSync(this.#self)
    return { blockBytes: bsize, blocks, freeBlocks: bavail, files, freeFiles: ffree }
  }

  open(access: ShareAccess): ShareFile {
    // The descriptor's file is known: a device or a pipe would do more than be opened.
    if (!statOf(this.#use.check(this.#fd)).isFile()) throw new ShareError('EACCES')
    return fileOf(this.#use, this.#use.open(this.#self, accessMode(access) | (access.truncate ? O_TRUNC : 0)))
  }

  readLink(name: string): string {
    return nameOfBytes(fs.readlinkSync(this.#entry(name), { encoding: 'buffer' }))
  }

  child(name: string): LocalNode {
    return new LocalNode(this.#use, this.#use.open(this.#entry(name), O_PATH | O_NOFOLLOW))
  }

  list(): readonly string[] {
    return fs.readdirSync(this.#self, { encoding: 'buffer' }).map(nameOfBytes)
  }

  create(name: string, access: Parameters<ShareNode['create']>[1]): { node: ShareNode; file: ShareFile } {
    const { truncate: empties, exclusive, mode } = access
    // O_NONBLOCK: opening an existing pipe must not block.
    const flags = accessMode(access) | O_CREAT | O_NOFOLLOW | O_NONBLOCK | (exclusive ? O_EXCL : 0)
    const { fd, isNew } = this.#openOrCreate(this.#entry(name), flags, mode & MODE_BITS)
    const file = fileOf(this.#use, fd)
    try {
      if (isNew) this.#give(fd, mode, access)
      if (!statOf(fd).isFile()) throw new ShareError('EACCES')
      if (empties) fs.truncateSync(`/proc/self/fd/${fd}`, 0)
      const node = this.#use.open(`/proc/self/fd/${fd}`, O_PATH)
      return { node: new LocalNode(this.#use, node), file }
    } catch (error) {
      this.#use.close(fd)
      throw error
    }
  }

  #openOrCreate(path: fs.PathLike, flags: number, mode: number): { readonly fd: number; readonly isNew: boolean } {
    try {
      return { fd: this.#use.open(path, flags | O_EXCL, mode), isNew: true }
    } catch (error) {
      if ((flags & O_EXCL) !== 0 || !hasCode(error, 'EEXIST')) throw error
      return { fd: this.#use.open(path, flags, mode), isNew: false }
    }
  }

  /**
   * Gives a new file the guest's owner and mode: the guest's kernel has applied its program's mask, and the host's is not to
   * apply too.
   */
  #give(fd: number, mode: number, owner: ShareOwner): void {
    const path = `/proc/self/fd/${fd}`
    giveOwner(owner, (...ids) => fs.chownSync(path, ...ids))
    const stat = statOf(fd)
    const now = Number(stat.mode) & MODE_BITS
    // A directory may have its parent's set-group-ID bit.
    const given = (mode & MODE_BITS) | (stat.isDirectory() ? now & SET_GROUP_ID : 0)
    if (now === given) return
    try {
      fs.chmodSync(path, given)
    } catch {
      // A file system without modes (FAT) refuses: the new file keeps its default mode.
    }
  }

  makeDirectory(name: string, mode: number, owner: ShareOwner = {}): void {
    fs.mkdirSync(this.#entry(name), mode & MODE_BITS)
    const fd = this.#use.open(this.#entry(name), O_PATH | O_NOFOLLOW | O_DIRECTORY)
    try {
      this.#give(fd, mode, owner)
    } finally {
      this.#use.close(fd)
    }
  }

  makeLink(name: string, text: string, owner: ShareOwner = {}): void {
    const path = this.#entry(name)
    fs.symlinkSync(pathOf(text), path)
    giveOwner(owner, (...ids) => fs.lchownSync(path, ...ids))
  }

  addName(name: string, directory: ShareNode, otherName: string): void {
    if (!(directory instanceof LocalNode)) throw new ShareError('EXDEV')
    // `link` does not follow a link that it is given.
    return fs.linkSync(directory.#entry(otherName), this.#entry(name))
  }

  remove(name: string, directory: boolean): void {
    return directory ? fs.rmdirSync(this.#entry(name)) : fs.unlinkSync(this.#entry(name))
  }

  rename(name: string, directory: ShareNode, newName: string): void {
    if (!(directory instanceof LocalNode)) throw new ShareError('EXDEV')
    return fs.renameSync(this.#entry(name), directory.#entry(newName))
  }

  release(): void {
    this.#use.close(this.#fd)
  }
}

/** Files belong to the party that runs the machine, unless it may give them away: as with QEMU's security_model=none. */
function giveOwner({ uid = -1, gid = -1 }: ShareOwner, give: (uid: number, gid: number) => void): void {
  try {
    give(uid, gid)
  } catch (error) {
    // EINVAL: the host's user namespace lacks the user.
    if (!hasCode(error, 'EPERM') && !hasCode(error, 'EINVAL')) throw error
  }
}

/** Node encodes a string as UTF-8. */
const pathOf = (path: string): fs.PathLike => (path.isWellFormed() ? path : Buffer.from(bytesOfName(path)))

/** Names a file uniquely on the host. */
function keyOf(fd: number): string {
  const { dev, ino } = statOf(fd)
  return `${dev}-${ino}`
}

const shareStat = (stat: fs.BigIntStats): ShareStat => ({
  // Files of other file systems below the directory have numbers of their own.
  id: (stat.dev << 48n) ^ stat.ino,
  mode: Number(stat.mode),
  uid: Number(stat.uid),
  gid: Number(stat.gid),
  links: Number(stat.nlink),
  size: Number(stat.size),
  allocated: Number(stat.blocks) * 512,
  accessedNs: stat.atimeNs,
  modifiedNs: stat.mtimeNs,
  changedNs: stat.ctimeNs,
})

const statOf = (fd: number): fs.BigIntStats => fs.fstatSync(fd, { bigint: true })

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

/** Linux appends where the descriptor says so, whatever offset a write gives. */
const accessMode = ({ read: reads, write: writes, append = false }: ShareAccess): number =>
  (writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY) | (append ? O_APPEND : 0)

const fileOf = (use: Use, fd: number): ShareFile => ({
  read: (offset, into) => fs.readSync(use.check(fd), into, 0, into.length, offset),
  write: (offset, from) => fs.writeSync(use.check(fd), from, 0, from.length, offset),
  sync: () => use.sync(fd),
  lock: () => use.lock(fd),
  unlock: () => use.unlock(fd),
  close: () => use.close(fd),
})
