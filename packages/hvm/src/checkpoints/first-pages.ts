import { PAGE_BYTES } from '@retrap/memory'
import { HvmError } from '../errors.ts'
import type { GuestPages, GuestPageSource } from './page-source.ts'

/** Contents that come when a guest touches them, frame by frame. */
export interface TouchedPages extends GuestPageSource {
  /** The contents that have come. */
  touched(): GuestPages
}

/** Has a guest show which of its frames it touches. The others do not come by themselves. */
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
    // Never: it would bring them all.
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
 * @param begun - what is read ahead begins then
 * @throws HvmError `ERR_STATE` for a first part that is no pages
 */
export function withFirstPages(source: GuestPageSource, first: GuestPages, begun: Promise<void>): GuestPageSource {
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

/** A page beside the first ones costs its block. */
const BLOCK_FRAMES = 32
