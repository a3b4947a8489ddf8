import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core'
import type { RefObject } from 'preact'
import { useLayoutEffect, useState } from 'preact/hooks'

/** Rows that are there above and below those that are seen. */
const ROWS_BESIDE = 8
/** Rows that are seen behind one that is scrolled to. */
const ROWS_AFTER = 3
/** As the style sheet has it. */
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
  // As the library's own bindings to frameworks do.
  useLayoutEffect(() => rows._didMount(), [rows])
  useLayoutEffect(() => rows._willUpdate())
  return rows
}
