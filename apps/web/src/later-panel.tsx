import type { Machine } from '@retrap/web'
import type { ComponentType } from 'preact'
import { useState } from 'preact/hooks'

interface LaterPanelProps {
  readonly summary: string
  readonly machine: Machine
  readonly load: () => Promise<ComponentType<{ machine: Machine }>>
  /** Whether its contents stay, out of sight, when it is closed. */
  readonly stays?: boolean
  /** Whether it is open at first. */
  readonly opens?: boolean
}

/** A panel whose contents are loaded when it is opened. */
export function LaterPanel({ summary, machine, load, stays = false, opens = false }: LaterPanelProps) {
  const [isOpen, setOpen] = useState(false)
  const [Panel, setPanel] = useState<ComponentType<{ machine: Machine }> | null>(null)
  const toggle = async (open: boolean): Promise<void> => {
    setOpen(open)
    if (!open || Panel !== null) return
    const loaded = await load()
    setPanel(() => loaded)
  }
  return (
    <details class="panel" open={opens} onToggle={(event) => void toggle(event.currentTarget.open)}>
      <summary>{summary}</summary>
      {(isOpen || stays) && Panel !== null && <Panel machine={machine} />}
    </details>
  )
}
