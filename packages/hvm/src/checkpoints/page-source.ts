import { PAGE_BYTES } from '@retrap/memory'
import { HvmError } from '../errors.ts'

/** Contents of a guest's frames. Frames that are not named are zeros. */
export interface GuestPages {
  /** Guest frames, from low to high. */
  readonly gfns: Uint32Array
  /** Contents in the same order, 4 KiB for each frame. */
  readonly bytes: Uint8Array
  /** Frames that are not named are as they were at an earlier instant: nothing is restored from this alone. */
  readonly onlyWritten?: true
}

/** Contents of a guest's frames, read on demand. Frames not named are zero. */
export interface GuestPageSource {
  /** Guest frames, from low to high. */
  readonly gfns: Uint32Array
  /**
   * Returns the contents of one frame, at once: 4 KiB that stay as they are until the next call.
   *
   * @param index - in `gfns`
   */
  contents(index: number): Uint8Array
  /** Guest frames that the guest touches first: their contents are loaded first, together with the first page on demand. */
  readonly first?: Uint32Array
  /**
   * How many consecutive frames are brought at once: a power of two up to 512, the default. With 1, the calls of `contents`
   * tell which frames a guest touches.
   */
  readonly blockFrames?: number
  /**
   * Prefetches frames if reading is slow, so that `contents` is immediate.
   *
   * @param index - in `gfns`, of the first
   * @param end - in `gfns`, behind the last
   */
  ready?(index: number, end: number): Promise<void>
  /** Called when nothing more will be read. */
  close?(): void
}

const closed = new WeakSet<GuestPageSource>()

/** Notifies a source, once, that no more pages will be read. */
export function closePages(pages: GuestPages | GuestPageSource): void {
  // The argument may come from anywhere.
  if (typeof pages !== 'object' || pages === null || !('contents' in pages) || closed.has(pages)) return
  closed.add(pages)
  pages.close?.()
}

/** Reads contents that are in memory. @throws HvmError `ERR_STATE` for bytes that do not fit the frames */
export function sourceOf(pages: GuestPages | GuestPageSource): GuestPageSource {
  if ('contents' in pages) return pages
  const { gfns, bytes, onlyWritten } = pages
  if (onlyWritten === true)
    throw new HvmError('ERR_STATE', 'only the frames written since an earlier instant are here: expected all')
  if (bytes.length !== gfns.length * PAGE_BYTES)
    throw new HvmError('ERR_STATE', `${gfns.length} saved frames of ${bytes.length} bytes: expected ${PAGE_BYTES} each`)
  return { gfns, contents: (index) => bytes.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES) }
}
