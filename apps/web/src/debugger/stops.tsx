import type { Machine, StopPlace } from '@retrap/web'
import { useState } from 'preact/hooks'
import { addressOf } from './addresses.ts'
import { SymbolField } from './symbols.tsx'
import { type DebuggerView, hex } from './use-debugger.ts'

interface Kind {
  readonly name: string
  readonly place: (address: bigint) => StopPlace
  readonly text: (address: bigint) => string
}

const WATCHED_BYTES = 8

const watch = (name: string, access: 'read' | 'write' | 'access'): Kind => ({
  name,
  place: (address) => ({ kind: 'watch', address, length: WATCHED_BYTES, access }),
  text: (address) => `${name} at ${hex(address)}`,
})

/** Where a machine can be made to stop. */
const KINDS: Readonly<Record<string, Kind>> = {
  breakpoint: {
    name: 'Before an instruction',
    place: (address) => ({ kind: 'breakpoint', address }),
    text: (address) => `Before the instruction at ${hex(address)}`,
  },
  write: watch('When 8 bytes are written', 'write'),
  read: watch('When 8 bytes are read', 'read'),
  access: watch('When 8 bytes are read or written', 'access'),
}

interface StopsProps extends Pick<DebuggerView, 'stops' | 'setStops'> {
  readonly machine: Machine
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** The places where the machine stops, forwards and backwards. */
export function Stops({ machine, stops, setStops, attempt }: StopsProps) {
  const [kind, setKind] = useState('breakpoint')
  const [text, setText] = useState('')
  const add = async (): Promise<void> => {
    const address = await addressOf(machine, text)
    const { place, text: named } = KINDS[kind]!
    const remove = await machine.debugger.stopAt(place(address))
    const words = named(address) + (text.toLowerCase().includes(address.toString(16)) ? '' : ` (${text.trim()})`)
    setStops([...stops, { text: words, remove, ...(kind === 'breakpoint' && { address }) }])
    setText('')
  }
  return (
    <section aria-label="Stops">
      <h3>Stops</h3>
      <form
        class="actions"
        onSubmit={(event) => {
          event.preventDefault()
          attempt(add)
        }}
      >
        <label>
          Stop
          <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
            {Object.entries(KINDS).map(([id, { name }]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <SymbolField machine={machine} label="At" value={text} change={setText} />
        <button type="submit">Add a stop</button>
      </form>
      <ul class="listed">
        {stops.map((stop) => (
          <li key={stop.text}>
            {stop.text}{' '}
            <button
              class="plain"
              aria-label={`Remove: ${stop.text}`}
              onClick={() =>
                attempt(async () => {
                  await stop.remove()
                  setStops(stops.filter((one) => one !== stop))
                })
              }
            >
              Remove
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
