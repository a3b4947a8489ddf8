import type { Machine } from '@retrap/web'
import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core'
import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { addressText, type Vcpu } from '../inspector/disassembly.ts'
import { useRead } from '../inspector/view.ts'
import type { PanelProps } from '../tabs.tsx'
import { beginBefore, emptyListing, type Listing, pagesOf, readOn, rowOf } from './listing.ts'
import { hex } from './stop-text.ts'
import { useNames } from './symbols.tsx'
import type { DebuggerView } from './use-debugger.ts'

/** Rows rendered above and below the visible ones. */
const ROWS_BESIDE = 8
/** Rows kept visible after the row scrolled to. */
const ROWS_AFTER = 3
/** Height of a row, as in the style sheet. */
const ROW_REM = 1.5

/** Keeps those rows of a long list in the page that are seen in the element that scrolls. */
function useRows(place: RefObject<HTMLDivElement | null>, count: number): Virtualizer<HTMLDivElement, HTMLLIElement> {
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

/**
 * The code around an instruction: as long as the next one is of the listing, it stays. `see` takes the last visible row, so that more are
 * loaded in time.
 */
function useListing(machine: Machine, { address, mode }: Vcpu) {
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

interface CodeProps extends Pick<DebuggerView, 'stops' | 'sought'>, Pick<PanelProps, 'machine' | 'attempt'> {
  readonly setStops: (stops: DebuggerView['stops']) => void
  readonly vcpu: Vcpu
}

/** Whether a row is visible. */
const isInside = ({ range }: ReturnType<typeof useRows>, row: number): boolean =>
  range !== null && row > range.startIndex && row < range.endIndex

/** The code around the next instruction: a button before each instruction has the machine stop at it. */
export function Code({ machine, vcpu, stops, setStops, sought, attempt }: CodeProps) {
  const place = useRef<HTMLDivElement>(null)
  const { listing, see } = useListing(machine, vcpu)
  const { mode, rows } = listing
  const virtual = useRows(place, rows.length)
  const shown = virtual.getVirtualItems()
  const { index: first, start } = shown[0] ?? { index: 0, start: 0 }
  const next = rowOf(listing, vcpu.address)
  const [name = null] = useNames(machine, [vcpu.address])
  useEffect(() => see(first + shown.length))
  useLayoutEffect(() => {
    if (next >= 0) virtual.scrollToIndex(next, { align: isInside(virtual, next) ? 'auto' : 'center' })
  }, [virtual, next, rows[0]?.address])
  const found = useRef<typeof sought>(null)
  useEffect(() => {
    const row = place.current!.querySelector('[aria-current]')
    if (row === null || sought === found.current || sought?.address !== vcpu.address) return
    found.current = sought
    for (const part of [place.current!.parentElement!, row]) part.scrollIntoView({ block: 'nearest' })
  })
  const toggle = async (address: bigint): Promise<void> => {
    const there = stops.find((stop) => stop.address === address)
    if (there === undefined) {
      const remove = await machine.debugger.stopAt({ kind: 'breakpoint', address })
      return setStops([...stops, { text: `Before the instruction at ${hex(address)}`, address, remove }])
    }
    await there.remove()
    setStops(stops.filter((stop) => stop !== there))
  }
  return (
    <section aria-label="Code" class="whole">
      <h3>Code{name === null ? '' : `: ${name}`}</h3>
      <div class="code rows" role="region" tabIndex={0} aria-label="Instructions" ref={place}>
        <ol style={{ height: `${virtual.getTotalSize()}px`, paddingTop: `${start}px` }}>
          {rows.slice(first, first + shown.length).map(({ address, text }, i) => {
            const row = first + i
            const isSet = stops.some((stop) => stop.address === address)
            return (
              <li
                key={String(address)}
                class={row === next ? 'next' : ''}
                aria-current={row === next ? 'step' : undefined}
                aria-posinset={row + 1}
                aria-setsize={-1}
              >
                <button
                  // Rows go on and on: Tab leads past them. An address can be given under Stops, too.
                  tabIndex={-1}
                  class={isSet ? 'dot set' : 'dot'}
                  aria-pressed={isSet}
                  aria-label={`Breakpoint at ${hex(address)}`}
                  onClick={() => attempt(() => toggle(address))}
                />
                <span class="soft">{addressText(address, mode)}</span> {text}
              </li>
            )
          })}
        </ol>
        {listing.isWhole && rows.length === 0 && 'There is no memory at the next instruction.'}
      </div>
    </section>
  )
}
