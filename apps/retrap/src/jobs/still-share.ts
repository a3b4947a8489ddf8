/** Folders of the host as the machines of a cluster see them: the same in each run. */
import { after, type Share, type ShareNode, type ShareStat, type Soon } from '@retrap/virtio/p9'
import { PassedNode } from './visible-folder.ts'

/**
 * A share that is only read, without what changes on the host while nobody changes its files: the times of the last reads, the room on
 * the disk, and the order in which a folder lists its names.
 */
export const stillShare = (share: Share): Share => ({
  root: () => after(share.root(), (node) => new StillNode(node)),
})

class StillNode extends PassedNode {
  stat(): Soon<ShareStat> {
    return after(this.node.stat(), (stat) => ({ ...stat, accessedNs: stat.modifiedNs }))
  }

  override child(name: string): Soon<ShareNode> {
    return after(this.node.child(name), (node) => new StillNode(node))
  }

  override list(): Soon<readonly string[]> {
    return after(this.node.list(), (names) => names.toSorted())
  }
}
