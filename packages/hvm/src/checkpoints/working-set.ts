import { PAGE_BYTES } from '@retrap/memory'
import { HvmError } from '../errors.ts'
import type { GuestPages, GuestPageSource } from './page-source.ts'

/** Page contents that are loaded when the guest touches them, frame by frame. */
export interface TouchedPages extends GuestPageSource {
  /** Returns the contents loaded so far. */
  touched(): GuestPages
}

/** Makes a source that records which frames a guest touches. Other frames are not loaded. */
export function touchedPages({ gfns, bytes }: GuestPages): TouchedPages {
  const touched = new Set<number>()
  const page = (index: number): Uint8Array => bytes.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)
  return {
    gfns,
    contents(index) {
      touched.add(index)
      return page(index)
    },
    blockFrames: 1,
    // Never resolves: the caller would load all frames first.
    ready: () => new Promise(() => {}),
    touched() {
      const indices = Uint32Array.from(touched).sort()
      const found = new Uint8Array(indices.length * PAGE_BYTES)
      indices.forEach((index, at) => found.set(page(index), at * PAGE_BYTES))
      return { gfns: indices.map((index) => gfns[index]!), bytes: found }
    },
  }
}

/**
 * Has pages at hand that a guest touches first, so that it can begin before the others can be read.
 *
 * @param source - all pages
 * @param first - some of them
 * @param begun - resolves when reading ahead may begin
 * @throws HvmError `ERR_STATE` for a first part that is no pages
 */
export function withWorkingSet(source: GuestPageSource, first: GuestPages, begun: Promise<void>): GuestPageSource {
  const { gfns, bytes } = first
  if (!(gfns instanceof Uint32Array && bytes instanceof Uint8Array && bytes.length === gfns.length * PAGE_BYTES))
    throw new HvmError('ERR_STATE', 'its first pages are damaged')
  const places = new Map(Array.from(gfns, (gfn, at) => [gfn, at * PAGE_BYTES]))
  return {
    ...source,
    contents(index) {
      const at = places.get(source.gfns[index]!)
      return at === undefined ? source.contents(index) : bytes.subarray(at, at + PAGE_BYTES)
    },
    async ready(index, end) {
      await begun
      return source.ready?.(index, end)
    },
    first: gfns,
    blockFrames: BLOCK_FRAMES,
  }
}

/** Frames per block: a first page makes its whole block load. */
const BLOCK_FRAMES = 32
