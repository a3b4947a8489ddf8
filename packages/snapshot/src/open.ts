import { crc32 } from './checksum.ts'
import { PAGE_BYTES } from './equal-pages.ts'
import { SnapshotError } from './errors.ts'
import { damagedMap, damagedSection, readParts, type SectionPlace, type SnapshotSource } from './read.ts'
import { PAGES_A_SECTION } from './write.ts'

/** Decompressed sections that are kept: equal pages lie where they came first. */
const KEPT_SECTIONS = 16

/** A snapshot file whose pages are read when they are needed. */
export interface LateSnapshotSource extends SnapshotSource {
  /** As `read`, at once. */
  readNow(offset: number, bytes: number): Uint8Array
  /** Decompresses DEFLATE (RFC 1951) at once. @throws for what is not valid, or becomes more than `bytes` */
  inflateNow(data: Uint8Array, bytes: number): Uint8Array
}

/** A snapshot file of which all but the pages has been read. */
export interface OpenSnapshot {
  /** As of `Snapshot`. */
  readonly description: unknown
  /** As of `Snapshot`. */
  readonly state: unknown
  /** Memory. */
  readonly pages: {
    /** Numbers of pages, from low to high. */
    readonly gfns: Uint32Array
    /**
     * Reads the contents of one, at once: 4 KiB, not to be changed.
     *
     * @param index - in `gfns`
     * @throws SnapshotError `ERR_DAMAGED`, `ERR_TRUNCATED`; what the source throws
     */
    contents(index: number): Uint8Array
  }
}

/**
 * Reads all of a snapshot file but its pages, and finds where these are. Damage of a page shows when the page is read;
 * that the file has all of its sections is checked now.
 *
 * @throws SnapshotError as `readSnapshot`
 */
export async function openSnapshot(source: LateSnapshotSource): Promise<OpenSnapshot> {
  const { sections, description, state, map } = await readParts(source)
  const { gfns, contents, count } = map
  const places: SectionPlace[] = []
  for (let first = 0; first < count; first += PAGES_A_SECTION) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const place = await sections.skip('PAGE')
    if (place.head.bytes !== Math.min(PAGES_A_SECTION, count - first) * PAGE_BYTES) throw damagedMap()
    places.push(place)
  }
  await sections.next('END ')
  const kept = new KeptSections(source, places)
  return { description, state, pages: { gfns, contents: (index) => kept.content(contents[index]!) } }
}

/** Sections of pages, of which those that were used last are kept decompressed. */
class KeptSections {
  readonly #source: LateSnapshotSource
  readonly #places: readonly SectionPlace[]
  /** In the order of their last use. */
  readonly #kept = new Map<number, Uint8Array>()

  constructor(source: LateSnapshotSource, places: readonly SectionPlace[]) {
    this.#source = source
    this.#places = places
  }

  content(content: number): Uint8Array {
    const number = Math.floor(content / PAGES_A_SECTION)
    const at = (content % PAGES_A_SECTION) * PAGE_BYTES
    const section = this.#kept.get(number) ?? this.#read(number)
    this.#kept.delete(number)
    this.#kept.set(number, section)
    if (this.#kept.size > KEPT_SECTIONS) this.#kept.delete(this.#kept.keys().next().value!)
    return section.subarray(at, at + PAGE_BYTES)
  }

  #read(number: number): Uint8Array {
    const { head, at } = this.#places[number]!
    const data = this.#source.readNow(at, head.stored)
    if (data.length < head.stored)
      throw new SnapshotError(
        'ERR_TRUNCATED',
        `the snapshot ends after ${at + data.length} bytes, in section ${head.name}`,
      )
    if (crc32(data) !== head.checksum) throw damagedSection('PAGE', at)
    try {
      const bytes = this.#source.inflateNow(data, head.bytes)
      if (bytes.length === head.bytes) return bytes
    } catch (error) {
      throw new SnapshotError('ERR_DAMAGED', damagedSection('PAGE', at).message, { cause: error })
    }
    throw damagedSection('PAGE', at)
  }
}
