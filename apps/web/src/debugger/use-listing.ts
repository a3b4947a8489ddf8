import type { Machine } from '@retrap/web'
import { useLayoutEffect, useState } from 'preact/hooks'
import type { Vcpu } from '../inspector/disassembly.ts'
import { useRead } from '../inspector/view.ts'
import { beginBefore, emptyListing, type Listing, pagesOf, readOn, rowOf } from './listing.ts'
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core'
import type { RefObject } from 'preact'

/** Rows rendered above and below the visible ones. */
const ROWS_BESIDE = 8
/** Rows kept visible after the row scrolled to. */
const ROWS_AFTER = 3
/** Height of a row, as in the style sheet. */
const ROW_REM = 1.5

/** Keeps those rows of a long list in the page that are seen in the element that scrolls. */
export function useRows(
  place: RefObject<HTMLDivElement | null>,
  count: number,
): Virtualizer<HTMLDivElement, HTMLLIElement> {
  const [, setChanges] = useState(0)
  const [height] = useState(() => ROW_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize))
  const options = {
    count,
    getScrollElement: () => place.current,
    estimateSize: () => height,
    overscan: ROWS_BESIDE,
    scrollPaddingEnd: ROWS_AFTER * height,
    scrollToFn: elementScroll,
    observeElementRect,
    observeElementOffset,
    onChange: () => setChanges((changes) => changes + 1),
  }
  const [rows] = useState(() => new Virtualizer<HTMLDivElement, HTMLLIElement>(options))
  rows.setOptions(options)
  // Reports as the library's own bindings to frameworks do.
  useLayoutEffect(() => rows._didMount(), [rows])
  useLayoutEffect(() => rows._willUpdate())
  return rows
}

/** A longer listing is not read again with each step. */
const MOST_PAGES = 8
/** Rows loaded ahead of the visible ones. */
const ROWS_AHEAD = 60

/** The code around an instruction: as long as the next one is of the listing, it stays. */
interface ListedCode {
  readonly listing: Listing
  /** Reports the last visible row, so that more are loaded in time. */
  readonly see: (row: number) => void
}

export function useListing(machine: Machine, { address, mode }: Vcpu): ListedCode {
  const [listing, setListing] = useState<Listing>(() => emptyListing(address, mode))
  const [seen, see] = useState(0)
  const read = async (): Promise<Listing> => {
    const pages = pagesOf(listing)
    const first = listing.rows[0]?.address
    const stays = listing.mode === mode && pages <= MOST_PAGES && rowOf(listing, address) >= 0
    // The code itself may have changed meanwhile.
    let found = stays && first !== undefined ? await readOn(machine, emptyListing(first, mode), pages) : null
    if (found === null || rowOf(found, address) < 0) {
      const begin = await beginBefore(machine, address, mode)
      found = await readOn(machine, emptyListing(begin, mode), 1)
      // In overlapping code the decoding from an earlier row may skip the address.
      if (rowOf(found, address) < 0) found = await readOn(machine, emptyListing(address, mode), 1)
    }
    return found
  }
  useRead(read, setListing, [machine, address, mode])
  const isShort = !listing.isWhole && listing.rows.length > 0 && seen + ROWS_AHEAD > listing.rows.length
  // A newer listing may exist that is not shown yet.
  const take = (longer: Listing): void => setListing((now) => (now === listing ? longer : now))
  useRead(isShort ? () => readOn(machine, listing, 1) : null, take, [machine, listing, isShort])
  return { listing, see }
}
