import type { KeptDisk } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import type { KeptDisksPanel } from './kept-disks-panel.tsx'

/** The heading of the list of disks that the browser keeps. */
export function KeptDisks() {
  const [all, setAll] = useState<readonly KeptDisk[]>([])
  const [panel, setPanel] = useState<{ readonly Panel: typeof KeptDisksPanel }>()
  const list = async (): Promise<void> => {
    // Loaded together with the code that makes machines.
    const { keptDisks } = await import('@retrap/web')
    setAll(await keptDisks())
  }
  useEffect(() => void list(), [])
  const open = async (): Promise<void> => {
    const { KeptDisksPanel: Panel } = await import('./kept-disks-panel.tsx')
    setPanel({ Panel })
  }
  return (
    <details onToggle={() => void open()}>
      <summary>Disks that this browser keeps{all.length === 0 ? '' : ` (${all.length})`}</summary>
      {panel && <panel.Panel all={all} list={list} />}
    </details>
  )
}
