import { crc32, PAGE_BYTES } from './equal-pages.ts'
import { inflate } from './compression.ts'
import { SnapshotError } from './errors.ts'
import {
  checkHeader,
  decodeHead,
  HEADER_BYTES,
  isSizeOf,
  MOST_PAGES,
  PAGES_A_SECTION,
  SECTION_BYTES,
  type SectionHead,
  type SectionName,
} from './format.ts'
import { decodeState } from './plain-data.ts'
import type { Snapshot } from './write.ts'

/** The bytes of a snapshot, for example a file. */
export interface SnapshotSource {
  /** Size in bytes. */
  readonly bytes: number
  /** Reads a part of the snapshot. @returns fewer bytes at the end */
  read(offset: number, bytes: number): Uint8Array | Promise<Uint8Array>
}

export interface ReadSnapshotOptions {
  /** Called with the bytes of the file read so far. */
  readonly onProgress?: (done: number, all: number) => void
}

/** Takes a whole file's bytes as a source. */
export const bytesSource = (file: Uint8Array): SnapshotSource => ({
  bytes: file.length,
  read: (offset, bytes) => file.subarray(offset, offset + bytes),
})

/** Reads and checks successive sections of a file. */
export class Sections {
  readonly #source: SnapshotSource
  #at = HEADER_BYTES

  constructor(source: SnapshotSource) {
    this.#source = source
  }

  get at(): number {
    return this.#at
  }

  async begin(): Promise<void> {
    checkHeader(await this.#source.read(0, HEADER_BYTES))
  }

  /** Reads a section's bytes. @throws SnapshotError `ERR_TRUNCATED`, `ERR_DAMAGED`, saying where */
  async next(expected: SectionName): Promise<Uint8Array> {
    const at = this.#at
    const head = await this.#head(expected)
    if (!isSizeOf(expected, head)) throw damagedSection(expected, at)
    const data = await this.#read(head.stored, expected)
    const good = crc32(data) === head.checksum
    const bytes = !good ? undefined : head.bytes === 0 ? data : await inflate(data, head.bytes)
    if (bytes === undefined) throw damagedSection(expected, this.#at - data.length)
    return bytes
  }

  /** Finds a section's bytes, and does not read them. @throws as `next` */
  async skip(expected: SectionName): Promise<SectionPlace> {
    const before = this.#at
    const head = await this.#head(expected)
    if (!isSizeOf(expected, head)) throw damagedSection(expected, before)
    const at = this.#at
    if (at + head.stored > this.#source.bytes) await this.#read(head.stored, expected)
    this.#at += head.stored
    return { head, at }
  }

  async #head(expected: SectionName): Promise<SectionHead> {
    const at = this.#at
    const head = decodeHead(await this.#read(SECTION_BYTES, expected))
    if (head?.name !== expected) throw damagedSection(expected, at)
    return head
  }

  async #read(bytes: number, section: SectionName): Promise<Uint8Array> {
    const at = this.#at
    const found = bytes === 0 ? new Uint8Array() : await this.#source.read(at, bytes)
    if (found.length < bytes) {
      const where = `after ${at + found.length} bytes, in section ${section.trim()}`
      throw new SnapshotError('ERR_TRUNCATED', `the snapshot ends ${where}`)
    }
    this.#at += bytes
    return found
  }
}

/** The place of a section's bytes in the file. */
export interface SectionPlace {
  readonly head: SectionHead
  readonly at: number
}

export const damagedSection = (section: SectionName, at: number): SnapshotError =>
  new SnapshotError('ERR_DAMAGED', `the snapshot is damaged in section ${section.trim()}, at byte ${at}`)

/**
 * Reads only the description from a snapshot file.
 *
 * @throws SnapshotError as {@link readSnapshot}
 */
export async function readSnapshotDescription(source: SnapshotSource): Promise<unknown> {
  const sections = new Sections(source)
  await sections.begin()
  return decodeState({ text: textOf(await sections.next('DESC')), bytes: new Uint8Array() })
}

/**
 * Reads a snapshot file, whole and checked.
 *
 * @throws SnapshotError `ERR_NOT_A_SNAPSHOT`, `ERR_VERSION`, `ERR_TRUNCATED`, `ERR_DAMAGED`, saying where; `ERR_HOST` for more
 * pages than the host has memory for; errors of the source
 */
export async function readSnapshot(
  source: SnapshotSource,
  { onProgress }: ReadSnapshotOptions = {},
): Promise<Snapshot> {
  const { sections, description, state, map } = await readParts(source)
  const { gfns, contents, count } = map
  const bytes = room(gfns.length)
  const usedBy = pagesByContent(contents, count)
  for (let first = 0; first < count; first += PAGES_A_SECTION) {
    const pages = Math.min(PAGES_A_SECTION, count - first)
    const piece = await sections.next('PAGE')
    if (piece.length !== pages * PAGE_BYTES) throw damagedMap()
    for (let i = 0; i < pages; i++) {
      const content = piece.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)
      for (let page = usedBy.first[first + i]!; page >= 0; page = usedBy.next[page]!)
        bytes.set(content, page * PAGE_BYTES)
    }
    onProgress?.(sections.at, source.bytes)
  }
  await sections.next('INDX')
  await sections.next('END ')
  return { description, state, pages: { gfns, bytes } }
}

/** All of a file but its pages, of which the first is read next. */
export interface SnapshotParts {
  readonly sections: Sections
  readonly description: unknown
  readonly state: unknown
  readonly map: PageMap
}

/** Reads all that comes before the pages. @throws SnapshotError as {@link readSnapshot} */
export async function readParts(source: SnapshotSource): Promise<SnapshotParts> {
  const sections = new Sections(source)
  await sections.begin()
  const description = decodeState({ text: textOf(await sections.next('DESC')), bytes: new Uint8Array() })
  const text = textOf(await sections.next('STAT'))
  const state = decodeState({ text, bytes: await sections.next('BYTE') })
  return { sections, description, state, map: decodeMap(await sections.next('PMAP')) }
}

/** @throws SnapshotError `ERR_HOST` for more pages than the host has memory for */
function room(pages: number): Uint8Array {
  try {
    return new Uint8Array(pages * PAGE_BYTES)
  } catch (error) {
    const what = `the host has no room for the ${pages} pages of the snapshot`
    throw new SnapshotError('ERR_HOST', what, { cause: error })
  }
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** The error of a list of pages that does not fit the pages. */
export const damagedMap = (): SnapshotError =>
  new SnapshotError('ERR_DAMAGED', "the snapshot's list of pages is not one that was written")

/** The pages of a snapshot, by frame. */
interface PageMap {
  readonly gfns: Uint32Array
  /** Number of each page's content. */
  readonly contents: Uint32Array
  /** Number of distinct contents. */
  readonly count: number
}

/** @throws SnapshotError `ERR_DAMAGED` */
export function decodeMap(map: Uint8Array): PageMap {
  const length = map.length / 8
  if (!Number.isInteger(length) || length > MOST_PAGES) throw damagedMap()
  const view = new DataView(map.buffer, map.byteOffset, map.length)
  const gfns = new Uint32Array(length)
  const contents = new Uint32Array(length)
  let count = 0
  for (let i = 0; i < length; i++) {
    const gfn = (gfns[i] = view.getUint32(8 * i, true))
    const content = (contents[i] = view.getUint32(8 * i + 4, true))
    // Contents are numbered in order of first use.
    if (content > count || (i > 0 && gfn <= gfns[i - 1]!)) throw damagedMap()
    if (content === count) count++
  }
  return { gfns, contents, count }
}

/** Builds linked lists of the pages with each content: the first page, and each page's next one. −1: none. */
function pagesByContent(contents: Uint32Array, count: number): { first: Int32Array; next: Int32Array } {
  const first = new Int32Array(count).fill(-1)
  const next = new Int32Array(contents.length)
  for (let page = contents.length - 1; page >= 0; page--) {
    const content = contents[page]!
    next[page] = first[content]!
    first[content] = page
  }
  return { first, next }
}
