import type { KeptDisk } from '@retrap/web'
import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { sizeOf } from './files.ts'

interface UnfoldingProps<Content> {
  readonly summary: string
  /** Loads the content once it is opened. */
  readonly load: () => Promise<ComponentType<Content>>
  readonly content: Content
  /** Opens the content, whenever it changes to a value that is no null. */
  readonly opens?: unknown
  readonly opened?: () => void
}

/** A heading, whose content comes when the user opens it. */
export function Unfolding<Content extends object>(props: UnfoldingProps<Content>) {
  const { summary, load, content, opens = null, opened } = props
  const [isOpen, setOpen] = useState(false)
  const [loaded, setLoaded] = useState<{ readonly Content: ComponentType<Content> }>()
  useEffect(() => {
    if (opens !== null) setOpen(true)
  }, [opens])
  useEffect(() => {
    if (!isOpen) return
    void load().then((Loaded) => setLoaded({ Content: Loaded }))
    opened?.()
  }, [isOpen])
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{summary}</summary>
      {loaded && <loaded.Content {...content} />}
    </details>
  )
}

/** The list of disks that the browser keeps. */
export function KeptDisks() {
  const [all, setAll] = useState<readonly KeptDisk[]>([])
  const list = async (): Promise<void> => {
    // Loaded together with the code that makes machines.
    const { keptDisks } = await import('@retrap/web')
    setAll(await keptDisks())
  }
  useEffect(() => void list(), [])
  return (
    <Unfolding
      summary={`Disks that this browser keeps${all.length === 0 ? '' : ` (${all.length})`}`}
      load={async () => (await import('./kept-disks-panel.tsx')).KeptDisksPanel}
      content={{ all, list }}
    />
  )
}

/** The size of the browser's copies of fetched images, which can be deleted. */
export function Fetched() {
  const [bytes, setBytes] = useState(0)
  const look = async (): Promise<number> => {
    const { fetchedBytes } = await import('@retrap/web')
    const found = await fetchedBytes()
    setBytes(found)
    return found
  }
  const lookAgain = (): void => void look().catch(() => {})
  useEffect(lookAgain, [])
  return (
    <Unfolding
      summary={`What this browser has fetched${bytes === 0 ? '' : ` (${sizeOf(bytes)})`}`}
      load={async () => (await import('./fetched-panel.tsx')).FetchedPanel}
      content={{ look }}
      // Another tab may have fetched more since.
      opened={lookAgain}
    />
  )
}
