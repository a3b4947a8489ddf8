import { useEffect, useRef } from 'preact/hooks'
import { stepped } from '../tabs.tsx'

export interface MenuItem {
  readonly name: string
  readonly action: () => void
}

/** An open menu, and its position in the window. */
export interface OpenMenu {
  readonly x: number
  readonly y: number
  /** The subject of the menu. */
  readonly title: string
  readonly items: readonly MenuItem[]
}

/** A menu of a thing that was pointed at. Source: WAI-ARIA Authoring Practices, "Menu". */
export function Menu({ menu: { x, y, title, items }, close }: { menu: OpenMenu; close: () => void }) {
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null
    const element = list.current!
    element.showPopover()
    const { width, height } = element.getBoundingClientRect()
    element.style.left = `${Math.max(0, Math.min(x, innerWidth - width - 8))}px`
    element.style.top = `${Math.max(0, Math.min(y, innerHeight - height - 8))}px`
    element.querySelector('button')!.focus()
    return () => before?.focus({ preventScroll: true })
  }, [])
  const onKeyDown = (event: KeyboardEvent): void => {
    const buttons = [...list.current!.querySelectorAll('button')]
    const at = buttons.indexOf(event.target as HTMLButtonElement)
    const next = stepped(event.key, at, buttons.length, ['ArrowDown', 'ArrowUp'])
    if (next !== undefined) buttons[next]!.focus()
    else if (event.key === 'Tab') close()
    else return
    event.preventDefault()
  }
  return (
    <div
      class="menu"
      popover="auto"
      role="menu"
      aria-label={title}
      ref={list}
      onKeyDown={onKeyDown}
      // Escape and a click outside close a popover.
      onToggle={(event) => event.newState === 'closed' && close()}
    >
      <p class="soft" role="presentation">
        {title}
      </p>
      {items.map(({ name, action }) => (
        <button
          key={name}
          role="menuitem"
          tabIndex={-1}
          onClick={() => {
            close()
            action()
          }}
        >
          {name}
        </button>
      ))}
    </div>
  )
}

/** Arrow keys move between the items of a region that have a menu, in rows of `columns`; Enter opens the menu, as a right click does. */
export function walkAsked(event: KeyboardEvent, columns: number): void {
  const region = event.currentTarget as HTMLElement
  const all = [...region.querySelectorAll<HTMLElement>('[data-ask]')]
  const at = all.indexOf(document.activeElement as HTMLElement)
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key]
  if (by !== undefined) {
    const next = all[at < 0 ? 0 : at + by]
    next?.focus({ preventScroll: true })
    next?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  } else if (event.key === 'Enter' && at >= 0) {
    const { left, bottom } = all[at]!.getBoundingClientRect()
    all[at]!.dispatchEvent(new MouseEvent('contextmenu', { bubbles: true, clientX: left, clientY: bottom }))
  } else return
  event.preventDefault()
}

/** Returns the item of a region with a menu that contains an event. */
export const askedAt = (event: Event): string | undefined =>
  (event.target as Element).closest<HTMLElement>('[data-ask]')?.dataset['ask']
