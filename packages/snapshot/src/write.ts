import { deflate, store } from './compression.ts'
import { distinctPages, PAGE_BYTES } from './equal-pages.ts'
import { SnapshotError } from './errors.ts'
import { encodeHead, encodeHeader, INDEX_BYTES, PAGES_A_SECTION, type SectionName } from './format.ts'
import { encodeState } from './plain-data.ts'

/** Contents of pages of memory. Pages that are not named are zeros. */
export interface SnapshotPages {
  /** Numbers of pages, from low to high. */
  readonly gfns: Uint32Array
  /** Contents in the same order, 4 KiB for each page. */
  readonly bytes: Uint8Array
}

/** The content of a snapshot file. */
export interface Snapshot {
  /** Facts that people and programs want to know before they restore it: plain data. */
  readonly description: unknown
  /** All state but the pages: plain data, which may have typed arrays and bigints. */
  readonly state: unknown
  /** Memory. */
  readonly pages: SnapshotPages
}

/** Options for writing a snapshot. */
export interface WriteSnapshotOptions {
  /** Called with the number of written pages. */
  readonly onProgress?: (done: number, all: number) => void
  /** Whether the file is compressed: otherwise it is larger, and read sooner. Default true. */
  readonly compressed?: boolean
}

/**
 * Writes a snapshot as a file. Pages of equal contents are written once.
 *
 * @param write - takes the file's bytes, piece by piece, in order
 * @throws SnapshotError `ERR_STATE` for a state that is no plain data, and pages that are out of order: nothing has been
 * written then; `ERR_HOST` for a host that cannot compress; errors of `write`
 */
export async function writeSnapshot(
  snapshot: Snapshot,
  write: (bytes: Uint8Array) => unknown,
  { onProgress, compressed = true }: WriteSnapshotOptions = {},
): Promise<void> {
  const { gfns, bytes } = snapshot.pages
  const pack = compressed ? deflate : store
  const begin = await encodeParts(snapshot, pack)
  const { contents, firsts } = distinctPages(bytes)
  async function* sections(): AsyncGenerator<PageSection<Uint8Array>, void, undefined> {
    for (let at = 0; at < firsts.length; at += PAGES_A_SECTION) {
      const some = firsts.slice(at, at + PAGES_A_SECTION)
      const piece = new Uint8Array(some.length * PAGE_BYTES)
      some.forEach((page, i) => piece.set(bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), i * PAGE_BYTES))
      yield pageSection(piece, pack)
      onProgress?.(at + some.length, firsts.length)
    }
  }
  await writeFile(begin, encodeMap(gfns, contents), sections(), write)
}

/** A section of pages. */
export interface PageSection<Part> {
  /** The parts of the file that belong to the section, including its head. */
  readonly parts: readonly Part[]
  /** Entry of the index. */
  readonly entry: Uint8Array
}

/** Makes bytes DEFLATE (RFC 1951). */
type Pack = (bytes: Uint8Array) => Promise<Uint8Array> | Uint8Array

/** Makes a section of pages. */
export async function pageSection(bytes: Uint8Array, pack: Pack = deflate): Promise<PageSection<Uint8Array>> {
  const parts = await section('PAGE', bytes, pack)
  return { parts, entry: parts[0]!.subarray(4, 4 + INDEX_BYTES) }
}

/**
 * Encodes all of a file except its pages.
 *
 * @throws SnapshotError as {@link writeSnapshot}
 */
export async function encodeParts(
  { description, state, pages }: Snapshot,
  pack: Pack = deflate,
): Promise<Uint8Array[]> {
  const text = new TextEncoder()
  const about = encodeState(description)
  if (about.bytes.length > 0)
    throw new SnapshotError('ERR_STATE', 'the description has a typed array: expected text and numbers')
  const encoded = encodeState(state)
  checkPages(pages)
  return [
    encodeHeader(),
    ...(await section('DESC', text.encode(about.text), pack)),
    ...(await section('STAT', text.encode(encoded.text), pack)),
    ...(await section('BYTE', encoded.bytes, pack)),
  ]
}

/** Writes a file of which all but the sections of pages is known, and their number. */
export async function writeFile<Part>(
  begin: readonly Uint8Array[],
  map: Uint8Array,
  sections: AsyncIterable<PageSection<Part>> | Iterable<PageSection<Uint8Array | Part>>,
  write: (part: Uint8Array | Part) => unknown,
): Promise<void> {
  const put = async (parts: readonly (Uint8Array | Part)[]): Promise<void> => {
    for (const part of parts) await write(part)
  }
  await put(begin)
  await put(await section('PMAP', map))
  const index: number[] = []
  for await (const { parts, entry } of sections) {
    await put(parts)
    index.push(...entry)
  }
  const entries = Uint8Array.from(index)
  await put([encodeHead('INDX', entries, 0), entries])
  await put(await section('END ', new Uint8Array()))
}

/** @returns a section's head and data */
async function section(name: SectionName, bytes: Uint8Array, pack: Pack = deflate): Promise<Uint8Array[]> {
  if (bytes.length === 0) return [encodeHead(name, bytes, 0)]
  const data = await pack(bytes)
  return [encodeHead(name, data, bytes.length), data]
}

/** Encodes two words for each page: its number, and its content's. */
export function encodeMap(gfns: Uint32Array, contents: Uint32Array): Uint8Array {
  const map = new Uint8Array(gfns.length * 8)
  const view = new DataView(map.buffer)
  for (let i = 0; i < gfns.length; i++) {
    view.setUint32(8 * i, gfns[i]!, true)
    view.setUint32(8 * i + 4, contents[i]!, true)
  }
  return map
}

/** @throws SnapshotError `ERR_STATE` */
function checkPages({ gfns, bytes }: SnapshotPages): void {
  if (bytes.length !== gfns.length * PAGE_BYTES)
    throw new SnapshotError('ERR_STATE', `${gfns.length} pages of ${bytes.length} bytes: expected ${PAGE_BYTES} each`)
  for (let i = 1; i < gfns.length; i++) {
    if (gfns[i]! <= gfns[i - 1]!)
      throw new SnapshotError('ERR_STATE', `page ${gfns[i]} after ${gfns[i - 1]}: expected them from low to high`)
  }
}
