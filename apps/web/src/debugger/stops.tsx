import type { StopPlace } from '@retrap/web'
import { useState } from 'preact/hooks'
import { ActionForm, Choice } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { addressOf, vectorOf } from './addresses.ts'
import { SymbolField } from './symbols.tsx'
import { hex } from './stop-text.ts'
import type { DebuggerView } from './use-debugger.ts'

interface Kind {
  readonly name: string
  /** Parses typed text; default an address. @throws Error with the expected form */
  readonly read?: (text: string) => bigint
  readonly place: (address: bigint) => StopPlace
  readonly text: (address: bigint) => string
}

const WATCHED_BYTES = 8

const watch = (name: string, access: 'read' | 'write' | 'access'): Kind => ({
  name,
  place: (address) => ({ kind: 'watch', address, length: WATCHED_BYTES, access }),
  text: (address) => `${name} at ${hex(address)}`,
})

const reached = (name: string, kind: 'port' | 'mmio' | 'msr', count: number): Kind => ({
  name,
  place: (address) => ({ kind, address: Number(address), count, access: 'access' }),
  text: (address) => `${name}: ${hex(address)}`,
})

/** The device registers of an address: as many bytes as one instruction usually reaches. */
const REGISTER_BYTES = 4

/** Kinds of places at which a machine can be made to stop. */
const KINDS: Readonly<Record<string, Kind>> = {
  breakpoint: {
    name: 'Before an instruction',
    place: (address) => ({ kind: 'breakpoint', address }),
    text: (address) => `Before the instruction at ${hex(address)}`,
  },
  write: watch('When 8 bytes are written', 'write'),
  read: watch('When 8 bytes are read', 'read'),
  access: watch('When 8 bytes are read or written', 'access'),
  port: reached('When a port is accessed', 'port', 1),
  mmio: reached('When device memory is accessed', 'mmio', REGISTER_BYTES),
  msr: reached('When an MSR is accessed', 'msr', 1),
  handler: {
    name: "Before an exception's handler",
    read: vectorOf,
    place: (vector) => ({ kind: 'handler', vector: Number(vector) }),
    text: (vector) => `Before the handler of exception ${vector}`,
  },
}

/** Stops that an Arm board does not have. */
const OF_PCS: ReadonlySet<string> = new Set(['port', 'msr'])

interface StopsProps extends Pick<DebuggerView, 'stops'>, Pick<PanelProps, 'machine' | 'attempt'> {
  readonly isArm: boolean
  readonly setStops: (stops: DebuggerView['stops']) => void
}

/** The places where the machine stops, forwards and backwards. */
export function Stops({ machine, isArm, stops, setStops, attempt }: StopsProps) {
  const [kind, setKind] = useState('breakpoint')
  const [text, setText] = useState('')
  const kinds = Object.entries(KINDS).flatMap(([id, { name }]) =>
    isArm && OF_PCS.has(id) ? [] : [[id, name] as const],
  )
  const add = async (): Promise<void> => {
    const { read, place, text: named } = KINDS[kind]!
    const address = read === undefined ? await addressOf(machine, text) : read(text)
    const remove = await machine.debugger.stopAt(place(address))
    const isSaid = read !== undefined || text.toLowerCase().includes(address.toString(16))
    const words = named(address) + (isSaid ? '' : ` (${text.trim()})`)
    setStops([...stops, { text: words, remove, ...(kind === 'breakpoint' && { address }) }])
    setText('')
  }
  return (
    <section aria-label="Stops">
      <h3>Stops</h3>
      <ActionForm submit={() => attempt(add)}>
        <Choice label="Stop" value={kind} choices={kinds} change={setKind} />
        <SymbolField machine={machine} label="At" value={text} change={setText} />
        <button type="submit">Add a stop</button>
      </ActionForm>
      <ul>
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
