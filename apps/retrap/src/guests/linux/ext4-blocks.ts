/** Source: Linux, Documentation/filesystems/ext4 ("Index Nodes", "Extent Tree", "Directory Entries", "Journal (jbd2)"). */
import { plainLine } from '@retrap/basics'
import { BLOCK_BYTES, INODE_BYTES, LOST_FOUND, ROOT, S_IFDIR, SUPERBLOCK_AT } from './ext2.ts'
import { EXTENTS_FLAG, GROUP_BLOCKS, INODES_PER_BLOCK, JOURNAL_MAGIC, layoutOf } from './ext4.ts'

const [EXT4_MAGIC, EXTENT_MAGIC, S_IFMT] = [0xef53, 0xf30a, 0o170000]
const [MOST_DEPTH, MOST_NAMES] = [5, 3]
/** An extent with a greater length is allocated and not yet written: the excess is its length. */
const MOST_WRITTEN = 0x8000
// The journal's types of blocks, the features that change its tags, and the flags of a tag.
const [DESCRIPTOR, COMMIT, REVOKE] = [1, 2, 5]
const [TAG_FEATURES, SAME_UUID, LAST_TAG] = [0x1a, 2, 8]

const word = (view: DataView, at: number): number => view.getUint32(at, true)
const half = (view: DataView, at: number): number => view.getUint16(at, true)

/**
 * Names the contents of each block of a disk from `makeExt4`, by the newest metadata: in place, or committed to the journal. Damaged
 * structures are left out. The work is bounded by the number of blocks.
 *
 * @param read - gives a block of 4,096 bytes, undefined for zeros; its bytes must stay unchanged until this function returns
 * @returns by block: the path of a file, `/folder/`, `extents of /file`, `attributes of /file`, `inodes of /a, /b`, `journal`,
 *   `bitmaps`, `superblock`, `descriptors`, or `free`. A file with several links goes by the path nearest to the root.
 */
export function ext4Owners(read: (block: number) => Uint8Array | undefined): (block: number) => string {
  const zeros = new Uint8Array(BLOCK_BYTES)
  const inPlace = (block: number): DataView => {
    const { buffer, byteOffset } = read(block) ?? zeros
    return new DataView(buffer, byteOffset, BLOCK_BYTES)
  }
  const [inodesInAll, blocks] = [word(inPlace(0), SUPERBLOCK_AT), word(inPlace(0), SUPERBLOCK_AT + 4)]
  const { groups, inodes, journalBlocks } = layoutOf(blocks)
  const isExt4 = half(inPlace(0), SUPERBLOCK_AT + 56) === EXT4_MAGIC
  if (!isExt4 || blocks === 0 || inodesInAll !== inodes * groups.length) return () => 'free'

  // `makeExt4` puts the journal behind the blocks of two folders. Linux does not move it.
  const journal = groups[0]!.data + 2
  const committed = committedBlocks((index) => inPlace(journal + index), journalBlocks)
  const newest = (block: number): DataView => committed.get(block) ?? inPlace(block)
  const paths = new Map([[ROOT, '/']])
  const ranges: { readonly start: number; readonly end: number; readonly owner: string }[] = []
  // Steps: a sound disk needs one for the extent of each block, and one for reading the block as metadata.
  let left = 2 * blocks

  function* extentsBelow(node: DataView, depth: number, owner: string): Generator<readonly [number, number]> {
    if (half(node, 0) !== EXTENT_MAGIC || half(node, 6) !== depth) return
    const entries = Math.min(half(node, 2), Math.floor(node.byteLength / 12) - 1)
    for (let at = 12; at <= 12 * entries && left-- > 0; at += 12) {
      const [child, start, length] = [word(node, at + 4), word(node, at + 8), half(node, at + 4)]
      if (depth === 0) yield [start, Math.min(blocks, start + length - (length > MOST_WRITTEN ? MOST_WRITTEN : 0))]
      else if (child < blocks) {
        ranges.push({ start: child, end: child + 1, owner: `extents of ${owner}` })
        yield* extentsBelow(newest(child), depth - 1, owner)
      }
    }
  }

  // A folder adds its files to the map in this loop.
  for (const [inode, path] of paths) {
    const [group, index] = [groups[Math.floor((inode - 1) / inodes)]!, (inode - 1) % inodes]
    const table = newest(group.table + Math.floor(index / INODES_PER_BLOCK))
    const at = (index % INODES_PER_BLOCK) * INODE_BYTES
    const isFolder = (half(table, at) & S_IFMT) === S_IFDIR
    const owner = isFolder && inode !== ROOT ? `${path}/` : path
    paths.set(inode, owner)
    const attributes = word(table, at + 104)
    if (attributes > 0) ranges.push({ start: attributes, end: attributes + 1, owner: `attributes of ${owner}` })
    // A short symbolic link has its text in place of extents.
    if ((word(table, at + 32) & EXTENTS_FLAG) === 0) continue
    const root = new DataView(table.buffer, table.byteOffset + at + 40, 60)
    for (const [start, end] of extentsBelow(root, Math.min(half(root, 6), MOST_DEPTH), owner)) {
      ranges.push({ start, end, owner })
      for (let block = start; isFolder && block < end && left-- > 0; block++) addEntries(newest(block), owner)
    }
  }

  /** Adds the entries of a folder's block. Nodes of its hash tree look like entries without an inode. */
  function addEntries(block: DataView, parent: string): void {
    for (let at = 0, bytes: number; at + 8 < BLOCK_BYTES; at += bytes) {
      const [inode, nameBytes] = [word(block, at), block.getUint8(at + 6)]
      bytes = half(block, at + 4)
      if (bytes < 8 + nameBytes || at + bytes > BLOCK_BYTES) return
      // `.` and `..` lead to folders that have their paths already.
      if (inode < LOST_FOUND || inode > inodesInAll || paths.has(inode)) continue
      const name = new TextDecoder().decode(new Uint8Array(block.buffer, block.byteOffset + at + 8, nameBytes))
      paths.set(inode, parent + plainLine(name))
    }
  }

  return (block) => {
    const index = Math.floor(block / GROUP_BLOCKS)
    const group = groups[index]
    if (group === undefined || block >= group.end) return 'free'
    if (block < group.blockBitmap) return block === group.start ? 'superblock' : 'descriptors'
    if (block < group.table) return 'bitmaps'
    if (block < group.data) {
      const before = index * inodes + (block - group.table) * INODES_PER_BLOCK
      const names = Array.from({ length: INODES_PER_BLOCK }, (_, i) => paths.get(before + 1 + i) ?? []).flat()
      if (names.length > MOST_NAMES) names.splice(MOST_NAMES, Infinity, '…')
      return names.length > 0 ? `inodes of ${names.join(', ')}` : 'inodes'
    }
    if (block >= journal && block < journal + journalBlocks) return 'journal'
    return ranges.find(({ start, end }) => start <= block && block < end)?.owner ?? 'free'
  }
}

/**
 * Returns the newest contents that the journal has for blocks. Escaped blocks stay as they are: no inode, folder or extent begins with
 * the journal's magic number. Checksums need a feature of the file system that `makeExt4` leaves off.
 */
function committedBlocks(log: (index: number) => DataView, most: number): ReadonlyMap<number, DataView> {
  const newest = new Map<number, DataView>()
  const [head, first, start] = [log(0), log(0).getUint32(20), log(0).getUint32(28)]
  const size = Math.min(head.getUint32(16), most) - first
  // An empty log has a start of 0.
  const isEmpty = head.getUint32(0) !== JOURNAL_MAGIC || first === 0 || start < first
  if (isEmpty || (head.getUint32(40) & TAG_FEATURES) > 0) return newest
  let [at, sequence] = [start - first, head.getUint32(24)]
  const next = (): DataView => log(first + (at++ % size))
  let logged: (readonly [number, DataView])[] = []
  let revoked: number[] = []
  while (at < start - first + size) {
    const block = next()
    if (block.getUint32(0) !== JOURNAL_MAGIC || block.getUint32(8) !== sequence) break
    const type = block.getUint32(4)
    for (let tag = 12, flags = 0; type === DESCRIPTOR && (flags & LAST_TAG) === 0 && tag + 8 <= BLOCK_BYTES;) {
      flags = block.getUint16(tag + 6)
      logged.push([block.getUint32(tag), next()])
      tag += (flags & SAME_UUID) === 0 ? 24 : 8
    }
    const end = type === REVOKE ? Math.min(block.getUint32(12), BLOCK_BYTES - 3) : 0
    for (let entry = 16; entry < end; entry += 4) revoked.push(block.getUint32(entry))
    if (type !== COMMIT) continue
    for (const [number, content] of logged) newest.set(number, content)
    // Contents of these blocks in this transaction and earlier ones are obsolete.
    for (const number of revoked) newest.delete(number)
    ;[logged, revoked, sequence] = [[], [], sequence + 1]
  }
  return newest
}
