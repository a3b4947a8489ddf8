import { plainLine } from '@retrap/basics'

/** Reasons of an {@link OciError}. */
export type OciErrorCode =
  /** The file is not an image, or an image of an unknown kind. */
  | 'ERR_FORMAT'
  /** A file contradicts itself, or ends early. */
  | 'ERR_DAMAGED'
  /** The content is not the one that a digest names. */
  | 'ERR_DIGEST'
  /** A file that the image refers to is absent. */
  | 'ERR_MISSING'
  /** A media type, compression or kind of entry that is not read. */
  | 'ERR_UNSUPPORTED'
  /** A name that leads out of the image, or that no file can have. */
  | 'ERR_NAME'
  /** A hard link to nothing, a loop of links, or a path through a file. */
  | 'ERR_LINK'
  /** More than a limit allows. */
  | 'ERR_LIMIT'
  /** The image is for another platform. */
  | 'ERR_PLATFORM'
  /** Several images exist and none was named; or none has the given name. */
  | 'ERR_CHOICE'
  /** The cache folder cannot be used. */
  | 'ERR_CACHE'
  /** A registry cannot be reached, or fails. */
  | 'ERR_NETWORK'
  /** A registry wants a login, or refuses the given one. */
  | 'ERR_ACCESS'
  /** A registry allows no further requests for some time. */
  | 'ERR_RATE'

/** Thrown for an image that cannot be opened. */
export class OciError extends Error {
  /** The class's name. */
  override readonly name: string = 'OciError'
  /** Stable code to switch on. */
  readonly code: OciErrorCode
  /** The file or entry with the error. */
  readonly subject: string

  constructor(code: OciErrorCode, subject: string, reason: string) {
    super(plainLine(`${shown(subject)}: ${reason}`))
    this.code = code
    this.subject = subject
  }
}

const MOST_SHOWN = 200

/** A name of an image's, for messages. */
export const shown = (name: string): string => plainLine(name, MOST_SHOWN)
