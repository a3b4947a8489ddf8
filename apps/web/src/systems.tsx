import { useEffect, useState } from 'preact/hooks'
import { sizeOf } from './files.ts'
import { goOnFrom, type SavedMachine, savedMachines } from './saved-machines.ts'
import type { Chosen } from './settings.ts'
import { whenOf } from './snapshots-panel.tsx'

/** A system that lies beside the site, as its list has it. */
interface OfferedSystem extends Chosen {
  readonly description: string
}

/** Systems at their prompt that whoever serves this site offers, and machines that the user has saved. */
export function Systems({ start, failed }: { start: (chosen: Chosen) => void; failed: (error: unknown) => void }) {
  const [offered, setOffered] = useState<readonly OfferedSystem[]>([])
  const [saved, setSaved] = useState<readonly SavedMachine[]>([])
  useEffect(() => {
    fetch('systems/systems.json')
      .then(async (response) => (response.ok ? ((await response.json()) as OfferedSystem[]) : []))
      .then(setOffered)
      .catch(() => {})
    void savedMachines().then((all) => setSaved(all.filter(({ options }) => options !== null).toReversed()))
  }, [])
  return (
    <>
      {offered.map((system) => (
        <>
          <p class="soft">{system.description}</p>
          <button class="primary" onClick={() => start(system)}>
            Start {system.title}
          </button>
        </>
      ))}
      {saved.length > 0 && (
        <details>
          <summary>Go on with a machine that you have saved</summary>
          <ul class="files" aria-label="Saved machines">
            {saved.map((one) => (
              <li key={one.id}>
                <span class="name">
                  {one.title}: {whenOf(one)}, {sizeOf(one.bytes)}
                </span>
                <button onClick={() => void goOnFrom(one.id).then(start, failed)}>Go on</button>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  )
}
