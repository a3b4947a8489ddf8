/**
 * Files of the host for a guest, by 9P: a separate entry point, so that other machines do not load them.
 *
 * @packageDocumentation
 */
export { MemoryShare } from './devices/p9/memory-share.ts'
export { ReadOnlyNode } from './devices/p9/read-only-node.ts'
export {
  after,
  bytesOfName,
  lookAt,
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
  type Soon,
} from './devices/p9/share.ts'
export { Virtio9p } from './devices/p9/virtio-9p.ts'
