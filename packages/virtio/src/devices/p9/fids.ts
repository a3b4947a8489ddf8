import {
  type ShareAccess,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareStat,
  soon,
  type Steps,
} from './share.ts'

/** Names that a driver may have for files at the same time. */
const MOST_FIDS = 4096
/** Files and directories that are held for them, with the directories above. */
const MOST_NODES = 8192
const MOST_NAME = 255
/** Names of open directories, all together. One directory may have more. */
const MOST_LISTED = 1 << 19

/** A place in the share: a file with the directories above it, none of which is looked for by its path again. */
export interface Place {
  readonly node: ShareNode
  /** Null: the root. */
  parent: Place | null
  name: string
  readonly id: bigint
  uses: number
}

/** A place, with the attributes that its file had when it was found. */
export interface Entered {
  readonly place: Place
  readonly stat: ShareStat
}

/** The files that a driver calls by a number. */
export interface Fid {
  place: Place
  /** Open file, if it is one. */
  file: ShareFile | null
  /** How the file was opened; null: not yet. */
  access: ShareAccess | null
  /** The names of an open directory. */
  names: readonly string[] | null
}

/** Saved form of a {@link Fid}. */
export interface SavedFid {
  readonly fid: number
  readonly path: readonly string[]
  readonly access: ShareAccess | null
  readonly names: readonly string[] | null
}

/** The files that a driver has names for. */
export class Fids {
  readonly #fids = new Map<number, Fid>()
  readonly #places = new Set<Place>()
  #listed = 0

  /** @throws ShareError `EBADF` */
  get(number: number): Fid {
    const fid = this.#fids.get(number)
    if (fid === undefined) throw new ShareError('EBADF', `there is no fid ${number}`)
    return fid
  }

  /** @throws ShareError where the number is taken, or there are too many */
  check(number: number): void {
    if (this.#fids.has(number)) throw new ShareError('EINVAL', `fid ${number} is in use`)
    if (this.#fids.size >= MOST_FIDS) throw new ShareError('ENFILE', 'there are too many fids')
  }

  set(number: number, place: Place): void {
    this.#fids.set(number, { place, file: null, access: null, names: null })
  }

  /** Keeps the names of an open directory. @throws ShareError where there are too many with those of others */
  list(fid: Fid, names: readonly string[]): void {
    const others = this.#listed - (fid.names?.length ?? 0)
    if (others > 0 && others + names.length > MOST_LISTED)
      throw new ShareError('ENFILE', 'too many names of directories are in use')
    this.#listed = others + names.length
    fid.names = names
  }

  /** A place of its own; the party that has it releases it. */
  #place(node: ShareNode, id: bigint, parent: Place | null, name: string): Place {
    if (this.#places.size >= MOST_NODES) {
      node.release()
      throw new ShareError('ENFILE', 'there are too many files in use')
    }
    if (parent !== null) parent.uses++
    const place = { node, parent, name, id, uses: 1 }
    this.#places.add(place)
    return place
  }

  release(place: Place): void {
    for (let at: Place | null = place; at !== null && --at.uses === 0; at = at.parent) {
      this.#places.delete(at)
      at.node.release()
    }
  }

  /** An entry of a directory; `..` is the directory above it, of the root the root. */
  *step(from: Place, name: string): Steps<Entered> {
    if (name === '.' || name === '..') {
      const place = name === '.' ? from : (from.parent ?? from)
      const stat = yield* soon(place.node.stat())
      place.uses++
      return { place, stat }
    }
    checkName(name)
    return yield* this.enter(yield* soon(from.node.child(name)), from, name)
  }

  /** The place of a file that was found in a directory, or of the root. */
  *enter(node: ShareNode, parent: Place | null, name: string): Steps<Entered> {
    let stat: ShareStat
    try {
      stat = yield* soon(node.stat())
    } catch (error) {
      node.release()
      throw error
    }
    return { place: this.#place(node, stat.id, parent, name), stat }
  }

  /** An entry has been renamed: who has it finds it at its new place. */
  renamed(from: Place, name: string, to: Place, newName: string): void {
    for (const place of this.#places) {
      if (place.parent?.id !== from.id || place.name !== name) continue
      // The host has put another entry there meanwhile: no place lies below itself.
      if (isWithin(to, place)) continue
      const before = place.parent
      to.uses++
      place.parent = to
      place.name = newName
      this.release(before)
    }
  }

  *clunk(number: number): Steps<void> {
    const { file, place, names } = this.get(number)
    this.#fids.delete(number)
    this.#listed -= names?.length ?? 0
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
    return [...this.#fids].map(([fid, { place, access, names }]) => ({ fid, path: pathOf(place), access, names }))
  }
}

function isWithin(place: Place, directory: Place): boolean {
  for (let at: Place | null = place; at !== null; at = at.parent) if (at === directory) return true
  return false
}

function pathOf(place: Place): readonly string[] {
  const names: string[] = []
  for (let at = place; at.parent !== null; at = at.parent) names.unshift(at.name)
  return names
}

/** @throws ShareError for what is no single name */
export function checkName(name: string): void {
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0'))
    throw new ShareError('EINVAL', 'a name of a file is no path')
  if (name.length > MOST_NAME) throw new ShareError('ENAMETOOLONG')
}
