import type { Machine, NetworkOptions } from '@retrap/web'
import type { ComponentType } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Impairments } from './impairments.ts'
import type { Chosen } from './settings.ts'

/** The properties of a tab's contents. */
export interface PanelProps {
  readonly machine: Machine
  readonly chosen: Chosen
  /** Whether the machine is on. */
  readonly isOn: boolean
  /** Whether the panel is seen: it need not look at the machine otherwise. */
  readonly isShown: boolean
  readonly impairments: Impairments
  /** Called when the cable of the network card was connected elsewhere. */
  readonly plugged: (network: NetworkOptions) => void
  /** Clears the alert whose text begins with `start`. */
  readonly settle: (start: string) => void
  /** Runs an action, and shows its error. */
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** A tab. Its content is loaded on first selection and stays. */
export interface Tab {
  readonly id: string
  readonly name: string
  readonly load: () => Promise<ComponentType<PanelProps>>
}

interface TabsProps {
  readonly tabs: readonly Tab[]
  /** The selected tab; null: none, and the sheet of a small screen is closed. */
  readonly open: string | null
  readonly select: (id: string | null) => void
  /** Whether the machine comes first: the tab that is selected from the beginning is loaded later. */
  readonly waits: boolean
  readonly context: Omit<PanelProps, 'isShown'>
}

/** The position that a key moves to in a row or a list; undefined: none. @param keys - arrows that go on, and back */
export function stepped(key: string, at: number, count: number, [on, back]: readonly [string, string]) {
  const places: Readonly<Record<string, number>> = { [on]: at + 1, [back]: at - 1, Home: 0, End: -1 }
  const place = places[key]
  return place === undefined ? undefined : (place + count) % count
}

/** Tabs beside the machine, or in a sheet below or beside it. Source: WAI-ARIA Authoring Practices, "Tabs". */
export function Tabs({ tabs, open, select, waits, context }: TabsProps) {
  const [panels, setPanels] = useState<Readonly<Record<string, ComponentType<PanelProps>>>>({})
  const list = useRef<HTMLDivElement>(null)
  const first = useRef(open)
  const last = useRef(open)
  useEffect(() => {
    const tab = tabs.find(({ id }) => id === open)
    if (tab === undefined || panels[tab.id] !== undefined || (waits && open === first.current)) return
    void tab.load().then((Panel) => setPanels((before) => ({ ...before, [tab.id]: Panel })))
  }, [open, waits])
  useEffect(() => {
    const tab = list.current!.querySelector<HTMLElement>('[aria-selected=true]')
    tab?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    // A sheet that opens takes the focus, and gives it back to its button.
    if (last.current === null) tab?.focus()
    if (open === null && last.current !== null) document.querySelector<HTMLElement>('.opener')!.focus()
    last.current = open
  }, [open])
  const fold = useRef<HTMLButtonElement>(null)
  const onKeyDown = (event: KeyboardEvent): void => {
    const now = tabs.findIndex(({ id }) => id === open)
    const at = stepped(event.key, now, tabs.length, ['ArrowRight', 'ArrowLeft'])
    if (at === undefined) return
    event.preventDefault()
    select(tabs[at]!.id)
    list.current!.querySelectorAll('button')[at]!.focus()
  }
  return (
    <section
      class={open === null ? 'side folded' : 'side'}
      aria-label="Instruments"
      onKeyDown={(event) => {
        const isSheet = fold.current?.offsetParent
        // Escape closes a menu before the sheet that the menu is of.
        if (event.key === 'Escape' && isSheet && document.querySelector(':popover-open') === null) select(null)
      }}
    >
      <div class="tabs">
        <div role="tablist" aria-label="Instruments" ref={list} onKeyDown={onKeyDown}>
          {tabs.map(({ id, name }, i) => (
            <button
              key={id}
              role="tab"
              id={`tab-${id}`}
              aria-controls={`panel-${id}`}
              aria-selected={id === open}
              tabIndex={id === open || (open === null && i === 0) ? 0 : -1}
              onClick={() => select(id)}
            >
              {name}
            </button>
          ))}
        </div>
        {open !== null && (
          <button class="fold" ref={fold} aria-label="Close the sheet" onClick={() => select(null)}>
            ✕
          </button>
        )}
      </div>
      {tabs.map(({ id }) => {
        const Panel = panels[id]
        return (
          <div
            key={id}
            role="tabpanel"
            id={`panel-${id}`}
            aria-labelledby={`tab-${id}`}
            tabIndex={0}
            hidden={id !== open}
          >
            {Panel === undefined ? <p class="soft">Loading …</p> : <Panel {...context} isShown={id === open} />}
          </div>
        )
      })}
    </section>
  )
}
