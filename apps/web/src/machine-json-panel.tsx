import { useEffect, useRef, useState } from 'preact/hooks'
import type { Settings } from './settings.ts'

/** Loaded when somebody looks at the machine as JSON, or brings one. */
const json = () => import('./machine-json.ts')

/** A file that was brought, and waits for others that it names. */
export interface BroughtMachine {
  readonly text: string
  readonly missing: readonly string[]
  /** The mistake in it. */
  readonly error: string
}

/**
 * Reads a machine's file.
 *
 * @param filesOf - the files that it may name; asked last of all, as what reads it is loaded when it is first used
 * @returns the settings, or why there are none yet
 */
export async function bringMachine(
  text: string,
  filesOf: () => readonly File[],
): Promise<{ readonly settings: Settings } | { readonly brought: BroughtMachine }> {
  try {
    const { fromMachineJson } = await json()
    const { settings, missing } = fromMachineJson(text, filesOf())
    if (missing.length === 0) return { settings }
    return { brought: { text, missing, error: '' } }
  } catch (error) {
    return { brought: { text, missing: [], error: error instanceof Error ? error.message : String(error) } }
  }
}

interface MachineJsonPanelProps {
  readonly settings: Settings
  readonly brought: BroughtMachine | null
  /** Takes a machine's file. */
  readonly bring: (text: string) => void
}

/** The form's machine as the file of `retrap run machine.json`: shown, copied, changed. */
export function MachineJsonPanel({ settings, brought, bring }: MachineJsonPanelProps) {
  const [isOpen, setOpen] = useState(false)
  const [text, setText] = useState('')
  const [note, setNote] = useState('')
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    setNote('')
    if (brought !== null) {
      setOpen(true)
      setText(brought.text)
    } else if (isOpen) void json().then(({ toMachineJson }) => setText(toMachineJson(settings, document.baseURI)))
  }, [settings, brought, isOpen])
  // Somebody pastes it where nothing else takes it.
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      const given = event.clipboardData?.getData('text/plain') ?? ''
      if ((event.target as Element).closest('input, textarea') === null && given.trimStart().startsWith('{'))
        bring(given)
    }
    document.addEventListener('paste', paste)
    return () => document.removeEventListener('paste', paste)
  }, [bring])
  const copy = async (): Promise<void> => {
    area.current!.select()
    await navigator.clipboard.writeText(text)
    setNote('Copied.')
  }
  const lacks = brought?.missing ?? []
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>This machine as JSON, for the command line</summary>
      <p class="soft">
        <code>retrap run machine.json</code> runs the same machine: files are looked for beside it. Change it here,
        paste one anywhere on this page, or drop one with its files.
      </p>
      <textarea
        ref={area}
        class="bytes"
        rows={12}
        spellcheck={false}
        aria-label="This machine as JSON"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <div class="actions">
        <button
          type="button"
          onClick={() => void copy().catch(() => setNote('The browser does not allow it: press Ctrl-C.'))}
        >
          Copy
        </button>
        <button type="button" onClick={() => bring(text)}>
          Use this
        </button>
        <span class="soft" role="status">
          {lacks.length > 0 ? `It names files: drop ${lacks.join(', ')} here, too.` : note}
        </span>
      </div>
      {brought !== null && brought.error !== '' && (
        <p class="wrong" role="alert">
          {brought.error}
        </p>
      )}
    </details>
  )
}
