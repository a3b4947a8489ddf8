import {
  type ShareAccess,
  ShareError,
  type ShareFile,
  type ShareNode,
  type ShareRoom,
  type ShareStat,
} from './share.ts'

const refuse = (): Promise<never> => Promise.reject(new ShareError('EROFS'))

/** A file system without room. */
const NO_ROOM: ShareRoom = { blockBytes: 4096, blocks: 0, freeBlocks: 0, files: 0, freeFiles: 0 }

/** A file or directory that nobody can change. Of itself it is neither: a subclass says what can be read. */
export abstract class ReadOnlyNode implements ShareNode {
  /** Rejects with `EROFS`. */
  readonly change: ShareNode['change'] = refuse
  /** Rejects with `EROFS`. */
  readonly create: ShareNode['create'] = refuse
  /** Rejects with `EROFS`. */
  readonly makeDirectory: ShareNode['makeDirectory'] = refuse
  /** Rejects with `EROFS`. */
  readonly makeLink: ShareNode['makeLink'] = refuse
  /** Rejects with `EROFS`. */
  readonly addName: ShareNode['addName'] = refuse
  /** Rejects with `EROFS`. */
  readonly remove: ShareNode['remove'] = refuse
  /** Rejects with `EROFS`. */
  readonly rename: ShareNode['rename'] = refuse
  /** See `ShareNode`. */
  abstract stat(): Promise<ShareStat>
  /** There is none. */
  async room(): Promise<ShareRoom> {
    return NO_ROOM
  }
  /** Rejects with `EISDIR`, or `EROFS` for one that is to be written. */
  async open({ write, truncate }: ShareAccess): Promise<ShareFile> {
    throw new ShareError(write || truncate ? 'EROFS' : 'EISDIR')
  }
  /** Rejects with `EINVAL`. */
  async readLink(_name: string): Promise<string> {
    throw new ShareError('EINVAL')
  }
  /** Rejects with `ENOTDIR`. */
  async child(_name: string): Promise<ShareNode> {
    throw new ShareError('ENOTDIR')
  }
  /** Rejects with `ENOTDIR`. */
  async list(): Promise<readonly string[]> {
    throw new ShareError('ENOTDIR')
  }
  /** Nothing is held. */
  release(): void {}
}
