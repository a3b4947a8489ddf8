import {
  ReadOnlyNode,
  type Share,
  type ShareAccess,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareRoom,
  type ShareStat,
} from '@retrap/virtio/p9'
import type { ImageFile } from './image-file.ts'
import { S_IFLNK, S_IFMT, S_IFREG } from './tar.ts'
import type { ImageNode, ImageTree } from './tree.ts'

const BLOCK = 4096
const NANOSECONDS = 1_000_000_000n

/** The files of an image for a guest, read only. @param layers - tar archives, in the order in which the tree has taken them */
export function imageShare(tree: ImageTree, layers: readonly ImageFile[]): Share {
  const bytes = layers.reduce((sum, { size }) => sum + size, 0)
  const blocks = Math.ceil(bytes / BLOCK)
  const room: ShareRoom = { blockBytes: BLOCK, blocks, freeBlocks: 0, files: tree.count, freeFiles: 0 }
  return { root: () => new Node(tree.root, layers, room) }
}

class Node extends ReadOnlyNode {
  readonly #node: ImageNode
  readonly #layers: readonly ImageFile[]
  readonly #room: ShareRoom

  constructor(node: ImageNode, layers: readonly ImageFile[], room: ShareRoom) {
    super()
    this.#node = node
    this.#layers = layers
    this.#room = room
  }

  stat(): ShareStat {
    const { id, mode, uid, gid, links, size, target, seconds, nanoseconds, device } = this.#node
    const timeNs = BigInt(seconds) * NANOSECONDS + BigInt(nanoseconds)
    return {
      id: BigInt(id),
      mode,
      uid,
      gid,
      links,
      size: (mode & S_IFMT) === S_IFLNK ? new TextEncoder().encode(target).length : size,
      allocated: Math.ceil(size / BLOCK) * BLOCK,
      device,
      accessedNs: timeNs,
      modifiedNs: timeNs,
      changedNs: timeNs,
    }
  }

  override room(): ShareRoom {
    return this.#room
  }

  override open({ write, truncate }: ShareAccess): ShareFile {
    if (write || truncate) throw new ShareError('EROFS')
    const { mode, layer, offset: begin, size } = this.#node
    if ((mode & S_IFMT) !== S_IFREG) throw new ShareError('EACCES')
    const file = this.#layers[layer]!
    return {
      read: (offset, into) =>
        offset >= size ? 0 : file.read(begin + offset, into.subarray(0, Math.min(into.length, size - offset))),
      write() {
        throw new ShareError('EROFS')
      },
      sync() {},
      close() {},
    }
  }

  #entry(name: string): ImageNode {
    const { entries } = this.#node
    if (entries === null) throw new ShareError('ENOTDIR')
    const found = entries.get(name)
    if (found === undefined) throw new ShareError('ENOENT')
    return found
  }

  override readLink(name: string): string {
    const { mode, target } = this.#entry(name)
    if ((mode & S_IFMT) !== S_IFLNK) throw new ShareError('EINVAL')
    return target
  }

  override child(name: string): ShareNode {
    return new Node(this.#entry(name), this.#layers, this.#room)
  }

  override list(): readonly string[] {
    const { entries } = this.#node
    if (entries === null) throw new ShareError('ENOTDIR')
    return [...entries.keys()]
  }
}
