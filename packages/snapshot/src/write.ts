import { deflate } from './compression.ts'
import { distinctPages, PAGE_BYTES } from './equal-pages.ts'
import { SnapshotError } from './errors.ts'
import { encodeHead, encodeHeader, INDEX_BYTES, PAGES_A_SECTION, type SectionName } from './format.ts'
import { encodeState } from './plain-data.ts'

/** Contents of pages of memory. Pages that are not named are zeros. */
export interface SnapshotPages {
  /** Numbers of pages, from low to high. */
  readonly gfns: Uint32Array
  /** Bytes in the same order, 4 KiB each. */
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

/** How a snapshot is written. */
export interface WriteSnapshotOptions {
  /** Told how many of the pages are written. */
  readonly onProgress?: (done: number, all: number) => void
}

/**
 * Writes a snapshot as a file. Pages of equal contents are written once.
 *
 * @param write - takes the file's bytes, piece by piece, in order
 * @throws SnapshotError `ERR_STATE` for a state that is no plain data, and pages that are out of order: nothing has been
 *   written then; `ERR_HOST` for a host that cannot compress; what `write` throws
 */
export async function writeSnapshot(
  { description, state, pages }: Snapshot,
  write: (bytes: Uint8Array) => unknown,
  { onProgress }: WriteSnapshotOptions = {},
): Promise<void> {
  const text = new TextEncoder()
  const about = encodeState(description)
  if (about.bytes.length > 0)
    throw new SnapshotError('ERR_STATE', 'the description has a typed array: expected text and numbers')
  const encoded = encodeState(state)
  checkPages(pages)
  await write(encodeHeader())
  const put = async (name: SectionName, data: Uint8Array, bytes: number): Promise<Uint8Array> => {
    const head = encodeHead(name, data, bytes)
    await write(head)
    if (data.length > 0) await write(data)
    return head
  }
  const section = async (name: SectionName, bytes: Uint8Array): Promise<Uint8Array> =>
    put(name, bytes.length === 0 ? bytes : await deflate(bytes), bytes.length)
  await section('DESC', text.encode(about.text))
  await section('STAT', text.encode(encoded.text))
  await section('BYTE', encoded.bytes)
  const { contents, firsts } = distinctPages(pages.bytes)
  await section('PMAP', encodeMap(pages.gfns, contents))
  const index = new Uint8Array(Math.ceil(firsts.length / PAGES_A_SECTION) * INDEX_BYTES)
  for (let at = 0; at < firsts.length; at += PAGES_A_SECTION) {
    const some = firsts.slice(at, at + PAGES_A_SECTION)
    const piece = new Uint8Array(some.length * PAGE_BYTES)
    some.forEach((page, i) =>
      piece.set(pages.bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES), i * PAGE_BYTES),
    )
    // oxlint-disable-next-line no-await-in-loop -- in order, and no more than one in memory
    const head = await section('PAGE', piece)
    index.set(head.subarray(4, 4 + INDEX_BYTES), (at / PAGES_A_SECTION) * INDEX_BYTES)
    onProgress?.(at + some.length, firsts.length)
  }
  await put('INDX', index, 0)
  await section('END ', new Uint8Array())
}

/** Two words a page: its number and that of its content. */
function encodeMap(gfns: Uint32Array, contents: Uint32Array): Uint8Array {
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
