import { useEffect, useState } from 'preact/hooks'
import { sizeOf } from './files.ts'

/** Shows the size of the browser's copies of fetched images, and deletes them. */
export function FetchedPanel() {
  const [bytes, setBytes] = useState(0)
  const [note, setNote] = useState('')
  const look = async (): Promise<number> => {
    // Loaded together with the code that makes machines.
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
    // Another tab may have fetched more since.
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
