import { plainLine } from '@retrap/device/host'

/** A value that a share has at once, or a promise of it. A guest waits less long for a value. */
export type Soon<T> = T | Promise<T>

/** Work that may have to wait: each promise that it yields is waited for, and its value handed in. */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>

export const isLater = <T>(value: Soon<T>): value is Promise<T> =>
  typeof value === 'object' && value !== null && 'then' in value

/** Applies a function to a value when it is available. */
export const after = <T, U>(value: Soon<T>, act: (value: T) => Soon<U>): Soon<U> =>
  isLater(value) ? value.then(act) : act(value)

/** Waits for a value within steps. */
export function* soon<T>(value: Soon<T>): Steps<T> {
  return isLater(value) ? ((yield value) as T) : value
}

/** Runs steps to their end: synchronously if none has to wait. */
export function finish<T>(steps: Steps<T>): Soon<T> {
  const { done, value } = steps.next()
  return done === true ? value : goOn(steps, value)
}

async function goOn<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T> {
  for (let waited = first; ;) {
    const step = waited.then(
      (value) => () => steps.next(value),
      (error: unknown) => () => steps.throw(error),
    )
    const { done, value } = (await step)()
    if (done === true) return value
    waited = value
  }
}

/** The attributes of a file for a guest. */
export interface ShareStat {
  /** Identity of the file within the share, during its lifetime. */
  readonly id: bigint
  /** Kind and permissions, as Linux numbers them (`S_IFREG | 0o644`). */
  readonly mode: number
  /** Owner. */
  readonly uid: number
  /** Group. */
  readonly gid: number
  /** Number of names that the file has. */
  readonly links: number
  /** Bytes. */
  readonly size: number
  /** Bytes that the host has allocated for the file. */
  readonly allocated: number
  /** A device's number, as Linux passes it to programs (`new_encode_dev`); absent: 0. */
  readonly device?: number
  /** Last access, nanoseconds from 1970. */
  readonly accessedNs: bigint
  /** Last change of the file's content. */
  readonly modifiedNs: bigint
  /** Last change of the file's content or attributes. */
  readonly changedNs: bigint
}

/** Flags for opening a file. */
export interface ShareAccess {
  /** The file's content may be read. */
  readonly read: boolean
  /** The file's content may be written. */
  readonly write: boolean
  /** The file becomes empty. */
  readonly truncate: boolean
  /** Each write goes to the end of the file, wherever others have put it meanwhile. Default false. */
  readonly append?: boolean
}

/** The owner of a file to be made; absent: the share's choice. */
export interface ShareOwner {
  /** User. */
  readonly uid?: number
  /** Group. */
  readonly gid?: number
}

/** Attributes to set; absent ones stay unchanged. The last change of attributes is now, even without any. */
export interface ShareChanges extends ShareOwner {
  /** Permissions, with the bits of set-user-ID, set-group-ID and the sticky bit. They hold once the owner is set. */
  readonly mode?: number
  /** Bytes. */
  readonly size?: number
  /** Last access; `now`: the host's time. */
  readonly accessedNs?: bigint | 'now'
  /** Last change of the file's content. */
  readonly modifiedNs?: bigint | 'now'
}

/** Room of a share, in blocks and names. */
export interface ShareRoom {
  /** Bytes of a block. */
  readonly blockBytes: number
  /** All blocks. */
  readonly blocks: number
  /** Number of blocks that may be used. */
  readonly freeBlocks: number
  /** Most files that the share can hold. */
  readonly files: number
  /** Number of further files that the share can hold. */
  readonly freeFiles: number
}

/** An open file. */
export interface ShareFile {
  /** Reads from an offset. @returns number of bytes read */
  read(offset: number, into: Uint8Array): Soon<number>
  /** Writes at an offset, or at the file's end if it was opened to append. @returns how many bytes were written */
  write(offset: number, from: Uint8Array): Soon<number>
  /** Makes written data durable. */
  sync(): Soon<void>
  /**
   * Takes the file, so that only this machine's programs have locks on it, until `unlock`. Absent: no other machine has the share.
   *
   * @returns false where another machine has the file
   */
  lock?(): Soon<boolean>
  /** Gives the file back to other machines. */
  unlock?(): void
  /** Ends its use. */
  close(): Soon<void>
}

/**
 * A file, directory or link of a share: the thing itself, whatever becomes of its name.
 *
 * Names are single: without `/`, and neither `.` nor `..`. An impossible operation rejects with a {@link ShareError}, or another
 * error with such a `code`.
 */
export interface ShareNode {
  /** Attributes now. */
  stat(): Soon<ShareStat>
  /** Sets attributes. */
  change(changes: ShareChanges): Soon<void>
  /** The room of the share. */
  room(): Soon<ShareRoom>
  /** Opens a file. */
  open(access: ShareAccess): Soon<ShareFile>
  /** Returns the target of a symbolic link in a directory. The share itself follows no links. */
  readLink(name: string): Soon<string>
  /** An entry of a directory. A symbolic link is not followed. */
  child(name: string): Soon<ShareNode>
  /** Attributes of an entry of a directory, without a node of its own; absent: `child` is asked. */
  look?(name: string): Soon<ShareStat>
  /** The names in a directory, without `.` and `..`. */
  list(): Soon<readonly string[]>
  /** Makes a file, or opens an existing one unless `exclusive`. */
  create(
    name: string,
    access: ShareAccess & ShareOwner & { readonly exclusive: boolean; readonly mode: number },
  ): Soon<{ readonly node: ShareNode; readonly file: ShareFile }>
  /** Makes a directory. */
  makeDirectory(name: string, mode: number, owner?: ShareOwner): Soon<void>
  /** Makes a symbolic link; its text may be anything. */
  makeLink(name: string, text: string, owner?: ShareOwner): Soon<void>
  /** Adds a hard link in this directory to an entry of a directory of the same share. */
  addName(name: string, directory: ShareNode, otherName: string): Soon<void>
  /** Takes an entry of a directory away. */
  remove(name: string, directory: boolean): Soon<void>
  /** Moves an entry to another directory of the share, or gives it another name. An entry of that name is replaced. */
  rename(name: string, directory: ShareNode, newName: string): Soon<void>
  /** Ends its use. */
  release(): void
}

/** Returns the attributes of an entry of a directory, whether or not its node has `look`. */
export const lookAt = (directory: ShareNode, name: string): Soon<ShareStat> =>
  directory.look?.(name) ?? finish(statOfChild(directory, name))

function* statOfChild(directory: ShareNode, name: string): Steps<ShareStat> {
  const node = yield* soon(directory.child(name))
  try {
    return yield* soon(node.stat())
  } finally {
    node.release()
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

function utf8Of(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/**
 * The name with these bytes, for a {@link ShareNode}. Bytes that are no UTF-8 are single surrogates, `U+DC00` and the byte, so that
 * names stay distinct.
 */
export function nameOfBytes(bytes: Uint8Array): string {
  const whole = utf8Of(bytes)
  if (whole !== undefined) return whole
  let name = ''
  for (let rest = bytes; rest.length > 0;) {
    const head = rest
    const length = [1, 2, 3, 4].find((one) => utf8Of(head.subarray(0, one)) !== undefined)
    name += length === undefined ? String.fromCharCode(0xdc00 | head[0]!) : decoder.decode(head.subarray(0, length))
    rest = head.subarray(length ?? 1)
  }
  return name
}

/** The bytes of a name: the reverse of {@link nameOfBytes}. */
export function bytesOfName(name: string): Uint8Array<ArrayBuffer> {
  if (name.isWellFormed()) return encoder.encode(name)
  const parts = [...name].map((one) => (one.isWellFormed() ? [...encoder.encode(one)] : [one.charCodeAt(0) & 0xff]))
  return Uint8Array.from(parts.flat())
}

/** The files for a guest: a directory of the host, or files in memory. */
export interface Share {
  /** The directory at the top. */
  root(): Soon<ShareNode>
}

/** Linux's numbers of errors (`asm-generic/errno.h`). */
const ERRORS = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  ENAMETOOLONG: 36,
  ENOTEMPTY: 39,
  ELOOP: 40,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ENOTSUP: 95,
  ESTALE: 116,
  EDQUOT: 122,
} as const

/** Codes of {@link ShareError}: names of Linux's errors. */
export type ShareErrorCode = keyof typeof ERRORS

/** Error of a share's operation. The guest gets the number of its code. */
export class ShareError extends Error {
  /** The class's name, for people. */
  override readonly name: string = 'ShareError'
  /** Reason of the failure. */
  readonly code: ShareErrorCode

  constructor(code: ShareErrorCode, message: string = code) {
    super(plainLine(message))
    this.code = code
  }
}

/** Returns the error number for the guest, for any thrown value. */
export function errorNumber(error: unknown): number {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as ShareErrorCode] : ERRORS.EIO
}
