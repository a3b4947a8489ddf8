import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, renameSync, rmSync, writeSync } from 'node:fs'
import { decodeIndex, encodeIndex, indexBytes, PACK_ENTRY_BYTES, PACK_HEAD_BYTES, type PackEntry } from './pack.ts'

/** Most bytes of a pack; beyond this the least recently used code is dropped. */
export const MOST_PACK_BYTES: number = 32 << 20
/** Suffix of a pack that is being written. */
export const SCRATCH = '.new'
/** Most codes with one key, which is computed from their first bytes. */
const MOST_ALIKE = 8
/** Bytes per write call. */
const WRITE_BYTES = 256 << 10

/** A piece of code, in a pack or not. */
export interface PackedCode extends PackEntry {
  /** Reads the code. @returns undefined where its file has been cut, or cannot be read */
  read(): Uint8Array | undefined
}

/** A pack, open for reading. It stays valid when another file replaces it. */
export class PackFile {
  readonly #descriptor: number
  /** Identity of the file, which differs for a replacement. */
  readonly identity: string
  /** Oldest first. */
  readonly codes: readonly PackedCode[]

  private constructor(descriptor: number, identity: string, codes: readonly PackedCode[]) {
    this.#descriptor = descriptor
    this.identity = identity
    this.codes = codes
  }

  /** Opens a pack. @returns undefined if it is missing, damaged, of another version or owned by another user */
  static open(path: string): PackFile | undefined {
    let descriptor: number
    try {
      // No symbolic link is followed, and a pipe is not waited for. Windows has neither flag.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
      descriptor = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch {
      return undefined
    }
    const pack = PackFile.#read(descriptor)
    if (pack === undefined) closeSync(descriptor)
    return pack
  }

  static #read(descriptor: number): PackFile | undefined {
    try {
      const state = fstatSync(descriptor)
      const { dev, ino, size, mtimeMs } = state
      if (!state.isFile() || !isOwn(state.uid) || size > MOST_PACK_BYTES) return undefined
      const head = readAt(descriptor, 0, PACK_HEAD_BYTES)
      const bytes = head && indexBytes(head)
      const index = bytes === undefined || bytes > size ? undefined : readAt(descriptor, 0, bytes)
      const decoded = index && decodeIndex(index, size)
      if (decoded === undefined) return undefined
      let next = decoded.dataAt
      const codes = decoded.entries.map((entry) => {
        const at = next
        next += entry.bytes
        return { ...entry, read: () => readAt(descriptor, at, entry.bytes) }
      })
      return new PackFile(descriptor, `${dev} ${ino} ${size} ${mtimeMs}`, codes)
    } catch {
      return undefined
    }
  }

  /** Closes the file: the pack's code cannot be read any more. */
  close(): void {
    closeSync(this.#descriptor)
  }
}

function readAt(descriptor: number, at: number, count: number): Uint8Array | undefined {
  // An array of its own: one from a pool would keep the whole pool in memory.
  const bytes = new Uint8Array(count)
  try {
    return readSync(descriptor, bytes, 0, count, at) === count ? bytes : undefined
  } catch {
    return undefined
  }
}

/** Whether a file or a folder is this user's. Windows has no such numbers. */
export function isOwn(uid: number): boolean {
  return process.getuid === undefined || process.getuid() === uid
}

/**
 * Writes a pack, which appears when complete.
 *
 * @param codes - oldest first
 * @throws whatever `node:fs` throws
 */
export function writePack(path: string, codes: readonly PackedCode[]): void {
  const scratch = `${path}.${randomBytes(6).toString('hex')}${SCRATCH}`
  const descriptor = openSync(scratch, 'wx', 0o600)
  try {
    try {
      let pieces = [encodeIndex(codes)]
      let bytes = 0
      for (const code of codes) {
        const piece = code.read()
        if (piece === undefined) throw new Error('a pack was cut while it was copied')
        pieces.push(piece)
        bytes += piece.length
        if (bytes < WRITE_BYTES) continue
        writeAll(descriptor, Buffer.concat(pieces))
        pieces = []
        bytes = 0
      }
      writeAll(descriptor, Buffer.concat(pieces))
    } finally {
      closeSync(descriptor)
    }
    renameSync(scratch, path)
  } catch (error) {
    rmSync(scratch, { force: true })
    throw error
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done)
}

/**
 * Returns the codes that fit a pack: for each key the newest, and overall the most recently used.
 *
 * @param codes - oldest first, like the result
 */
export function bounded(codes: readonly PackedCode[], most: number = MOST_PACK_BYTES): PackedCode[] {
  const alike = new Map<number, number>()
  const newest = codes.toReversed().filter(({ key }) => {
    const count = (alike.get(key) ?? 0) + 1
    alike.set(key, count)
    return count <= MOST_ALIKE
  })
  let bytes = PACK_HEAD_BYTES
  const kept = new Set<PackedCode>()
  for (const code of newest.toSorted((a, b) => b.used - a.used)) {
    bytes += PACK_ENTRY_BYTES + code.bytes
    if (bytes > most) break
    kept.add(code)
  }
  return codes.filter((code) => kept.has(code))
}
