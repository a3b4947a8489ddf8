import { useState } from 'preact/hooks'
import { ActionForm, TextField } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import type { DebuggerView } from './use-debugger.ts'

/** Bytes of a value, of which the lowest come first. */
const VALUE_BYTES = { 1: 2, 2: 4, 4: 8, 8: 16 } as const

/**
 * Reads a searched value or text: digits behind 0x are a value of their length; all else is a text. @throws Error for a value that is too
 * long
 */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const [, digits] = /^0x([\da-f]+)$/i.exec(text.trim()) ?? []
  if (digits === undefined) return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>
  const bytes = Object.entries(VALUE_BYTES).find(([, most]) => digits.length <= most)?.[0]
  if (bytes === undefined) throw new Error(`'${text}' is too long: expected a value of up to 16 digits`)
  const value = BigInt(`0x${digits}`)
  return Uint8Array.from({ length: Number(bytes) }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

interface SearchProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  readonly view: DebuggerView
}

/** Searches the guest's memory where the debugger is, and asks who printed a text. */
export function Search({ machine, view: { ask, change, isBusy }, attempt }: SearchProps) {
  const [text, setText] = useState('')
  const [found, setFound] = useState<readonly number[] | null>(null)
  const search = async (): Promise<void> => {
    if (text !== '') setFound(await machine.debugger.findMemory(bytesOf(text)))
  }
  return (
    <section aria-label="Search">
      <ActionForm submit={() => attempt(search)}>
        <TextField
          label="Text, or a value such as 0x2a"
          autocomplete="off"
          spellcheck={false}
          value={text}
          change={setText}
        />
        <button type="submit" disabled={text === ''}>
          Find in memory
        </button>
        <button
          type="button"
          disabled={isBusy || text === ''}
          onClick={() => attempt(() => ask(`“${text}”`, { printed: text }))}
        >
          Who printed it?
        </button>
      </ActionForm>
      <p role="status" class="soft">
        {found !== null &&
          (found.length === 0
            ? 'It is not in memory at this instant.'
            : `${found.length === 100 ? 'The first 100 places' : found.length === 1 ? 'One place' : `${found.length} places`}, guest-physical:`)}
      </p>
      {found !== null && found.length > 0 && (
        <ul class="found">
          {found.map((gpa) => (
            <li key={gpa}>
              <button class="plain code" onClick={() => change({ shown: { address: BigInt(gpa), physical: true } })}>
                {gpa.toString(16)}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
