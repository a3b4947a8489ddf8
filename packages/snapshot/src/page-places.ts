import { crc32, PAGE_BYTES } from './equal-pages.ts'
import {
  decodeHead,
  encodeHead,
  INDEX_BYTES,
  isSizeOf,
  PAGES_A_SECTION,
  SECTION_BYTES,
  type SectionHead,
} from './format.ts'
import { damagedMap, damagedSection, type SectionPlace, type Sections, type SnapshotSource } from './read.ts'

/**
 * Finds the sections of pages, by the index at the file's end: one read, whatever the file's size.
 *
 * @param sections - reader positioned before the first page section
 * @param count - number of contents in the sections
 * @throws SnapshotError `ERR_TRUNCATED`, `ERR_DAMAGED`, saying where
 */
export async function findPages(source: SnapshotSource, sections: Sections, count: number): Promise<SectionPlace[]> {
  const found = await readIndex(source, sections.at, count)
  if (found !== undefined) return found
  // The section-by-section reading shows the damage of the file, and its place.
  const at = await followHeads(sections, count)
  await sections.next('INDX')
  await sections.next('END ')
  throw damagedSection('INDX', at)
}

/** @returns undefined if the file's end is damaged */
async function readIndex(source: SnapshotSource, first: number, count: number): Promise<SectionPlace[] | undefined> {
  const entries = Math.ceil(count / PAGES_A_SECTION)
  const bytes = SECTION_BYTES + entries * INDEX_BYTES + SECTION_BYTES
  const start = source.bytes - bytes
  if (start < first) return undefined
  const tail = await source.read(start, bytes)
  if (tail.length < bytes) return undefined
  const data = tail.subarray(SECTION_BYTES, bytes - SECTION_BYTES)
  const head = decodeHead(tail.subarray(0, SECTION_BYTES))
  const isIndex = head?.name === 'INDX' && head.stored === data.length && head.checksum === crc32(data)
  const end = encodeHead('END ', new Uint8Array(), 0)
  if (!isIndex || end.some((byte, i) => tail[bytes - SECTION_BYTES + i] !== byte)) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.length)
  const places: SectionPlace[] = []
  let at = first
  for (let i = 0; i < entries; i++) {
    const [checksum, stored] = [view.getUint32(i * INDEX_BYTES, true), view.getUint32(i * INDEX_BYTES + 4, true)]
    at += SECTION_BYTES
    const head = { name: 'PAGE', checksum, stored, bytes: pageBytes(count, i) }
    if (!isSizeOf('PAGE', head)) return undefined
    places.push({ at, head })
    at += stored
  }
  return at === start ? places : undefined
}

/** @returns end of the page sections. @throws SnapshotError */
async function followHeads(sections: Sections, count: number): Promise<number> {
  for (let i = 0; i * PAGES_A_SECTION < count; i++) {
    const { head } = await sections.skip('PAGE')
    if (head.bytes !== pageBytes(count, i)) throw damagedMap()
  }
  return sections.at
}

const pageBytes = (count: number, section: number): number =>
  Math.min(PAGES_A_SECTION, count - section * PAGES_A_SECTION) * PAGE_BYTES

/** Whether a section's head is the one that the index has. */
export function isHeadOf(bytes: Uint8Array, expected: SectionHead): boolean {
  const head = decodeHead(bytes)
  return (
    head?.name === expected.name &&
    head.checksum === expected.checksum &&
    head.stored === expected.stored &&
    head.bytes === expected.bytes
  )
}
