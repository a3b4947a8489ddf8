import type { FileEntry } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import { DropPlace, FileButton } from './controls.tsx'
import { download, sizeOf } from './files.ts'
import type { PanelProps } from './tabs.tsx'

/** Interval at which a visible folder is read: the guest may write at any time. */
const LOOK_MS = 2000

/** Files that the machine shares with this page: they are dropped here for the guest, and saved from here. */
export function SharedFilesPanel({ machine, isShown, attempt }: PanelProps) {
  const [path, setPath] = useState('')
  const [entries, setEntries] = useState<readonly FileEntry[]>([])
  const [note, setNote] = useState('')
  const look = async (): Promise<void> => setEntries(await machine.files.list(path))
  useEffect(() => {
    if (!isShown) return
    void look().catch(() => {})
    const timer = setInterval(() => void look().catch(() => {}), LOOK_MS)
    return () => clearInterval(timer)
  }, [isShown, path, machine])
  const add = (files: readonly File[]): void =>
    attempt(async () => {
      for (const file of files) await machine.files.write(`${path}/${file.webkitRelativePath || file.name}`, file)
      setNote(files.length === 1 ? `The guest has ${files[0]!.name}.` : `The guest has ${files.length} files.`)
      await look()
    })
  const save = (name: string): void =>
    attempt(async () => {
      const content = await machine.files.read(`${path}/${name}`)
      if (content !== null) download(new Blob([content]), name)
    })
  return (
    <>
      <p class="soft">
        Linux has these files after <code>mount -t 9p -o trans=virtio page /mnt</code>. They take at most 256 MiB, and
        snapshots have none of them.
      </p>
      <DropPlace take={add}>
        <p>
          <strong>Drop files for the guest here</strong>, or
        </p>
        <div class="actions">
          <FileButton many="files" take={(_, files) => add(files)}>
            choose files
          </FileButton>
          <FileButton many="folder" take={(_, files) => add(files)}>
            choose a folder
          </FileButton>
        </div>
      </DropPlace>
      <p class="soft" role="status">
        {note}
      </p>
      <div class="actions">
        <strong class="name">/{path}</strong>
        {path !== '' && (
          <button onClick={() => setPath(path.split('/').slice(0, -1).join('/'))}>To the folder above</button>
        )}
      </div>
      {entries.length === 0 && <p class="soft">There is nothing here.</p>}
      <ul class="files" aria-label="Shared files">
        {entries.map(({ name, kind, bytes }) => (
          <li key={name}>
            <span class="name">{name}</span>
            {kind === 'file' && (
              <>
                <span class="soft figure">{sizeOf(bytes)}</span>
                <button aria-label={`Save ${name}`} onClick={() => save(name)}>
                  Save
                </button>
              </>
            )}
            {kind === 'folder' && (
              <button aria-label={`Open ${name}`} onClick={() => setPath(path === '' ? name : `${path}/${name}`)}>
                Open
              </button>
            )}
            {kind === 'link' && <span class="soft">link</span>}
          </li>
        ))}
      </ul>
    </>
  )
}
