import {
  after,
  lookAt,
  ReadOnlyNode,
  type Share,
  ShareError,
  type ShareNode,
  type ShareRoom,
  type ShareStat,
  type Soon,
} from '@retrap/virtio/p9'
import { PassedNode } from './visible-folder.ts'

export type ViewEntry =
  /** A directory of the view itself. */
  | {
      readonly kind: 'directory'
      readonly entries: Map<string, ViewEntry>
      /** Permission bits; 0755 if absent. */
      readonly mode?: number
    }
  | { readonly kind: 'link'; readonly text: string }
  /** A file, or a directory with its whole content, from another share. */
  | { readonly kind: 'node'; readonly open: () => Soon<ShareNode> }

/** The owner whose files show as root's. */
export interface ViewOwner {
  readonly uid: number
  readonly gid: number
}

const DIRECTORY = 0o040_000
const LINK_MODE = 0o120_777

/** The whole that an entry is in. */
interface View {
  readonly owner: ViewOwner | undefined
  /** Numbers of files, as guests see them. */
  readonly ids: ReadonlyMap<ViewEntry, bigint>
  readonly missed: Set<string>
}

/** A share composed of parts of other shares. Its own directories are read-only. */
export class ViewShare implements Share {
  readonly #root: ViewEntry
  readonly #view: View
  /** Paths that were looked for in directories of the view itself, and are not there; a bounded number. */
  readonly missed: Set<string> = new Set()

  /**
   * @param root - the directory at the top, complete
   * @param owner - the user whose files appear as root's and read-only; undefined: files keep their owners
   */
  constructor(root: ViewEntry, owner?: ViewOwner) {
    this.#root = root
    this.#view = { owner, ids: numbersOf(root), missed: this.missed }
  }

  /** The directory at the top. */
  root(): Soon<ShareNode> {
    return nodeOf(this.#root, this.#view, '')
  }
}

/** Most paths that are noted. */
const MOST_MISSED = 1000

/** @param path - of the entry; empty at the top */
function nodeOf(entry: ViewEntry, view: View, path: string): Soon<ShareNode> {
  if (entry.kind === 'directory') return new ViewDirectory(entry, view, path)
  if (entry.kind === 'link') return new ViewLink(entry, view)
  const { owner } = view
  return owner === undefined ? entry.open() : after(entry.open(), (node) => new OwnedNode(node, owner))
}

/**
 * Numbers the entries of a view by their places: a guest sees the same numbers whatever this process has shared before. Files of the
 * host have its device numbers in the upper bits, and none of those is 0.
 */
function numbersOf(root: ViewEntry): ReadonlyMap<ViewEntry, bigint> {
  const ids = new Map([[root, 1n]])
  for (const entry of ids.keys())
    for (const below of entry.kind === 'directory' ? entry.entries.values() : [])
      if (!ids.has(below)) ids.set(below, BigInt(ids.size + 1))
  return ids
}

/** The attributes of an entry of a view itself. */
export function ownStat(id: bigint, mode: number, size: number): ShareStat {
  const times = { accessedNs: 0n, modifiedNs: 0n, changedNs: 0n }
  return { id, mode, uid: 0, gid: 0, links: 1, size, allocated: 0, ...times }
}

class ViewDirectory extends ReadOnlyNode {
  readonly #entry: Extract<ViewEntry, { kind: 'directory' }>
  readonly #view: View
  readonly #path: string

  constructor(entry: Extract<ViewEntry, { kind: 'directory' }>, view: View, path: string) {
    super()
    this.#entry = entry
    this.#view = view
    this.#path = path
  }

  stat(): ShareStat {
    return ownStat(this.#view.ids.get(this.#entry)!, DIRECTORY | (this.#entry.mode ?? 0o755), 0)
  }

  override list(): readonly string[] {
    return [...this.#entry.entries.keys()]
  }

  override child(name: string): Soon<ShareNode> {
    return nodeOf(this.#find(name), this.#view, `${this.#path}/${name}`)
  }

  override readLink(name: string): string {
    const entry = this.#find(name)
    if (entry.kind !== 'link') throw new ShareError('EINVAL')
    return entry.text
  }

  #find(name: string): ViewEntry {
    const entry = this.#entry.entries.get(name)
    if (entry !== undefined) return entry
    const { missed } = this.#view
    if (missed.size < MOST_MISSED) missed.add(`${this.#path}/${name}`)
    throw new ShareError('ENOENT')
  }
}

class ViewLink extends ReadOnlyNode {
  readonly #entry: Extract<ViewEntry, { kind: 'link' }>
  readonly #view: View

  constructor(entry: Extract<ViewEntry, { kind: 'link' }>, view: View) {
    super()
    this.#entry = entry
    this.#view = view
  }

  stat(): ShareStat {
    return ownStat(this.#view.ids.get(this.#entry)!, LINK_MODE, Buffer.byteLength(this.#entry.text))
  }
}

/** A node of another share, shown as owned by root. */
class OwnedNode extends PassedNode {
  readonly #owner: ViewOwner

  constructor(node: ShareNode, owner: ViewOwner) {
    super(node)
    this.#owner = owner
  }

  stat(): Soon<ShareStat> {
    return after(this.node.stat(), (stat) => this.#owned(stat))
  }

  look(name: string): Soon<ShareStat> {
    return after(lookAt(this.node, name), (stat) => this.#owned(stat))
  }

  #owned(stat: ShareStat): ShareStat {
    const { uid, gid } = this.#owner
    return { ...stat, uid: stat.uid === uid ? 0 : stat.uid, gid: stat.gid === gid ? 0 : stat.gid }
  }

  override room(): Soon<ShareRoom> {
    return this.node.room()
  }

  override child(name: string): Soon<ShareNode> {
    return after(this.node.child(name), (node) => new OwnedNode(node, this.#owner))
  }
}

/**
 * A share that is only read, without what changes on the host while nobody changes its files: the times of the last reads, the room on
 * the disk, and the order in which a folder lists its names.
 */
export const stillShare = (share: Share): Share => ({
  root: () => after(share.root(), (node) => new StillNode(node)),
})

const still = (stat: ShareStat): ShareStat => ({ ...stat, accessedNs: stat.modifiedNs })

class StillNode extends PassedNode {
  stat(): Soon<ShareStat> {
    return after(this.node.stat(), still)
  }

  look(name: string): Soon<ShareStat> {
    return after(lookAt(this.node, name), still)
  }

  override child(name: string): Soon<ShareNode> {
    return after(this.node.child(name), (node) => new StillNode(node))
  }

  override list(): Soon<readonly string[]> {
    return after(this.node.list(), (names) => names.toSorted())
  }
}
