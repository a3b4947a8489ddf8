import type { KeptDisk } from '@retrap/web'
import { useState } from 'preact/hooks'
import { Alert, FileButton } from './controls.tsx'
import { ActionForm, TextField } from './fields.tsx'
import { download, sizeOf } from './files.ts'
import { keptNameOf } from './settings.ts'

/** Returns the name of a kept disk for a file: exports have this name, and end in `.qcow2`. */
const nameOfFile = (file: File): string => keptNameOf(file.name.replace(/\.qcow2$/i, ''))

interface KeptDisksPanelProps {
  readonly all: readonly KeptDisk[]
  /** Lists the disks anew. */
  readonly list: () => Promise<void>
}

/** The writes of guests to kept disks: they go out as a file, come in, and are deleted. Loaded when it is opened. */
export function KeptDisksPanel({ all, list }: KeptDisksPanelProps) {
  const [error, setError] = useState('')
  /** A file to import, before its name is chosen. */
  const [brought, setBrought] = useState<{ readonly file: File; readonly name: string } | null>(null)
  const attempt = (action: () => Promise<unknown>): void => {
    setError('')
    action()
      .then(list)
      .catch((thrown: unknown) => setError(thrown instanceof Error ? thrown.message : String(thrown)))
  }
  return (
    <>
      <p class="soft">
        What guests have written, without the images below it. A machine that keeps its disks goes on with them. Export
        what you cannot lose: a browser may delete what a site keeps.
      </p>
      <ul class="files" aria-label="Kept disks">
        {all.map((disk) => (
          <li key={disk.name}>
            <span class="name">
              {disk.name}: {sizeOf(disk.bytes)}
              {disk.source !== null && <span class="soft">, over {disk.source}</span>}
            </span>
            <button
              aria-label={`Export ${disk.name}`}
              onClick={() =>
                attempt(async () => {
                  const { exportKeptDisk } = await import('@retrap/web')
                  const file = await exportKeptDisk(disk.name)
                  download(file, file.name)
                })
              }
            >
              Export
            </button>
            <button
              aria-label={`Delete ${disk.name}`}
              onClick={() =>
                attempt(async () => {
                  const { deleteKeptDisk } = await import('@retrap/web')
                  await deleteKeptDisk(disk.name)
                })
              }
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
      <FileButton take={(file) => setBrought({ file, name: nameOfFile(file) })}>Import</FileButton>
      {brought !== null && (
        <ActionForm
          look=""
          submit={() => {
            const { file, name } = brought
            setBrought(null)
            attempt(async () => {
              const { importKeptDisk } = await import('@retrap/web')
              await importKeptDisk(name, file)
            })
          }}
        >
          <div class="fields">
            <TextField
              label="For the disk image named"
              required
              value={brought.name}
              change={(name) => setBrought({ ...brought, name })}
            />
          </div>
          <p class="soft">
            A machine that keeps its disks goes on with what is kept by its image's name.
            {all.some(({ name }) => name === brought.name) && ' There is one of this name: it is replaced.'}
          </p>
          <div class="actions">
            <button type="submit">Import it</button>
            <button type="button" onClick={() => setBrought(null)}>
              Do not
            </button>
          </div>
        </ActionForm>
      )}
      {error !== '' && <Alert>{error}</Alert>}
    </>
  )
}
