import { useEffect, useState } from 'preact/hooks'
import { sizeOf } from './files.ts'

/** Parts of images at addresses that the browser keeps: how much that is, and how it is given up. */
export function FetchedPanel() {
  const [bytes, setBytes] = useState(0)
  const [note, setNote] = useState('')
  const look = async (): Promise<number> => {
    // Loaded with what makes machines.
    const { fetchedBytes } = await import('@retrap/web')
    const found = await fetchedBytes()
    setBytes(found)
    return found
  }
  useEffect(() => void look().catch(() => {}), [])
  const remove = async (): Promise<void> => {
    setNote('')
    try {
      const { deleteFetched } = await import('@retrap/web')
      await deleteFetched()
      const left = await look()
      setNote(left === 0 ? 'There is nothing left.' : `${sizeOf(left)} stay: a machine reads them.`)
    } catch (thrown) {
      setNote(thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
  return (
    // Another tab may have fetched more.
    <details onToggle={() => void look().catch(() => {})}>
      <summary>What this browser has fetched{bytes === 0 ? '' : ` (${sizeOf(bytes)})`}</summary>
      <p class="soft">
        Parts of disks, CDs and snapshots at addresses: the next machine has them at once, and without a network. What a
        machine reads at present stays.
      </p>
      <div class="actions">
        <button onClick={() => void remove()}>Delete what was fetched</button>
        <span class="soft" role="status">
          {note}
        </span>
      </div>
    </details>
  )
}
