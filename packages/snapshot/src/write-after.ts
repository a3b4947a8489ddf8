import { PAGE_BYTES } from './equal-pages.ts'
import { SnapshotError } from './errors.ts'
import { INDEX_BYTES, PAGES_A_SECTION } from './format.ts'
import { rangeOf, readPages, type SnapshotRange } from './open.ts'
import { findPages } from './page-places.ts'
import { decodeMap, Sections, type SnapshotSource } from './read.ts'
import { encodeMap, encodeParts, type PageSection, pageSection, type Snapshot, writeFile } from './write.ts'

/** Consecutive frames of a guest. */
export interface SnapshotFrames {
  /** First guest frame. */
  readonly gfn: number
  /** Number of frames. */
  readonly count: number
}

/** A section that is new, or that an earlier file has. */
type Section = PageSection<Uint8Array | SnapshotRange>

/**
 * Writes a snapshot as a file, of whose pages a later call needs those alone that have changed.
 *
 * Each section has the pages of 256 consecutive frames, zeros among them. So a page that changes, comes or goes changes its
 * own section and moves the others. The file is as much work to compress as that of `writeSnapshot`. It has pages of equal
 * contents more than once: DEFLATE makes them small.
 *
 * @param before - an earlier file, of which sections without a change are taken over; null: `pages` has all that are not zeros
 * @param snapshot - its `pages` may differ from the earlier file, and include zero pages
 * @param frames - all frames of the guest, from low to high
 * @param write - takes bytes, and ranges of the earlier file, in order
 * @throws SnapshotError as `writeSnapshot`; `ERR_STATE` for a page of no frame; as `openSnapshot` for the earlier file
 */
export async function writeSnapshotAfter(
  before: SnapshotSource | null,
  snapshot: Snapshot,
  frames: readonly SnapshotFrames[],
  write: (part: Uint8Array | SnapshotRange) => unknown,
): Promise<void> {
  const begin = await encodeParts(snapshot)
  const earlier = before === null ? null : await openEarlier(before)
  const { gfns, bytes } = snapshot.pages
  const named: number[] = []
  const sections: Section[] = []
  let at = 0
  for (const block of blocksOf(frames)) {
    const first = at
    while (at < gfns.length && gfns[at]! <= block.at(-1)!) at++
    const had = earlier?.find(block)
    if (at === first && had === undefined) continue
    const kept = had && earlier!.section(had)
    let section = at === first ? kept : undefined
    if (section === undefined) {
      const piece = had === undefined ? new Uint8Array(block.length * PAGE_BYTES) : await earlier!.read(had)
      const pages = bytes.subarray(first * PAGE_BYTES, at * PAGE_BYTES)
      const changes = put(piece, block, gfns.subarray(first, at), pages)
      if (isZero(piece)) continue
      section = (changes ? undefined : kept) ?? (await pageSection(piece))
    }
    for (const gfn of block) named.push(gfn)
    sections.push(section)
  }
  if (at < gfns.length) throw foreign(gfns[at]!)
  const map = encodeMap(
    Uint32Array.from(named),
    Uint32Array.from(named, (_, i) => i),
  )
  await writeFile(begin, map, sections, write)
}

const foreign = (gfn: number): SnapshotError =>
  new SnapshotError('ERR_STATE', `page ${gfn} is of none of the guest's frames`)

/** Yields frames in blocks of 256, in order. */
function* blocksOf(frames: readonly SnapshotFrames[]): Generator<readonly number[], void, undefined> {
  let block: number[] = []
  for (const { gfn, count } of frames) {
    for (let i = 0; i < count; i++) {
      block.push(gfn + i)
      if (block.length < PAGES_A_SECTION) continue
      yield block
      block = []
    }
  }
  if (block.length > 0) yield block
}

/** Copies pages to their places. @returns whether any has changed. @throws SnapshotError `ERR_STATE` */
function put(piece: Uint8Array, block: readonly number[], gfns: Uint32Array, bytes: Uint8Array): boolean {
  let changes = false
  gfns.forEach((gfn, i) => {
    const place = block.indexOf(gfn)
    if (place < 0) throw foreign(gfn)
    const page = bytes.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)
    const there = piece.subarray(place * PAGE_BYTES, (place + 1) * PAGE_BYTES)
    changes ||= !isSame(page, there)
    there.set(page)
  })
  return changes
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  for (let i = 0; i < PAGE_BYTES; i++) if (one[i] !== other[i]) return false
  return true
}

const isZero = (pages: Uint8Array): boolean =>
  new Uint32Array(pages.buffer, pages.byteOffset, pages.length / 4).every((word) => word === 0)

/** The pages of an earlier file. */
async function openEarlier(source: SnapshotSource) {
  const sections = new Sections(source)
  await sections.begin()
  for (const name of ['DESC', 'STAT', 'BYTE'] as const) await sections.skip(name)
  const { gfns, contents: numbers, count } = decodeMap(await sections.next('PMAP'))
  const places = await findPages(source, sections, count)
  let at = 0
  return {
    /**
     * Frames are asked for from low to high.
     *
     * @returns numbers of the block's contents, −1 for frames missing in the file; undefined if it has none of them
     */
    find(block: readonly number[]): readonly number[] | undefined {
      const found = block.map((gfn) => {
        while (at < gfns.length && gfns[at]! < gfn) at++
        return gfns[at] === gfn ? numbers[at]! : -1
      })
      return found.every((content) => content < 0) ? undefined : found
    },
    /** @returns undefined where no section has exactly these contents */
    section(contents: readonly number[]): Section | undefined {
      const first = contents[0]!
      const place = first % PAGES_A_SECTION === 0 ? places[first / PAGES_A_SECTION] : undefined
      if (place?.head.bytes !== contents.length * PAGE_BYTES || contents.some((content, i) => content !== first + i))
        return undefined
      const [offset, bytes] = rangeOf(place)
      const entry = new Uint8Array(INDEX_BYTES)
      const view = new DataView(entry.buffer)
      view.setUint32(0, place.head.checksum, true)
      view.setUint32(4, place.head.stored, true)
      return { parts: [{ offset, bytes }], entry }
    },
    /** Returns a copy of pages, with zeros for pages that the file lacks. */
    async read(contents: readonly number[]): Promise<Uint8Array> {
      const into = new Uint8Array(contents.length * PAGE_BYTES)
      const section = (content: number): number => Math.floor(content / PAGES_A_SECTION)
      for (const number of new Set(contents.map(section))) {
        if (number < 0) continue
        const pages = await readPages(source, places[number]!)
        contents.forEach((content, i) => {
          const from = (content % PAGES_A_SECTION) * PAGE_BYTES
          if (section(content) === number) into.set(pages.subarray(from, from + PAGE_BYTES), i * PAGE_BYTES)
        })
      }
      return into
    },
  }
}
