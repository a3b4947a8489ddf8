/**
 * Writes a file system that Linux mounts as ext2 or ext4, with files in its root folder.
 *
 * Source: Linux, Documentation/filesystems/ext2.rst, and Documentation/filesystems/ext4 ("Super Block", "Block Group
 * Descriptors", "Index Nodes", "Directory Entries").
 */
import { CliError } from '@retrap/linux-guest/errors'

export const BLOCK_BYTES = 4096
export const INODE_BYTES = 256
/** An inode's fields beside the 128 bytes of the first revision. */
export const EXTRA_BYTES = 32
/** Most blocks of the single block group, whose bitmap is one block. */
const MOST_BLOCKS = 8 * BLOCK_BYTES
const INODES = 1024

// Blocks of the file system, from its start.
export const SUPERBLOCK_AT = 1024
const DESCRIPTORS = 1
const BLOCK_BITMAP = 2
const INODE_BITMAP = 3
const INODE_TABLE = 4
const FIRST_DATA = INODE_TABLE + (INODES * INODE_BYTES) / BLOCK_BYTES

const MAGIC = 0xef53
const REVISION = 1
/** Directory entries have the type of their file. */
export const INCOMPAT_FILETYPE = 2
const CLEAN = 1
const ERRORS_CONTINUE = 1
/** Mount count that disables periodic checks. */
const NO_COUNT = 0xffff

export const ROOT = 2
/** The first inode for files: lost+found, which e2fsck needs. */
const FIRST_INODE = 11
export const LOST_FOUND: number = FIRST_INODE
export const S_IFDIR = 0o040000
export const S_IFREG = 0o100000
const [TYPE_FILE, TYPE_DIRECTORY] = [1, 2]

/** Number of block numbers in an inode, and in an indirect block. */
const DIRECT = 12
const POINTERS = BLOCK_BYTES / 4
const SECTORS_PER_BLOCK = BLOCK_BYTES / 512

interface Entry {
  readonly name: string
  readonly inode: number
  readonly type: number
}

/**
 * Makes a disk's image. Times, owners and the identifier depend on nothing outside, so that equal files give equal bytes.
 *
 * @param files - files by name, in the root folder
 * @param bytes - the size, a multiple of 4 KiB, at most 128 MiB
 * @throws CliError `ERR_INPUT` for files that have no room
 */
export function writeExt2(files: ReadonlyMap<string, Uint8Array>, bytes: number): Uint8Array {
  const blocks = Math.floor(bytes / BLOCK_BYTES)
  if (blocks > MOST_BLOCKS || files.size > INODES - FIRST_INODE)
    throw new CliError(
      'ERR_INPUT',
      `a disk of ${bytes} bytes, ${files.size} files: expected at most 128 MiB, 1013 files`,
    )
  const writer = new Writer(blocks)
  const entries: Entry[] = [{ name: 'lost+found', inode: LOST_FOUND, type: TYPE_DIRECTORY }]
  for (const [name, data] of files) {
    const inode = LOST_FOUND + entries.length
    writer.inode(inode, S_IFREG | 0o644, 1, data)
    entries.push({ name, inode, type: TYPE_FILE })
  }
  writer.inode(LOST_FOUND, S_IFDIR | 0o700, 2, folder(LOST_FOUND, []))
  writer.inode(ROOT, S_IFDIR | 0o755, 3, folder(ROOT, entries))
  return writer.finish(LOST_FOUND + files.size)
}

class Writer {
  readonly #image: Uint8Array
  readonly #view: DataView
  readonly #blocks: number
  #next = FIRST_DATA

  constructor(blocks: number) {
    this.#blocks = blocks
    this.#image = new Uint8Array(blocks * BLOCK_BYTES)
    this.#view = new DataView(this.#image.buffer)
  }

  #take(): number {
    if (this.#next >= this.#blocks)
      throw new CliError('ERR_INPUT', `the disk's ${this.#blocks * BLOCK_BYTES} bytes are too few for its files`)
    return this.#next++
  }

  /** Writes a file's content and inode. */
  inode(number: number, mode: number, links: number, data: Uint8Array): void {
    const first = this.#next
    const numbers: number[] = []
    for (let at = 0; at < data.length; at += BLOCK_BYTES) {
      const block = this.#take()
      this.#image.set(data.subarray(at, at + BLOCK_BYTES), block * BLOCK_BYTES)
      numbers.push(block)
    }
    const at = INODE_TABLE * BLOCK_BYTES + (number - 1) * INODE_BYTES
    const direct = numbers.splice(0, DIRECT)
    for (const [i, block] of direct.entries()) this.#view.setUint32(at + 40 + 4 * i, block, true)
    const once = numbers.splice(0, POINTERS)
    if (once.length > 0) this.#view.setUint32(at + 40 + 4 * DIRECT, this.#pointers(once), true)
    const twice: number[] = []
    while (numbers.length > 0) twice.push(this.#pointers(numbers.splice(0, POINTERS)))
    if (twice.length > 0) this.#view.setUint32(at + 40 + 4 * (DIRECT + 1), this.#pointers(twice), true)
    this.#view.setUint16(at, mode, true)
    this.#view.setUint32(at + 4, data.length, true)
    this.#view.setUint16(at + 26, links, true)
    this.#view.setUint32(at + 28, (this.#next - first) * SECTORS_PER_BLOCK, true)
    this.#view.setUint16(at + 128, EXTRA_BYTES, true)
  }

  /** Writes a block of block numbers. @returns the number of the block that was written */
  #pointers(numbers: readonly number[]): number {
    const block = this.#take()
    for (const [i, one] of numbers.entries()) this.#view.setUint32(block * BLOCK_BYTES + 4 * i, one, true)
    return block
  }

  /** Writes the file system's metadata. @param lastInode - the last inode in use */
  finish(lastInode: number): Uint8Array {
    const [freeBlocks, freeInodes] = [this.#blocks - this.#next, INODES - lastInode]
    const { words, halves } = puttersInto(this.#view)
    // Blocks of 1024 << 2 bytes.
    words(SUPERBLOCK_AT, INODES, this.#blocks, 0, freeBlocks, freeInodes, 0, 2, 2, MOST_BLOCKS, MOST_BLOCKS, INODES)
    halves(SUPERBLOCK_AT + 52, 0, NO_COUNT, MAGIC, CLEAN, ERRORS_CONTINUE, 0)
    words(SUPERBLOCK_AT + 76, REVISION, 0, FIRST_INODE)
    halves(SUPERBLOCK_AT + 88, INODE_BYTES, 0)
    words(SUPERBLOCK_AT + 96, INCOMPAT_FILETYPE, 0)
    this.#image.set(new TextEncoder().encode('retrap disk 0001'), SUPERBLOCK_AT + 104)
    this.#image.set(new TextEncoder().encode('retrap'), SUPERBLOCK_AT + 120)
    words(DESCRIPTORS * BLOCK_BYTES, BLOCK_BITMAP, INODE_BITMAP, INODE_TABLE)
    halves(DESCRIPTORS * BLOCK_BYTES + 12, freeBlocks, freeInodes, 2)
    this.#image.set(bitmap(this.#next, this.#blocks), BLOCK_BITMAP * BLOCK_BYTES)
    this.#image.set(bitmap(lastInode, INODES), INODE_BITMAP * BLOCK_BYTES)
    return this.#image
  }
}

type Put = (at: number, ...values: readonly number[]) => void

/** Functions that write words, and halves of words, one behind the other. */
export const puttersInto = (view: DataView): { readonly words: Put; readonly halves: Put } => ({
  words: (at, ...values) => values.forEach((value, i) => view.setUint32(at + 4 * i, value, true)),
  halves: (at, ...values) => values.forEach((value, i) => view.setUint16(at + 2 * i, value, true)),
})

/** A bitmap whose first bits are in use. Bits behind the end are set. */
export function bitmap(used: number, bits: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES)
  for (let bit = 0; bit < 8 * BLOCK_BYTES; bit++) if (bit < used || bit >= bits) bytes[bit >> 3]! |= 1 << (bit & 7)
  return bytes
}

/** Returns the content of a folder that is its own parent, or whose parent is the root. No entry crosses a block. */
export function folder(own: number, entries: readonly Entry[]): Uint8Array {
  const all: Entry[] = [
    { name: '.', inode: own, type: TYPE_DIRECTORY },
    { name: '..', inode: ROOT, type: TYPE_DIRECTORY },
    ...entries,
  ]
  const made: { readonly at: number; readonly entry: Entry; readonly name: Uint8Array }[] = []
  let at = 0
  for (const entry of all) {
    const name = new TextEncoder().encode(entry.name)
    const length = entryBytes(name)
    const left = BLOCK_BYTES - (at % BLOCK_BYTES)
    if (length > left) at += left
    made.push({ at, entry, name })
    at += length
  }
  const end = Math.ceil(at / BLOCK_BYTES) * BLOCK_BYTES
  const bytes = new Uint8Array(end)
  const view = new DataView(bytes.buffer)
  for (const [i, { at: start, entry, name }] of made.entries()) {
    const next = Math.min(made[i + 1]?.at ?? end, (Math.floor(start / BLOCK_BYTES) + 1) * BLOCK_BYTES)
    view.setUint32(start, entry.inode, true)
    view.setUint16(start + 4, next - start, true)
    view.setUint8(start + 6, name.length)
    view.setUint8(start + 7, entry.type)
    bytes.set(name, start + 8)
  }
  return bytes
}

const entryBytes = (name: Uint8Array): number => (8 + name.length + 3) & ~3
