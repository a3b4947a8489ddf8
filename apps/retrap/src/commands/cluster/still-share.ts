/** Folders of the host as the machines of a cluster see them: the same in each run. */
import {
  after,
  ReadOnlyNode,
  type Share,
  type ShareFile,
  type ShareNode,
  type ShareStat,
  type Soon,
} from '@retrap/virtio/p9'

/**
 * A share that is only read, without what changes on the host while nobody changes its files: the times of the last reads, the room on
 * the disk, and the order in which a folder lists its names.
 */
export const stillShare = (share: Share): Share => ({
  root: () => after(share.root(), (node) => new StillNode(node)),
})

class StillNode extends ReadOnlyNode {
  readonly #node: ShareNode

  constructor(node: ShareNode) {
    super()
    this.#node = node
  }

  stat(): Soon<ShareStat> {
    return after(this.#node.stat(), (stat) => ({ ...stat, accessedNs: stat.modifiedNs }))
  }

  override open(): Soon<ShareFile> {
    return this.#node.open({ read: true, write: false, truncate: false })
  }

  override readLink(name: string): Soon<string> {
    return this.#node.readLink(name)
  }

  override child(name: string): Soon<ShareNode> {
    return after(this.#node.child(name), (node) => new StillNode(node))
  }

  override list(): Soon<readonly string[]> {
    return after(this.#node.list(), (names) => names.toSorted())
  }

  override release(): void {
    this.#node.release()
  }
}
