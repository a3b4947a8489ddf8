import type { Machine } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { download, sizeOf } from './files.ts'
import { dropMachine, keepMachine, savedFile, type SavedMachine, savedMachines } from './saved-machines.ts'
import type { Chosen } from './settings.ts'

/** What a tab that goes on from a snapshot is opened with. */
export const SAVED_HASH = '#saved='

const OFF = 'The machine is off: there is nothing to save now.'
const NONE = 'None yet. They stay in this browser.'
const FILES = 'It cannot be forked: another tab does not have the files that you chose.'

/** When, for people. */
export const whenOf = ({ savedAt }: SavedMachine): string =>
  new Date(savedAt).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' })

/** The machine's time line: it is saved, and goes back, here or in another tab. */
export function SnapshotsPanel({ machine, chosen, isOn }: { machine: Machine; chosen: Chosen; isOn: boolean }) {
  const [all, setAll] = useState<readonly SavedMachine[]>([])
  const [doing, setDoing] = useState('')
  const [error, setError] = useState('')
  const list = async (): Promise<void> => {
    const saved = await savedMachines()
    setAll(saved.filter(({ title }) => title === chosen.title))
  }
  useEffect(() => void list(), [machine])
  const attempt = (what: string, action: () => Promise<unknown>): void => {
    setError('')
    setDoing(what)
    action()
      .then(list)
      .catch((thrown: unknown) => setError(thrown instanceof Error ? thrown.message : String(thrown)))
      .finally(() => setDoing(''))
  }
  return (
    <section class="panel" aria-label="Snapshots">
      <h3>Snapshots</h3>
      <div class="toolbar">
        <button
          disabled={!isOn || doing !== ''}
          title={isOn ? undefined : OFF}
          onClick={() => attempt('Saving', async () => keepMachine(chosen, await machine.save()))}
        >
          Save now
        </button>
        <label class="button file">
          Import
          <input
            type="file"
            disabled={doing !== ''}
            onChange={(event) => {
              const file = event.currentTarget.files?.[0]
              // The same file may be chosen again.
              event.currentTarget.value = ''
              if (file === undefined) return
              attempt('Restoring', async () => {
                await machine.restore(file)
                await keepMachine(chosen, file)
              })
            }}
          />
        </label>
      </div>
      <p class="soft" role="status">
        {doing !== '' ? `${doing} …` : [!isOn && OFF, all.length === 0 && NONE].filter(Boolean).join(' ')}
      </p>
      {error !== '' && (
        <p class="wrong" role="alert">
          {error}
        </p>
      )}
      <ol class="files" aria-label="Saved states of this machine">
        {all.map((saved) => (
          <li key={saved.id}>
            <span class="name">
              {whenOf(saved)}, {sizeOf(saved.bytes)}
            </span>
            <button
              disabled={doing !== ''}
              onClick={() => attempt('Restoring', async () => machine.restore(await savedFile(saved.id)))}
            >
              Go back
            </button>
            {saved.options === null ? (
              <button disabled title={FILES}>
                Fork
              </button>
            ) : (
              <a class="button" href={SAVED_HASH + saved.id} target="_blank" rel="noopener">
                Fork
              </a>
            )}
            <button
              disabled={doing !== ''}
              onClick={() =>
                attempt('Exporting', async () => download(await savedFile(saved.id), `${saved.id}.snapshot`))
              }
            >
              Export
            </button>
            <button disabled={doing !== ''} onClick={() => attempt('Deleting', () => dropMachine(saved.id))}>
              Delete
            </button>
          </li>
        ))}
      </ol>
      {all.some(({ options }) => options === null) && <p class="soft">{FILES}</p>}
    </section>
  )
}
