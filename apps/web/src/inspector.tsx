import type { Machine } from '@retrap/web'
import type { ComponentType } from 'preact'
import { useState } from 'preact/hooks'

/** The inspector's place. What it shows is loaded when it is opened, and looks at the machine only while it is open. */
export function Inspector({ machine }: { machine: Machine }) {
  const [isOpen, setOpen] = useState(false)
  const [Panel, setPanel] = useState<ComponentType<{ machine: Machine }> | null>(null)
  const toggle = async (open: boolean): Promise<void> => {
    setOpen(open)
    if (!open) return
    const { InspectorPanel } = await import('./inspector/panel.tsx')
    setPanel(() => InspectorPanel)
  }
  return (
    <details class="panel" onToggle={(event) => void toggle(event.currentTarget.open)}>
      <summary>Inspector</summary>
      {isOpen && Panel !== null && <Panel machine={machine} />}
    </details>
  )
}
