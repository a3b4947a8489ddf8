import { useEffect, useRef, useState } from 'preact/hooks'
import { Alert } from './controls.tsx'
import { type BroughtMachine, toMachineJson } from './machine-json.ts'
import type { Settings } from './settings.ts'

/** The form's machine, and a pasted one. */
export interface MachineJsonProps {
  readonly settings: Settings
  readonly brought: BroughtMachine | null
  /** Takes a machine's file. */
  readonly bring: (text: string) => void
}

/** The form's machine as JSON: shown, copied, changed. */
export function MachineJsonText({ settings, brought, bring }: MachineJsonProps) {
  const [text, setText] = useState('')
  const [note, setNote] = useState('')
  const area = useRef<HTMLTextAreaElement>(null)
  useEffect(() => {
    setNote('')
    setText(brought === null ? toMachineJson(settings, document.baseURI) : brought.text)
  }, [settings, brought])
  const copy = async (): Promise<void> => {
    area.current!.select()
    await navigator.clipboard.writeText(text)
    setNote('Copied.')
  }
  const lacks = brought?.missing ?? []
  return (
    <>
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
      {brought !== null && brought.error !== '' && <Alert>{brought.error}</Alert>}
    </>
  )
}
