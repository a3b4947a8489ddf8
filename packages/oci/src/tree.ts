import { OciError } from './errors.ts'
import type { ImageLimits } from './limits.ts'
import { nameBytesOf, requireWithin, S_IFDIR, S_IFLNK, S_IFMT, type TarEntry } from './tar.ts'

/** A file, directory, link or device of an image. */
export interface ImageNode {
  /** Number of the node, unique in the image. */
  readonly id: number
  mode: number
  uid: number
  gid: number
  seconds: number
  nanoseconds: number
  /** Number of names of the file. */
  links: number
  /** Bytes of a file's content. */
  readonly size: number
  /** The layer that has the content, from 0. */
  readonly layer: number
  /** Offset of the content in the layer. */
  readonly offset: number
  /** Text of a symbolic link. */
  readonly target: string
  /** Number of a device. */
  readonly device: number
  /** Entries of a directory. */
  readonly entries: Map<string, ImageNode> | null
}

const WHITEOUT = '.wh.'
/** Prefix of the whiteout file system's own entries; one of them hides a directory's whole content. */
const META = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'
/** Linux follows no more links in a path (`linux/namei.h`, MAXSYMLINKS). */
const MOST_HOPS = 40
/** Steps of path lookups for each entry that an image may have. */
const STEPS_PER_ENTRY = 64

/**
 * The files of an image: its layers, merged one by one.
 *
 * Source: OCI Image Format Specification 1.1, layer.md, "Applying Changesets" and "Whiteouts". Links in the middle of a path are
 * followed within the image, as containerd and umoci do.
 */
export class ImageTree {
  readonly root: ImageNode
  readonly #limits: ImageLimits
  #count = 0
  /** Number of entries of all layers, including directories created for them. */
  #entries = 0
  #nameBytes = 0
  #steps = 0
  /** The directory of the entry before: most entries lie beside it. */
  #lastPath: string | undefined
  #last: ImageNode | undefined

  constructor(limits: ImageLimits) {
    this.#limits = limits
    this.root = this.#make(MADE, 0)
  }

  /** Number of all files, directories and links so far. */
  get count(): number {
    return this.#count
  }

  /** The limits that are left for further layers. */
  get left(): ImageLimits {
    const { entries, nameBytes } = this.#limits
    return { ...this.#limits, entries: entries - this.#entries, nameBytes: nameBytes - this.#nameBytes }
  }

  /**
   * Adds a layer on top of the existing ones.
   *
   * @throws OciError `ERR_LINK`, `ERR_NAME`, `ERR_LIMIT`
   */
  apply(entries: readonly TarEntry[], layer: number): void {
    for (const entry of entries) this.#use(entry)
    // Whiteouts hide only lower layers, regardless of their position in this one.
    for (const { path } of entries) if (path.includes(WHITEOUT)) this.#hide(path)
    for (const entry of entries) if (!isMark(entry.path)) this.#add(entry, layer)
    this.#forget()
  }

  #hide(path: string): void {
    const { parent, name } = split(path)
    if (!name.startsWith(WHITEOUT) || isMark(parent)) return
    if (name.startsWith(META) && name !== OPAQUE) return
    const hidden = name.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw new OciError('ERR_NAME', path, 'a whiteout that names no file')
    const entries = this.#directory(parent, false)?.entries
    if (entries === undefined || entries === null) return
    if (name === OPAQUE) {
      for (const node of entries.values()) drop(node)
      entries.clear()
    } else {
      const node = entries.get(hidden)
      if (node !== undefined) drop(node)
      entries.delete(hidden)
    }
    this.#forget()
  }

  #add(entry: TarEntry, layer: number): void {
    const { path, mode } = entry
    if (path === '') {
      if ((mode & S_IFMT) !== S_IFDIR) throw new OciError('ERR_LINK', '/', 'the root is no directory')
      renew(this.root, entry)
      return
    }
    const { parent, name } = split(path)
    const entries = this.#entriesOf(parent, path)
    const before = entries.get(name)
    if (before !== undefined && before.entries !== null && (mode & S_IFMT) === S_IFDIR) {
      renew(before, entry)
      return
    }
    if (before !== undefined) {
      // The old entry is removed first, as in umoci: a hard link to it, or to a file below it, then has no target.
      drop(before)
      entries.delete(name)
      this.#forget()
    }
    const node = mode === 0 ? this.#linked(entry) : this.#make(entry, layer)
    if (mode === 0) node.links++
    entries.set(name, node)
  }

  /** The node that a hard link names. */
  #linked({ path, target }: TarEntry): ImageNode {
    const { parent, name } = split(target)
    const node = target === '' ? this.root : this.#directory(parent, false)?.entries?.get(name)
    if (node === undefined) throw new OciError('ERR_LINK', path, `a hard link to '${target}', which is not there`)
    if (node.entries !== null) throw new OciError('ERR_LINK', path, `a hard link to '${target}', which is a directory`)
    return node
  }

  #make(entry: TarEntry, layer: number): ImageNode {
    const { mode, uid, gid, seconds, nanoseconds, size, offset, target, device } = entry
    const entries = (mode & S_IFMT) === S_IFDIR ? new Map<string, ImageNode>() : null
    const id = ++this.#count
    const text = (mode & S_IFMT) === S_IFLNK ? target : ''
    return { id, mode, uid, gid, seconds, nanoseconds, links: 1, size, layer, offset, target: text, device, entries }
  }

  /** Uses up the limits. Each entry counts, one that another layer replaces, a hard link and a whiteout, too. */
  #use(entry: Pick<TarEntry, 'path' | 'target'>): void {
    this.#entries++
    this.#nameBytes += nameBytesOf(entry)
    requireWithin(this.#limits, this.#entries, this.#nameBytes, entry.path)
  }

  /** Returns the entries of a directory, created if absent. */
  #entriesOf(parent: string, path: string): Map<string, ImageNode> {
    const directory = parent === this.#lastPath ? this.#last : this.#directory(parent, true)
    const entries = directory?.entries
    if (entries === undefined || entries === null) throw new OciError('ERR_LINK', path, 'a path through a file')
    this.#lastPath = parent
    this.#last = directory
    return entries
  }

  #forget(): void {
    this.#lastPath = undefined
    this.#last = undefined
  }

  /**
   * The directory of a path. Links are followed; `..` in them does not lead above the root.
   *
   * @param make - creates missing directories
   * @returns undefined if it does not exist, or a file is in the way
   */
  #directory(path: string, make: boolean): ImageNode | undefined {
    const above: ImageNode[] = []
    let at = this.root
    let hops = 0
    const names = path === '' ? [] : path.split('/').toReversed()
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      if (++this.#steps > STEPS_PER_ENTRY * this.#limits.entries)
        throw new OciError('ERR_LIMIT', path, 'the paths of the image lead over too many links')
      if (name === '' || name === '.') continue
      if (name === '..') {
        at = above.pop() ?? at
        continue
      }
      let next = at.entries?.get(name)
      if (next === undefined) {
        if (!make) return undefined
        this.#use({ path: name, target: '' })
        next = this.#make(MADE, 0)
        at.entries?.set(name, next)
      }
      if ((next.mode & S_IFMT) === S_IFLNK) {
        if (++hops > MOST_HOPS) throw new OciError('ERR_LINK', path, `more than ${MOST_HOPS} links in a path`)
        if (next.target.startsWith('/')) {
          above.length = 0
          at = this.root
        }
        names.push(...next.target.split('/').toReversed())
        continue
      }
      if (next.entries === null) return undefined
      above.push(at)
      at = next
    }
    return at
  }
}

/** A directory that no layer has, above an entry that one has. */
const MADE: TarEntry = {
  path: '',
  mode: S_IFDIR | 0o755,
  uid: 0,
  gid: 0,
  size: 0,
  offset: 0,
  seconds: 0,
  nanoseconds: 0,
  target: '',
  device: 0,
}

function split(path: string): { readonly parent: string; readonly name: string } {
  const at = path.lastIndexOf('/')
  return { parent: path.slice(0, Math.max(at, 0)), name: path.slice(at + 1) }
}

/** Whether a path is a whiteout, or lies in one. */
const isMark = (path: string): boolean => path.startsWith(WHITEOUT) || path.includes(`/${WHITEOUT}`)

function renew(directory: ImageNode, { mode, uid, gid, seconds, nanoseconds }: TarEntry): void {
  Object.assign(directory, { mode, uid, gid, seconds, nanoseconds })
}

/** Takes a name from a file, and from all that lies below a directory. */
function drop(node: ImageNode): void {
  const waiting = [node]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    at.links--
    for (const below of at.entries?.values() ?? []) waiting.push(below)
  }
}
