import { useState } from 'preact/hooks'
import { ActionForm } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { addressOf } from './addresses.ts'
import { SymbolField } from './symbols.tsx'
import { hex } from './stop-text.ts'

/** Looks that need no address. */
const LOOKS = [
  ['ps', 'Processes'],
  ['task', 'Current task'],
  ['dmesg 200', 'Kernel log'],
  ['interrupts', 'Interrupts'],
  ['pending', 'Instructions that wait'],
] as const

/** Queries at the debugger's instant: how an address is translated, Linux's state, pending requests. */
export function Looks({ machine, attempt }: Pick<PanelProps, 'machine' | 'attempt'>) {
  const [text, setText] = useState('')
  const [seen, setSeen] = useState('')
  const look = (line: string): void => attempt(async () => setSeen(await machine.debugger.lookAt(line)))
  const walk = async (): Promise<void> => {
    const address = await addressOf(machine, text)
    const walked = await machine.debugger.lookAt(`walk ${hex(address)}`)
    const [, physical] = /is guest-physical (0x[\da-f]+)/.exec(walked) ?? []
    setSeen(walked + (physical === undefined ? '' : await machine.debugger.lookAt(`p2m ${physical}`)))
  }
  return (
    <section aria-label="Looks">
      <h3>A look at this instant</h3>
      <div class="actions" role="group" aria-label="What to look at">
        {LOOKS.map(([line, name]) => (
          <button key={line} onClick={() => look(line)}>
            {name}
          </button>
        ))}
      </div>
      <ActionForm submit={() => attempt(walk)}>
        <SymbolField machine={machine} label="Linear address" value={text} change={setText} />
        <button type="submit">Page walk</button>
      </ActionForm>
      {seen !== '' && (
        <pre class="code bytes" role="region" tabIndex={0} aria-label="What was looked at">
          {seen}
        </pre>
      )}
    </section>
  )
}
