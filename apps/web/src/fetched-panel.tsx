import { useState } from 'preact/hooks'
import { sizeOf } from './files.ts'

/** The browser's copies of fetched images, and a button that deletes them. Loaded when it is opened. */
export function FetchedPanel({ look }: { look: () => Promise<number> }) {
  const [note, setNote] = useState('')
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
    <>
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
    </>
  )
}
