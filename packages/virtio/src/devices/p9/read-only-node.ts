import {
  type ShareAccess,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareRoom,
  type ShareStat,
  type Soon,
} from './share.ts'

const refuse = (): never => {
  throw new ShareError('EROFS')
}

/** A file system without room. */
const NO_ROOM: ShareRoom = { blockBytes: 4096, blocks: 0, freeBlocks: 0, files: 0, freeFiles: 0 }

/** A read-only file or directory. This class is neither of both: a subclass implements the reads. */
export abstract class ReadOnlyNode implements ShareNode {
  /** Throws `EROFS`. */
  readonly change: ShareNode['change'] = refuse
  /** Throws `EROFS`. */
  readonly create: ShareNode['create'] = refuse
  /** Throws `EROFS`. */
  readonly makeDirectory: ShareNode['makeDirectory'] = refuse
  /** Throws `EROFS`. */
  readonly makeLink: ShareNode['makeLink'] = refuse
  /** Throws `EROFS`. */
  readonly addName: ShareNode['addName'] = refuse
  /** Throws `EROFS`. */
  readonly remove: ShareNode['remove'] = refuse
  /** Throws `EROFS`. */
  readonly rename: ShareNode['rename'] = refuse
  /** See `ShareNode`. */
  abstract stat(): Soon<ShareStat>
  /** There is none. */
  room(): Soon<ShareRoom> {
    return NO_ROOM
  }
  /** Throws `EISDIR`, or `EROFS` for write access. */
  open({ write, truncate }: ShareAccess): Soon<ShareFile> {
    throw new ShareError(write || truncate ? 'EROFS' : 'EISDIR')
  }
  /** Throws `EINVAL`. */
  readLink(_name: string): Soon<string> {
    throw new ShareError('EINVAL')
  }
  /** Throws `ENOTDIR`. */
  child(_name: string): Soon<ShareNode> {
    throw new ShareError('ENOTDIR')
  }
  /** Throws `ENOTDIR`. */
  list(): Soon<readonly string[]> {
    throw new ShareError('ENOTDIR')
  }
  /** Nothing is held. */
  release(): void {}
}
