import { useEffect } from 'preact/hooks'
import type { BroughtMachine } from './machine-json.ts'
import type { MachineJsonProps } from './machine-json-text.tsx'
import { messageOf } from './machine-life.ts'
import type { Settings } from './settings.ts'
import { Unfolding } from './unfolding.tsx'

/**
 * Reads a machine's file.
 *
 * @param filesOf - returns the files that the machine may name; called last, because it loads further code
 * @returns the settings, or why they are incomplete
 */
export async function bringMachine(
  text: string,
  filesOf: () => readonly File[],
): Promise<{ readonly settings: Settings } | { readonly brought: BroughtMachine }> {
  try {
    const { fromMachineJson } = await import('./machine-json.ts')
    const { settings, missing } = fromMachineJson(text, filesOf())
    if (missing.length === 0) return { settings }
    return { brought: { text, missing, error: '' } }
  } catch (error) {
    return { brought: { text, missing: [], error: messageOf(error) } }
  }
}

/** The form's machine as a file for `retrap run machine.json`, loaded on demand. */
export function MachineJsonPanel(props: MachineJsonProps) {
  const { brought, bring } = props
  // Handles text pasted outside of input fields.
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      const given = event.clipboardData?.getData('text/plain') ?? ''
      if ((event.target as Element).closest('input, textarea') === null && given.trimStart().startsWith('{'))
        bring(given)
    }
    document.addEventListener('paste', paste)
    return () => document.removeEventListener('paste', paste)
  }, [bring])
  return (
    <Unfolding
      summary="This machine as JSON, for the command line"
      load={async () => (await import('./machine-json-text.tsx')).MachineJsonText}
      content={props}
      opens={brought}
    />
  )
}
