import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

/** Drawings of 16×16, as paths. */
const ICONS = {
  snapshots: 'M2 5h3l1-2h4l1 2h3v8H2zM8 6.8a2.2 2.2 0 1 0 .01 0',
  instruments: 'M2 5h7M13 5h1M2 11h1M7 11h7M11 3a2 2 0 1 0 .01 0M5 9a2 2 0 1 0 .01 0',
  more: 'M3.2 7.6a.4.4 0 1 0 .01 0M8 7.6a.4.4 0 1 0 .01 0M12.8 7.6a.4.4 0 1 0 .01 0',
  power: 'M8 2v6M4.5 4.2a5.5 5.5 0 1 0 7 0',
  reset: 'M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  disc: 'M8 2a6 6 0 1 0 .01 0M8 7a1 1 0 1 0 .01 0',
  eject: 'M8 3l5 6H3zM3 12.5h10',
  sound: 'M2.5 6v4h2.5l3.5 3V3L5 6zM11 5.5a3.5 3.5 0 0 1 0 5M12.8 3.5a6.3 6.3 0 0 1 0 9',
} as const
type IconName = keyof typeof ICONS

/** A small drawing, beside a word with the same meaning. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={ICONS[name]} />
    </svg>
  )
}

interface ToolProps {
  readonly icon: IconName
  readonly disabled?: boolean
  /** State of a button that stays pressed. */
  readonly pressed?: boolean
  /** State of a button that shows and hides something. */
  readonly expanded?: boolean
  readonly look?: string
  readonly onClick: () => void
  readonly children: ComponentChildren
}

/** A button with a drawing and a word. */
export function Tool({ icon, disabled = false, pressed, expanded, look = '', onClick, children }: ToolProps) {
  return (
    <button
      class={`tool ${look}`}
      disabled={disabled}
      aria-pressed={pressed}
      aria-expanded={expanded}
      onClick={onClick}
    >
      <Icon name={icon} />
      {children}
    </button>
  )
}

/** The actions of the button Back, one for each page that is shown: the last page is on top. */
const pages: { readonly ask: () => void; readonly how: BackOptions }[] = []
/** Whether the next event is of this module's own going back. */
let isOwn = false

/** A page's part in the browser's history. */
interface BackOptions {
  /** Kept in the history's entry of a page over another one; undefined: the page is the first. */
  readonly place?: object | undefined
  /** Shows the page of an entry that the browser has gone forward to. */
  readonly forward?: (place: object) => void
}

const placeNow = (): object | undefined => (history.state as BackOptions | null)?.place

const back = (): void => {
  const place = placeNow()
  const page = pages.at(-1)
  if (isOwn) isOwn = false
  else if (place !== undefined && page?.how.forward !== undefined) page.how.forward(place)
  else {
    stay(page?.how.place)
    page?.ask()
  }
}
const stay = (place: object | undefined): void => history.pushState({ ...history.state, machine: true, place }, '')

/** Has the browser's button Back ask, instead of leaving the page. A page may be shown over another one. */
export function useBack(ask: () => void, how: BackOptions = {}): void {
  const latest = useRef({ ask, how })
  latest.current = { ask, how }
  useEffect(() => {
    const own = {
      ask: () => latest.current.ask(),
      how: { ...how, ...(how.forward && { forward: (place: object) => latest.current.how.forward!(place) }) },
    }
    pages.push(own)
    // An entry that was gone forward to is there.
    if (pages.length === 1 || placeNow() === undefined) stay(how.place)
    if (pages.length === 1) addEventListener('popstate', back)
    return () => {
      pages.splice(pages.indexOf(own), 1)
      if (pages.length === 0) removeEventListener('popstate', back)
      else isOwn = true
      history.back()
    }
  }, [])
}
