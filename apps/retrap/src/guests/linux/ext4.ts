/**
 * Makes an empty file system that Linux mounts as ext4, with a journal.
 *
 * Source: Linux, Documentation/filesystems/ext4 ("Super Block", "Block Group Descriptors", "Index Nodes", "Extent Tree", "Directory
 * Entries", "Journal (jbd2)").
 */
import {
  bitmap,
  BLOCK_BYTES,
  EXTRA_BYTES,
  folder,
  INCOMPAT_FILETYPE,
  INODE_BYTES,
  LOST_FOUND,
  puttersInto,
  ROOT,
  S_IFDIR,
  S_IFREG,
  SUPERBLOCK_AT,
} from './ext2.ts'

export const GROUP_BLOCKS: number = 8 * BLOCK_BYTES
const DESCRIPTOR_BYTES = 32
/** The disk has one inode for this many blocks. */
const BLOCKS_PER_INODE = 4
export const INODES_PER_BLOCK: number = BLOCK_BYTES / INODE_BYTES
/** A last group with fewer blocks is left out: its own tables would fill it. */
const LEAST_GROUP = 1024

const JOURNAL = 8
export const JOURNAL_MAGIC = 0xc03b_3998
export const EXTENTS_FLAG = 0x8_0000

const COMPAT_JOURNAL = 4
const COMPAT_DIR_INDEX = 0x20
const INCOMPAT_EXTENTS = 0x40
const RO_SPARSE_SUPER = 1
const RO_LARGE_FILE = 2
const RO_DIR_NLINK = 0x20
const RO_EXTRA_ISIZE = 0x40

const UUID = new TextEncoder().encode('retrap disk 0002')

/** Blocks of the journal, by the most blocks of a file system that has one so small. */
const JOURNALS = [
  [8192, 1024],
  [0x8000, 2048],
  [0x4_0000, 4096],
  [Infinity, 8192],
] as const

/**
 * Makes the file system on a disk of zeros. Times, owners and the identifier depend on nothing outside: disks of equal sizes get equal
 * bytes. Every user may write to its root folder.
 *
 * @param bytes - size of the disk: 8 MiB or more
 * @param write - writes to the disk; all other bytes stay zeros
 */
export async function makeExt4(
  bytes: number,
  write: (offset: number, from: Uint8Array) => Promise<void>,
): Promise<void> {
  const layout = layoutOf(Math.floor(bytes / BLOCK_BYTES))
  const { groups, blocks, inodes, tableBlocks, journalBlocks } = layout
  const block = (number: number, from: Uint8Array): Promise<void> => write(number * BLOCK_BYTES, from)
  const first = groups[0]!
  const root = first.data
  const journal = root + 2
  const used = journal + journalBlocks
  const free = groups.map(({ start, end, data }, i) => ({
    blocks: end - (i === 0 ? used : data),
    inodes: i === 0 ? inodes - LOST_FOUND : inodes,
    folders: i === 0 ? 2 : 0,
    usedBlocks: (i === 0 ? used : data) - start,
    usedInodes: i === 0 ? LOST_FOUND : 0,
  }))
  const sum = (of: 'blocks' | 'inodes'): number => free.reduce((total, one) => total + one[of], 0)

  const table = new Uint8Array(tableBlocks * BLOCK_BYTES)
  putInode(table, ROOT, S_IFDIR | 0o1777, 3, root, 1)
  putInode(table, LOST_FOUND, S_IFDIR | 0o700, 2, root + 1, 1)
  const journalInode = putInode(table, JOURNAL, S_IFREG | 0o600, 1, journal, journalBlocks)
  await block(first.table, table.subarray(0, BLOCK_BYTES))
  await block(root, folder(ROOT, [{ name: 'lost+found', inode: LOST_FOUND, type: 2 }]))
  await block(root + 1, folder(LOST_FOUND, []))
  await block(journal, journalSuperblock(journalBlocks))

  const descriptors = new Uint8Array(layout.descriptorBlocks * BLOCK_BYTES)
  for (const [i, group] of groups.entries()) {
    const { words, halves } = puttersInto(new DataView(descriptors.buffer, i * DESCRIPTOR_BYTES))
    words(0, group.blockBitmap, group.inodeBitmap, group.table)
    halves(12, free[i]!.blocks, free[i]!.inodes, free[i]!.folders)
    await block(group.blockBitmap, bitmap(free[i]!.usedBlocks, group.end - group.start))
    await block(group.inodeBitmap, bitmap(free[i]!.usedInodes, inodes))
  }
  for (const [i, { start, hasSuper }] of groups.entries()) {
    if (!hasSuper) continue
    const own = superblock(i)
    await block(start, own)
    await block(start + 1, descriptors)
  }

  function superblock(group: number): Uint8Array {
    const bytesOf = new Uint8Array(BLOCK_BYTES)
    const at = group === 0 ? SUPERBLOCK_AT : 0
    const { words, halves } = puttersInto(new DataView(bytesOf.buffer, at))
    // Blocks of 1024 << 2 bytes.
    words(0, inodes * groups.length, blocks, 0, sum('blocks'), sum('inodes'), 0, 2, 2)
    words(32, GROUP_BLOCKS, GROUP_BLOCKS, inodes)
    // Never to be checked for its count of mounts; clean; goes on after errors.
    halves(52, 0, 0xffff, 0xef53, 1, 1, 0)
    words(76, 1, 0, LOST_FOUND)
    halves(88, INODE_BYTES, group)
    words(
      92,
      COMPAT_JOURNAL | COMPAT_DIR_INDEX,
      INCOMPAT_FILETYPE | INCOMPAT_EXTENTS,
      RO_SPARSE_SUPER | RO_LARGE_FILE | RO_DIR_NLINK | RO_EXTRA_ISIZE,
    )
    bytesOf.set(UUID, at + 104)
    bytesOf.set(new TextEncoder().encode('retrap'), at + 120)
    words(224, JOURNAL)
    // Names are hashed by half MD4, with signed characters.
    words(236, 0x7265_7472, 0x6170_2064, 0x6973_6b20, 0x3030_3032)
    bytesOf[at + 252] = 1
    words(352, 1)
    halves(348, EXTRA_BYTES, EXTRA_BYTES)
    // A copy of the journal's inode: its map of blocks, and its size.
    bytesOf[at + 253] = 1
    bytesOf.set(journalInode, at + 268)
    words(268 + 60, 0, journalBlocks * BLOCK_BYTES)
    return bytesOf
  }
}

interface Group {
  readonly start: number
  readonly end: number
  readonly hasSuper: boolean
  readonly blockBitmap: number
  readonly inodeBitmap: number
  readonly table: number
  /** The first block behind the tables. */
  readonly data: number
}

interface Layout {
  readonly blocks: number
  readonly groups: readonly Group[]
  readonly inodes: number
  readonly tableBlocks: number
  readonly descriptorBlocks: number
  readonly journalBlocks: number
}

/** The places of all tables. @param whole - blocks of the disk */
export function layoutOf(whole: number): Layout {
  const rest = whole % GROUP_BLOCKS
  const blocks = whole > GROUP_BLOCKS && rest < LEAST_GROUP ? whole - rest : whole
  const count = Math.ceil(blocks / GROUP_BLOCKS)
  const wanted = Math.min(blocks, GROUP_BLOCKS) / BLOCKS_PER_INODE
  const inodes = Math.ceil(wanted / INODES_PER_BLOCK) * INODES_PER_BLOCK
  const tableBlocks = inodes / INODES_PER_BLOCK
  const descriptorBlocks = Math.ceil((count * DESCRIPTOR_BYTES) / BLOCK_BYTES)
  const journalBlocks = JOURNALS.find(([most]) => blocks < most)![1]
  const groups = Array.from({ length: count }, (_, i): Group => {
    const start = i * GROUP_BLOCKS
    const hasSuper = i < 2 || [3, 5, 7].some((base) => isPower(i, base))
    const blockBitmap = start + (hasSuper ? 1 + descriptorBlocks : 0)
    const table = blockBitmap + 2
    return {
      ...{ start, end: Math.min(start + GROUP_BLOCKS, blocks), hasSuper },
      ...{ blockBitmap, inodeBitmap: blockBitmap + 1, table, data: table + tableBlocks },
    }
  })
  return { blocks, groups, inodes, tableBlocks, descriptorBlocks, journalBlocks }
}

/** Whether a group's number is a power of 3, 5 or 7: such groups have copies of the superblock. */
function isPower(number: number, base: number): boolean {
  let power = base
  while (power < number) power *= base
  return power === number
}

/** Writes an inode whose blocks are one extent. @returns its map of blocks */
function putInode(
  table: Uint8Array,
  number: number,
  mode: number,
  links: number,
  first: number,
  count: number,
): Uint8Array {
  const at = (number - 1) * INODE_BYTES
  const { words, halves } = puttersInto(new DataView(table.buffer, at))
  halves(0, mode)
  words(4, count * BLOCK_BYTES)
  halves(26, links)
  words(28, (count * BLOCK_BYTES) / 512, EXTENTS_FLAG)
  // The header: one extent of at most four, which has no extents below it.
  halves(40, 0xf30a, 1, 4, 0)
  halves(40 + 16, count)
  words(40 + 20, first)
  halves(128, EXTRA_BYTES)
  return table.subarray(at + 40, at + 100)
}

/** The superblock of an empty journal. Its numbers are big-endian. */
function journalSuperblock(blocks: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES)
  const view = new DataView(bytes.buffer)
  // The magic number, the superblock of version 2; then sizes, the first block of the log, and the first transaction.
  const words = [JOURNAL_MAGIC, 4, 0, BLOCK_BYTES, blocks, 1, 1, 0]
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word)
  bytes.set(UUID, 48)
  view.setUint32(64, 1)
  return bytes
}
