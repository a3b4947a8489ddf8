import { useEffect, useState } from 'preact/hooks'
import { sizeOf } from './files.ts'

/** Loaded with what makes machines. */
const machines = () => import('@retrap/web')

/** Parts of images at addresses that the browser keeps: how much that is, and how it is given up. */
export function FetchedPanel() {
  const [bytes, setBytes] = useState(0)
  const [error, setError] = useState('')
  const look = async (): Promise<void> => setBytes(await (await machines()).fetchedBytes())
  useEffect(() => void look().catch(() => {}), [])
  const remove = async (): Promise<void> => {
    setError('')
    try {
      await (await machines()).deleteFetched()
      await look()
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown.message : String(thrown))
    }
  }
  return (
    <details>
      <summary>What this browser has fetched{bytes === 0 ? '' : ` (${sizeOf(bytes)})`}</summary>
      <p class="soft">
        Parts of disks, CDs and snapshots at addresses: the next machine has them at once, and without a network. What a
        machine reads at present stays.
      </p>
      <div class="actions">
        <button disabled={bytes === 0} onClick={() => void remove()}>
          Delete what was fetched
        </button>
      </div>
      {error !== '' && (
        <p class="wrong" role="alert">
          {error}
        </p>
      )}
    </details>
  )
}
