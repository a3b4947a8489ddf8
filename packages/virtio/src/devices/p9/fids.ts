import {
  errorNumber,
  type Share,
  type ShareAccess,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareStat,
  soon,
  type Steps,
} from './share.ts'

/** The most that a driver makes the host keep. */
export const LIMITS: Readonly<Record<'fids' | 'open' | 'held' | 'listed', number>> = {
  /** Fids, and places: Linux keeps a fid for each name in its cache. */
  fids: 1 << 20,
  /** Open files. A process of the host has few descriptors for all that it does. */
  open: 4096,
  /** Nodes that are kept between requests for files that are not open. A node takes a descriptor, too. */
  held: 256,
  /** Names of open directories, all together. One directory may have more. */
  listed: 1 << 19,
}
const MOST_NAME = 255
/** Start and length of a range that is a whole file. */
const WHOLE = '0 0'
/** `P9_NONUNAME`. Source: Linux, `net/9p/9p.h`. */
export const NO_USER = 0xffff_ffff
const NO_ENTRY = errorNumber(new ShareError('ENOENT'))

/** A path in the share, as a name within its directory's place. All fids with the same path share a place. */
export interface Place {
  /** Number of the place within its session. */
  readonly number: number
  /** The file's node while it is held: returned by {@link Fids.node}. */
  node: ShareNode | null
  /** Null: the root. */
  parent: Place | null
  name: string
  /** The file's {@link ShareStat.id}; null: it is in a saved state, and was not looked for since. */
  id: bigint | null
  uses: number
  /** Number of fids that have the file open. Its node is held, because the file may lose its name meanwhile. */
  files: number
  /** Locks of the guest's programs, as process and range. */
  readonly locks: Set<string>
}

/** A place with its file's attributes at the time of the lookup. */
export interface Entered {
  readonly place: Place
  readonly stat: ShareStat
}

/** The files that a driver calls by a number. */
export interface Fid {
  place: Place
  /** The user who has attached to the share; `NO_USER`: unknown. */
  readonly uid: number
  /** The open file, if the fid is open. */
  file: ShareFile | null
  /** How the file was opened; null: not yet. */
  access: ShareAccess | null
  /** The names of an open directory. */
  names: readonly string[] | null
}

/** Saved form of a {@link Fid}. */
export interface SavedFid extends Readonly<Pick<Fid, 'uid' | 'access' | 'names'>> {
  readonly fid: number
  readonly path: readonly string[]
}

/** The files that a driver has names for. */
export class Fids {
  readonly #share: Share
  readonly #limits: typeof LIMITS
  readonly #fids = new Map<number, Fid>()
  /** Places by the number of their directory's place and their name. Places whose name now belongs to another file are removed. */
  readonly #named = new Map<string, Place>()
  /** Places with a node and without an open file, the least recently used first. */
  readonly #held = new Set<Place>()
  #places = 0
  #lastNumber = 0
  #open = 0
  #listed = 0

  constructor(share: Share, limits: typeof LIMITS) {
    this.#share = share
    this.#limits = limits
  }

  /** @throws ShareError `EBADF` */
  get(number: number): Fid {
    const fid = this.#fids.get(number)
    if (fid === undefined) throw new ShareError('EBADF', `there is no fid ${number}`)
    return fid
  }

  /** @throws ShareError if the number is in use, or there are too many fids */
  check(number: number): void {
    if (this.#fids.has(number)) throw new ShareError('EINVAL', `fid ${number} is in use`)
    if (this.#fids.size >= this.#limits.fids) throw new ShareError('ENFILE', 'there are too many fids')
  }

  set(number: number, place: Place, uid: number): Fid {
    const fid = { place, uid, file: null, access: null, names: null }
    this.#fids.set(number, fid)
    return fid
  }

  /** @throws ShareError where no further file may be opened */
  checkOpen(): void {
    if (this.#open >= this.#limits.open) throw new ShareError('ENFILE', 'there are too many open files')
  }

  *open(fid: Fid, access: ShareAccess): Steps<void> {
    this.checkOpen()
    this.opened(fid, yield* soon((yield* this.node(fid.place)).open(access)))
  }

  /** Keeps the file that a fid has opened; the node stays with the fid's place. */
  opened(fid: Fid, file: ShareFile): void {
    fid.file = file
    fid.place.files++
    this.#open++
    this.#held.delete(fid.place)
  }

  /**
   * Locks a range of an open file for a process, or unlocks it. The guest's kernel asks for what it has granted itself: here other machines
   * count, and of those one at a time has a file.
   *
   * @returns false where another machine has the file
   */
  *lock({ place, file }: Fid, process: number, range: string, isHeld: boolean): Steps<boolean> {
    if (file?.lock === undefined) return true
    const before = place.locks.size
    const name = `${process} ${range}`
    if (isHeld) {
      if (before === 0 && !(yield* soon(file.lock()))) return false
      place.locks.add(name)
      return true
    }
    for (const one of place.locks)
      if (range === WHOLE ? one.startsWith(`${process} `) : one === name) place.locks.delete(one)
    if (before > 0 && place.locks.size === 0) file.unlock?.()
    return true
  }

  /** Keeps the names of an open directory. @throws ShareError if all open directories together have too many names */
  list(fid: Fid, names: readonly string[]): void {
    const others = this.#listed - (fid.names?.length ?? 0)
    if (others > 0 && others + names.length > this.#limits.listed)
      throw new ShareError('ENFILE', 'too many names of directories are in use')
    this.#listed = others + names.length
    fid.names = names
  }

  /**
   * The file of a place, until the request ends. A file without a node is looked for from the root, name by name.
   *
   * @throws ShareError `ESTALE` if the host has removed the name, or given it to another file
   */
  *node(place: Place): Steps<ShareNode> {
    const missing: Place[] = []
    for (let at: Place | null = place; at !== null && at.node === null; at = at.parent) missing.push(at)
    for (const at of missing.toReversed()) {
      try {
        const node = yield* soon(at.parent === null ? this.#share.root() : at.parent.node!.child(at.name))
        yield* this.enter(node, at.parent, at.name, at)
      } catch (error) {
        throw errorNumber(error) === NO_ENTRY ? new ShareError('ESTALE') : error
      }
    }
    if (this.#held.delete(place)) this.#held.add(place)
    return place.node!
  }

  nodeOf(number: number): Steps<ShareNode> {
    return this.node(this.get(number).place)
  }

  /** Ends a request: gives nodes back, the least recently used first. */
  trim(): void {
    for (const place of this.#held) {
      if (this.#held.size <= this.#limits.held) return
      this.#held.delete(place)
      place.node!.release()
      place.node = null
    }
  }

  /** Returns the place of a name, which its user releases. @param id - id of the place's file; null: any file with that name */
  #place(parent: Place | null, name: string, id: bigint | null): Place {
    const known = this.#named.get(keyOf(parent, name))
    if (known !== undefined && (id ?? known.id) === (known.id ?? id)) {
      known.uses++
      return known
    }
    if (this.#places >= this.#limits.fids) throw new ShareError('ENFILE', 'there are too many files in use')
    this.#places++
    if (parent !== null) parent.uses++
    const uses = { uses: 1, files: 0, locks: new Set<string>() }
    const place = { number: ++this.#lastNumber, node: null, parent, name, id, ...uses }
    this.#named.set(keyOf(parent, name), place)
    return place
  }

  release(place: Place): void {
    for (let at: Place | null = place; at !== null && --at.uses === 0; at = at.parent) {
      const key = keyOf(at.parent, at.name)
      if (this.#named.get(key) === at) this.#named.delete(key)
      this.#places--
      this.#held.delete(at)
      at.node?.release()
    }
  }

  /** An entry of a directory; `..` is the directory above it, of the root the root. */
  *step(from: Place, name: string): Steps<Entered> {
    if (name === '.' || name === '..') {
      const place = name === '.' ? from : (from.parent ?? from)
      const stat = yield* soon((yield* this.node(place)).stat())
      place.uses++
      return { place, stat }
    }
    checkName(name)
    const directory = yield* this.node(from)
    return yield* this.enter(yield* soon(directory.child(name)), from, name)
  }

  /** The place of a file that was found in a directory, or of the root. @throws ShareError `ESTALE`: a known place has another file */
  *enter(node: ShareNode, parent: Place | null, name: string, known?: Place): Steps<Entered> {
    try {
      const stat = yield* soon(node.stat())
      const place = known ?? this.#place(parent, name, stat.id)
      if (stat.id !== (place.id ?? stat.id)) throw new ShareError('ESTALE')
      place.id = stat.id
      if (place.node === null) {
        place.node = node
        this.#held.add(place)
      } else node.release()
      return { place, stat }
    } catch (error) {
      node.release()
      throw error
    }
  }

  *root(): Steps<Entered> {
    return yield* this.enter(yield* soon(this.#share.root()), null, '')
  }

  /** Moves the place of a renamed entry: its fids find it at the new path. */
  renamed(from: Place, name: string, to: Place, newName: string): void {
    const place = this.#named.get(keyOf(from, name))
    if (place === undefined) return
    this.#named.delete(keyOf(from, name))
    // The host has put another entry there meanwhile: a place cannot lie below itself.
    if (isWithin(to, place)) return
    to.uses++
    place.parent = to
    place.name = newName
    this.#named.set(keyOf(to, newName), place)
    this.release(from)
  }

  *clunk(number: number): Steps<void> {
    const { file, place, names } = this.get(number)
    this.#fids.delete(number)
    this.#listed -= names?.length ?? 0
    if (file !== null) {
      this.#open--
      if (--place.files === 0) {
        this.#held.add(place)
        if (place.locks.size > 0) file.unlock?.()
        place.locks.clear()
      }
    }
    this.release(place)
    if (file !== null) yield* soon(file.close())
  }

  /** Gives everything back. */
  *clear(): Steps<void> {
    for (const number of [...this.#fids.keys()]) {
      try {
        yield* this.clunk(number)
      } catch {
        // A failure leaves the others to be closed.
      }
    }
  }

  save(): readonly SavedFid[] {
    return [...this.#fids].map(([fid, { place, uid, access, names }]) => ({
      fid,
      uid,
      path: pathOf(place),
      access,
      names,
    }))
  }

  /** Restores the fids that `save` returned, and opens files again. A driver learns of missing files when it uses them. */
  *restore(saved: readonly SavedFid[]): Steps<void> {
    yield* this.clear()
    for (const { fid: number, uid = NO_USER, path, access, names } of saved) {
      try {
        let place = this.#place(null, '', null)
        for (const name of path) {
          const directory = place
          place = this.#place(directory, name, null)
          this.release(directory)
        }
        const fid = this.set(number, place, uid)
        fid.access = access
        if (names !== null) this.list(fid, names)
        else if (access !== null) yield* this.open(fid, { ...access, truncate: false })
      } catch {
        // Reads of a file that is not open fail.
      }
      this.trim()
    }
  }
}

const keyOf = (parent: Place | null, name: string): string => `${parent?.number ?? 0}/${name}`

function isWithin(place: Place, directory: Place): boolean {
  for (let at: Place | null = place; at !== null; at = at.parent) if (at === directory) return true
  return false
}

function pathOf(place: Place): readonly string[] {
  const names: string[] = []
  for (let at = place; at.parent !== null; at = at.parent) names.unshift(at.name)
  return names
}

/** @throws ShareError for anything but a single name */
export function checkName(name: string): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
    throw new ShareError('EINVAL', 'a name of a file is no path')
  if (name.length > MOST_NAME) throw new ShareError('ENAMETOOLONG')
}
