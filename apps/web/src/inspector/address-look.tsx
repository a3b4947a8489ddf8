import type { AddressView, FrameView } from '@retrap/web'
import { useState } from 'preact/hooks'
import { ActionForm, TextField, WideTable } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { size } from './memory-map.tsx'
import { useRead } from './view.ts'

type WalkView = NonNullable<AddressView['walk']>
type CachedTable = Extract<WalkView, { readonly cached: unknown }>['cached'][number]

interface AddressLookProps extends Pick<PanelProps, 'machine' | 'attempt'> {
  /** Instructions that the machine has executed: the address is looked at again when it has executed more. */
  readonly instructions: number
  readonly cpus: number
}

const hex = (value: number | bigint): string => value.toString(16)

/** Parses hexadecimal digits. @throws Error with the expected form */
function addressOf(text: string): bigint {
  const digits = text.trim().replace(/^0x/i, '').replaceAll('_', '')
  if (/^[\da-f]{1,16}$/i.test(digits)) return BigInt(`0x${digits}`)
  throw new Error(`'${text}' is no address: expected up to 16 hexadecimal digits.`)
}

/** A linear address's translation: page walk, cached entries, the map's page, and its mappers. */
export function AddressLook({ machine, instructions, cpus, attempt }: AddressLookProps) {
  const [text, setText] = useState('')
  const [cpu, setCpu] = useState(0)
  const [address, setAddress] = useState<bigint | null>(null)
  const [seen, setSeen] = useState<AddressView | null>(null)
  const look = address === null ? null : () => machine.inspectAddress(address, cpu).catch(() => null)
  useRead(look, setSeen, [machine, address, cpu, instructions])
  return (
    <details>
      <summary>The way of an address to memory</summary>
      <ActionForm submit={() => attempt(async () => setAddress(addressOf(text)))}>
        <TextField label="Linear address, hexadecimal " value={text} change={setText} />
        {cpus > 1 && (
          <label>
            seen by vCPU{' '}
            <select value={cpu} onChange={(event) => setCpu(Number(event.currentTarget.value))}>
              {Array.from({ length: cpus }, (_, i) => (
                <option key={i}>{i}</option>
              ))}
            </select>
          </label>
        )}
        <button type="submit">Follow it</button>
      </ActionForm>
      {address !== null && seen !== null && (
        <section aria-label="Way of the address">
          {seen.walk !== null && <Walk walk={seen.walk} />}
          <p role="status">
            <span class="code">{hex(address)}</span>{' '}
            {seen.gpa === null ? (
              faultOf(seen.walk)
            ) : (
              <>
                is guest-physical <span class="code">{hex(seen.gpa)}</span>
              </>
            )}
          </p>
          {seen.frame !== null && <Frame frame={seen.frame} />}
        </section>
      )}
    </details>
  )
}

function faultOf(walk: WalkView | null): string {
  const outcome = walk?.outcome
  if (outcome?.kind !== 'fault') return 'is not mapped'
  const code = 'pfec' in outcome ? `error code ${hex(outcome.pfec)}` : `status ${hex(outcome.status)}`
  return `is not mapped: a read faults at level ${outcome.level}, ${code}`
}

/** The entries of a walk from the top; beside each the table that the vCPU has cached of it. */
function Walk({ walk }: { walk: WalkView }) {
  const { steps } = walk
  const cached = 'cached' in walk ? walk.cached : null
  if (steps.length === 0) return <p class="soft">Paging is off.</p>
  return (
    <>
      <WideTable
        label="Page walk"
        columns={['Level', 'Entry', 'Leads to', ...(cached === null ? [] : ['Cached']), 'At', 'Value']}
        looks={['', 'row', '', ...(cached === null ? [] : ([''] as const)), 'code', 'code']}
        rows={steps.map(({ level, index, gpa, value, leads, bits, ...step }) => [
          level,
          `${'name' in step ? step.name : 'Descriptor'} ${index}`,
          leads,
          ...(cached === null ? [] : [cachedText(cached.find((one) => one.level === level - 1))]),
          gpa === undefined ? 'register' : hex(gpa),
          value === undefined ? '' : [hex(value), ...bits].join(' '),
        ])}
      />
      <p class="soft">{beginningOf(walk)}</p>
    </>
  )
}

/** Says where a walk begins. */
function beginningOf(walk: WalkView): string {
  if ('register' in walk)
    return `Stage 1 of EL1&0, Non-secure: ${walk.register}, pages of ${size(walk.granuleBytes)}, addresses of ${walk.inputBits} bits.`
  const [first] = walk.cached
  return first === undefined
    ? 'The paging-structure cache has nothing of this address: a walk reads every level.'
    : `A walk begins with the cached table of level ${first.level}, at ${hex(first.table)}, and reads no entry above.`
}

function cachedText(table: CachedTable | undefined): string {
  if (table === undefined) return ''
  return table.agrees ? `table ${hex(table.table)}` : `table ${hex(table.table)}: memory has something else now`
}

/** The page of the guest's map. */
function Frame({ frame: { type, leafBytes, rights, machineAddress, users } }: { frame: FrameView }) {
  return (
    <>
      <p>
        {type}, {rights === '' ? 'no rights' : rights}, in an entry of {size(leafBytes)}
        {machineAddress !== null && (
          <>
            , machine address <span class="code">{hex(machineAddress)}</span>
          </>
        )}
      </p>
      {users.length === 0 ? (
        <p class="soft">No device of this machine has the page mapped.</p>
      ) : (
        <ul>
          {users.map(({ device, mfn, held, heldForWriting }) => (
            <li key={device}>
              {device} {mfn === null ? 'remembers nothing of it' : `remembers machine frame ${hex(mfn)}`}, and holds{' '}
              {held} mappings, {heldForWriting} of them for writing
            </li>
          ))}
        </ul>
      )}
    </>
  )
}
