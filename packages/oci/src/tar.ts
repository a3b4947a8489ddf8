import { MIB, TWO_32 } from '@retrap/basics'
import { OciError } from './errors.ts'
import { type ImageFile, readExactly } from './image-file.ts'
import type { ImageLimits } from './limits.ts'
import { BLOCK, paxRecords, TarHeader, textOf } from './tar-header.ts'

/** An entry of a tar archive. */
export interface TarEntry {
  /** Without `/` at its ends, and without `.` and `..`; empty: the root. */
  readonly path: string
  /** Kind and permissions, as Linux numbers them; 0: a hard link. */
  readonly mode: number
  /** Owner. */
  readonly uid: number
  /** Group. */
  readonly gid: number
  /** Bytes of a file's content. */
  readonly size: number
  /** Offset of the content in the archive. */
  readonly offset: number
  /** Time of the last change, seconds from 1970. */
  readonly seconds: number
  /** Nanoseconds beyond the seconds. */
  readonly nanoseconds: number
  /** Text of a symbolic link; for a hard link the path of another entry, as `path` is. */
  readonly target: string
  /** Number of a device, in the format of Linux programs. */
  readonly device: number
}

/** Bits of a mode. Source: Linux, `uapi/linux/stat.h`. */
export const S_IFMT = 0o170_000
/** A directory. */
export const S_IFDIR = 0o040_000
/** A file. */
export const S_IFREG = 0o100_000
/** A symbolic link. */
export const S_IFLNK = 0o120_000
const S_IFCHR = 0o020_000
const S_IFBLK = 0o060_000
const S_IFIFO = 0o010_000

const HARD_LINK = 0
/** Kinds of entries, by the character in the header. */
const KINDS: Readonly<Record<string, number>> = {
  '\0': S_IFREG,
  '0': S_IFREG,
  '1': HARD_LINK,
  '2': S_IFLNK,
  '3': S_IFCHR,
  '4': S_IFBLK,
  '5': S_IFDIR,
  '6': S_IFIFO,
  '7': S_IFREG,
}

/** Headers that are about the next entry. */
const EXTENSIONS: Readonly<Record<string, 'pax' | 'pax of all' | 'path' | 'linkpath'>> = {
  x: 'pax',
  g: 'pax of all',
  L: 'path',
  K: 'linkpath',
}

const REFUSED: Readonly<Record<string, string>> = {
  S: 'a sparse file',
  M: 'a file that goes on from another archive',
  V: "a volume's label",
  D: 'a list of files for backups',
}

const MOST_EXTENSION = MIB
/** Linux takes no longer paths, and no longer names in them (`uapi/linux/limits.h`). */
const PATH_MAX = 4096
const NAME_MAX = 255
const WINDOW = 256 * 1024

/** Bytes of an archive around the header that is read. */
class Window {
  readonly #file: ImageFile
  #bytes: Uint8Array = new Uint8Array(0)
  #from = 0

  constructor(file: ImageFile) {
    this.#file = file
  }

  /** @returns undefined if the bytes have not arrived yet */
  within(at: number, length: number): Uint8Array | undefined {
    const from = at - this.#from
    return from >= 0 && from + length <= this.#bytes.length ? this.#bytes.subarray(from, from + length) : undefined
  }

  async fetch(at: number, length: number): Promise<Uint8Array> {
    if (at + length > this.#file.size) throw cutShort(this.#file)
    const bytes = new Uint8Array(Math.min(Math.max(length, WINDOW), this.#file.size - at))
    await readExactly(this.#file, at, bytes)
    this.#bytes = bytes
    this.#from = at
    return bytes.subarray(0, length)
  }
}

const cutShort = ({ name, size }: ImageFile): OciError =>
  new OciError('ERR_DAMAGED', name, `the tar archive is cut short: it ends at byte ${size}, within an entry`)

/** The fields that extensions give to the next entry. */
type Extended = Map<string, string>

/**
 * Lists the entries of a tar archive without reading their contents.
 *
 * @throws OciError `ERR_DAMAGED`, `ERR_NAME`, `ERR_UNSUPPORTED`, `ERR_LIMIT`
 */
export async function readTar(file: ImageFile, limits: ImageLimits): Promise<readonly TarEntry[]> {
  const window = new Window(file)
  const entries: TarEntry[] = []
  let extended: Extended = new Map()
  let nameBytes = 0
  for (let at = 0; at + BLOCK <= file.size;) {
    const block = window.within(at, BLOCK) ?? (await window.fetch(at, BLOCK))
    if (isEmpty(block)) break
    const header = new TarHeader(block, file.name, at)
    const extension = EXTENSIONS[header.kind]
    if (extension !== undefined) {
      const size = header.number('size')
      if (size < 0 || size > MOST_EXTENSION)
        throw new OciError('ERR_LIMIT', file.name, `a header of ${size} bytes; at most ${MOST_EXTENSION} are read`)
      const bytes = window.within(at + BLOCK, size) ?? (await window.fetch(at + BLOCK, size))
      extend(extended, extension, bytes, header)
      at += BLOCK + blocks(size)
      continue
    }
    const entry = entryOf(header, extended, at + BLOCK)
    if (extended.size > 0) extended = new Map()
    if (entry.offset + entry.size > file.size) throw cutShort(file)
    nameBytes += nameBytesOf(entry)
    entries.push(entry)
    requireWithin(limits, entries.length, nameBytes, file.name)
    at = entry.offset + blocks(entry.size)
  }
  return entries
}

/** The part of a limit that an entry uses up. */
export const nameBytesOf = ({ path, target }: Pick<TarEntry, 'path' | 'target'>): number => path.length + target.length

/** Checks the number of entries and the bytes of their names. @throws OciError `ERR_LIMIT` */
export function requireWithin(limits: ImageLimits, entries: number, nameBytes: number, name: string): void {
  if (entries > limits.entries)
    throw new OciError('ERR_LIMIT', name, `more than ${limits.entries} entries, which the limits allow it`)
  if (nameBytes > limits.nameBytes)
    throw new OciError('ERR_LIMIT', name, `more than ${limits.nameBytes} bytes of names, which the limits allow it`)
}

const blocks = (size: number): number => Math.ceil(size / BLOCK) * BLOCK

const isEmpty = (block: Uint8Array): boolean => block[0] === 0 && block.every((byte) => byte === 0)

function extend(into: Extended, kind: (typeof EXTENSIONS)[string], bytes: Uint8Array, header: TarHeader): void {
  // Headers of all entries hold notes of programs, such as the commit that `git archive` has written.
  if (kind === 'pax of all') return
  if (kind !== 'pax') {
    into.set(kind, textOf(bytes))
    return
  }
  const records = paxRecords(bytes)
  if (records === undefined) throw header.damaged('a pax header is damaged')
  for (const [key, value] of records) into.set(key, value)
}

function entryOf(header: TarHeader, extended: Extended, offset: number): TarEntry {
  const name = extended.get('path') ?? header.name
  const kind = kindOf(header, extended, name)
  const path = cleanPath(name)
  const number = (key: 'size' | 'uid' | 'gid'): number => {
    const given = extended.get(key)
    if (given === undefined) return header.number(key)
    if (!/^\d{1,15}$/.test(given)) throw header.damaged(`the ${key} of a pax header is no number`)
    return Number(given)
  }
  const [uid, gid] = [number('uid'), number('gid')]
  if (uid < 0 || gid < 0 || uid >= TWO_32 || gid >= TWO_32)
    throw new OciError('ERR_UNSUPPORTED', name, `its owner is ${uid}:${gid}; numbers of 32 bits are expected`)
  // Other kinds have no content, regardless of their size field.
  const size = kind === S_IFREG ? number('size') : 0
  if (size < 0) throw header.damaged('the size of an entry is negative')
  const { seconds, nanoseconds } = timeOf(header, extended.get('mtime'))
  const link = kind === S_IFLNK || kind === HARD_LINK ? (extended.get('linkpath') ?? header.text('link')) : ''
  return {
    path,
    mode: kind === HARD_LINK ? HARD_LINK : kind | (header.number('mode') & 0o7777),
    uid,
    gid,
    size,
    offset,
    seconds,
    nanoseconds,
    target: kind === HARD_LINK ? cleanPath(link) : checkText(link, name),
    device: kind === S_IFCHR || kind === S_IFBLK ? deviceOf(header) : 0,
  }
}

function kindOf(header: TarHeader, extended: Extended, name: string): number {
  const { kind } = header
  const found = KINDS[kind]
  if (found === undefined) {
    const what = REFUSED[kind] ?? `an entry of kind ${JSON.stringify(kind)}`
    throw new OciError('ERR_UNSUPPORTED', name, `${what} is not read`)
  }
  for (const key of extended.keys()) {
    if (key.startsWith('GNU.sparse.')) throw new OciError('ERR_UNSUPPORTED', name, `${REFUSED['S']} is not read`)
  }
  // Archives older than POSIX's format tell directories so. GNU tar takes a '0' for a directory, too; Docker, containerd and umoci
  // take it for a file, and so does Python.
  return kind === '\0' && name.endsWith('/') ? S_IFDIR : found
}

/** Linux, `linux/kdev_t.h`, new_encode_dev. */
function deviceOf(header: TarHeader): number {
  const [major, minor] = [header.number('major'), header.number('minor')]
  if (major < 0 || minor < 0 || major >= 1 << 12 || minor >= 1 << 20)
    throw header.damaged(`a device ${major}:${minor}, which Linux does not have`)
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}

function timeOf(
  header: TarHeader,
  given: string | undefined,
): { readonly seconds: number; readonly nanoseconds: number } {
  if (given === undefined) return { seconds: header.number('modified'), nanoseconds: 0 }
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(given) ?? []
  if (whole === '') throw header.damaged('the time of a pax header is no number')
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign === '') return { seconds: Number(whole), nanoseconds }
  return nanoseconds === 0
    ? { seconds: -Number(whole), nanoseconds }
    : { seconds: -Number(whole) - 1, nanoseconds: 1e9 - nanoseconds }
}

const UNCLEAN = /(?:^|\/)\.{0,2}(?:\/|$)|\0/

/**
 * A path of an archive, from the image's root: `./a//b/` and `/a/b` are `a/b`.
 *
 * @throws OciError `ERR_NAME` for one that goes up, or that Linux does not take
 */
export function cleanPath(path: string): string {
  const parts = UNCLEAN.test(path) ? path.split('/').filter((part) => part !== '' && part !== '.') : undefined
  if (parts?.includes('..')) throw new OciError('ERR_NAME', path, "a name with '..' leads out of the image")
  const clean = parts?.join('/') ?? path
  checkText(clean, path)
  if (clean.length > NAME_MAX / 3 && clean.split('/').some((part) => bytesOf(part) > NAME_MAX))
    throw new OciError('ERR_NAME', path, `a name of more than ${NAME_MAX} bytes`)
  return clean
}

function checkText(text: string, name: string): string {
  if (text.includes('\0')) throw new OciError('ERR_NAME', name, 'a name with a zero in it')
  if (text.length > PATH_MAX / 3 && bytesOf(text) >= PATH_MAX)
    throw new OciError('ERR_NAME', name, `a path of more than ${PATH_MAX - 1} bytes`)
  return text
}

const bytesOf = (text: string): number => (text.length > PATH_MAX ? PATH_MAX : new TextEncoder().encode(text).length)
