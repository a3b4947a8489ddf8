import { crc32, PAGE_BYTES } from './equal-pages.ts'
import { inflate } from './compression.ts'
import { SnapshotError } from './errors.ts'
import { PAGES_A_SECTION, SECTION_BYTES } from './format.ts'
import { findPages, isHeadOf } from './page-places.ts'
import { damagedSection, readParts, type SectionPlace, type SnapshotSource } from './read.ts'

/** Number of decompressed sections kept: equal pages are stored with the first of them. */
const KEPT_SECTIONS = 16

/** A snapshot file whose pages are read on demand. */
export interface LateSnapshotSource extends SnapshotSource {
  /** Reads as `read`, at once. */
  readNow(offset: number, bytes: number): Uint8Array
  /** Decompresses DEFLATE (RFC 1951) at once. @throws for data that are invalid, or become more than `bytes` */
  inflateNow(data: Uint8Array, bytes: number): Uint8Array
}

/** A part of a file. */
export interface SnapshotRange {
  /** First byte. */
  readonly offset: number
  /** Number of bytes. */
  readonly bytes: number
}

/** A snapshot file of which all but the pages has been read. */
export interface OpenSnapshot {
  /** See `Snapshot`. */
  readonly description: unknown
  /** See `Snapshot`. */
  readonly state: unknown
  /** Memory. */
  readonly pages: {
    /** Numbers of pages, from low to high. */
    readonly gfns: Uint32Array
    /**
     * Reads the contents of one, at once: 4 KiB, not to be changed.
     *
     * @param index - in `gfns`
     * @throws SnapshotError `ERR_DAMAGED`, `ERR_TRUNCATED`; errors of the source
     */
    contents(index: number): Uint8Array
    /** Returns the range of the file that `contents` reads for a page unless cached, for prefetching. */
    placeOf(index: number): SnapshotRange
    /**
     * Reads and decompresses ahead the data that `contents` needs for one, and keeps it until then: hosts decompress several
     * times as fast as `inflateNow` does.
     *
     * @throws as `contents`
     */
    prepare(index: number): Promise<void>
    /**
     * Reads and checks all contents without keeping them, before a machine is made of them.
     *
     * @param onProgress - called with the bytes of contents read so far, and their total
     * @throws SnapshotError `ERR_DAMAGED`, `ERR_TRUNCATED` with the place; errors of the source
     */
    verify(onProgress?: (done: number, all: number) => void): Promise<void>
  }
}

/**
 * Reads a snapshot file without its pages, and locates the pages. Each page is checked when it is read; the presence of
 * all sections is checked now.
 *
 * @throws SnapshotError as `readSnapshot`
 */
export async function openSnapshot(source: LateSnapshotSource): Promise<OpenSnapshot> {
  const { sections, description, state, map } = await readParts(source)
  const { gfns, contents, count } = map
  const places = await findPages(source, sections, count)
  const kept = new KeptSections(source, places)
  const placeOf = (index: number): SnapshotRange => {
    const [offset, bytes] = rangeOf(places[Math.floor(contents[index]! / PAGES_A_SECTION)]!)
    return { offset, bytes }
  }
  const verify: OpenSnapshot['pages']['verify'] = async (onProgress) => {
    const all = places.reduce((sum, { head }) => sum + head.stored, 0)
    let done = 0
    for (const place of places) {
      dataOf(place, await source.read(...rangeOf(place)))
      onProgress?.((done += place.head.stored), all)
    }
  }
  const pages = {
    ...{ gfns, placeOf, verify },
    contents: (index: number) => kept.content(contents[index]!),
    prepare: (index: number) => kept.prepare(contents[index]!),
  }
  return { description, state, pages }
}

/** Returns the range of a section with its head: offset and length. */
export const rangeOf = ({ at, head }: SectionPlace): [offset: number, bytes: number] => [
  at - SECTION_BYTES,
  SECTION_BYTES + head.stored,
]

/**
 * Checks a section's data by its checksum.
 *
 * @returns the section's intact data
 * @throws SnapshotError `ERR_DAMAGED`, `ERR_TRUNCATED`
 */
function dataOf({ at, head }: SectionPlace, found: Uint8Array): Uint8Array {
  const data = found.subarray(SECTION_BYTES)
  if (data.length < head.stored)
    throw new SnapshotError(
      'ERR_TRUNCATED',
      `the snapshot ends after ${at - SECTION_BYTES + found.length} bytes, in section ${head.name}`,
    )
  if (!isHeadOf(found.subarray(0, SECTION_BYTES), head) || crc32(data) !== head.checksum)
    throw damagedSection('PAGE', at)
  return data
}

/** Reads and decompresses a section of pages. @throws SnapshotError `ERR_DAMAGED`, `ERR_TRUNCATED` */
export async function readPages(source: SnapshotSource, place: SectionPlace): Promise<Uint8Array> {
  const bytes = await inflate(dataOf(place, await source.read(...rangeOf(place))), place.head.bytes)
  if (bytes === undefined) throw damagedSection('PAGE', place.at)
  return bytes
}

/** Sections of pages, with a cache of recently decompressed ones. */
class KeptSections {
  readonly #source: LateSnapshotSource
  readonly #places: readonly SectionPlace[]
  /** Sections in the order of their last use. */
  readonly #kept = new Map<number, Uint8Array>()
  /** Decompressed ahead, and not used yet. */
  readonly #ahead = new Map<number, Uint8Array>()
  /** Being read ahead. */
  readonly #coming = new Map<number, Promise<void>>()

  constructor(source: LateSnapshotSource, places: readonly SectionPlace[]) {
    this.#source = source
    this.#places = places
  }

  content(content: number): Uint8Array {
    const number = Math.floor(content / PAGES_A_SECTION)
    const at = (content % PAGES_A_SECTION) * PAGE_BYTES
    const section = this.#kept.get(number) ?? this.#ahead.get(number) ?? this.#read(number)
    this.#kept.delete(number)
    this.#ahead.delete(number)
    this.#kept.set(number, section)
    if (this.#kept.size > KEPT_SECTIONS) this.#kept.delete(this.#kept.keys().next().value!)
    return section.subarray(at, at + PAGE_BYTES)
  }

  prepare(content: number): Promise<void> {
    const number = Math.floor(content / PAGES_A_SECTION)
    if (this.#kept.has(number) || this.#ahead.has(number)) return Promise.resolve()
    const coming = this.#coming.get(number) ?? this.#readAhead(number).finally(() => this.#coming.delete(number))
    this.#coming.set(number, coming)
    return coming
  }

  async #readAhead(number: number): Promise<void> {
    const bytes = await readPages(this.#source, this.#places[number]!)
    // The guest may have needed the section meanwhile.
    if (!this.#kept.has(number)) this.#ahead.set(number, bytes)
  }

  #read(number: number): Uint8Array {
    const place = this.#places[number]!
    const { head, at } = place
    const data = dataOf(place, this.#source.readNow(...rangeOf(place)))
    try {
      const bytes = this.#source.inflateNow(data, head.bytes)
      if (bytes.length === head.bytes) return bytes
    } catch (error) {
      throw new SnapshotError('ERR_DAMAGED', damagedSection('PAGE', at).message, { cause: error })
    }
    throw damagedSection('PAGE', at)
  }
}
