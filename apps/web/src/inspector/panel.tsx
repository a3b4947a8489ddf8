import type { AddressView, CompiledView, FrameView, InterruptView, Machine, MapView, PcView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ActionForm, Table, TextField, WideTable } from '../fields.tsx'
import type { PanelProps } from '../tabs.tsx'
import { addressText, type Decode, disassembled, loadDecoder } from './disassembly.ts'
import { Vcpus } from './vcpus.tsx'
import { LOOKING, useRead, useView } from './view.ts'
import './inspector.css'

/** The state of the machine at this moment. */
export function InspectorPanel({ machine, isShown, attempt }: PanelProps) {
  const view = useView(machine, isShown)
  const [decode, setDecode] = useState<Decode | null>(null)
  const mode = view?.vcpus[0]?.mode
  useEffect(() => {
    if (mode !== undefined) void loadDecoder(mode).then((loaded) => setDecode(() => loaded))
  }, [view?.architecture])
  if (view === undefined) return <p class="soft">{LOOKING}</p>
  if (view === null) return <p class="soft">The machine is off.</p>
  return (
    <>
      <Vcpus machine={machine} vcpus={view.vcpus} decode={decode} attempt={attempt} />
      {view.architecture === 'x86' && (
        <>
          <HotCode machine={machine} view={view} decode={decode} />
          <Interrupts interrupts={view.interrupts} />
        </>
      )}
      <AddressLook machine={machine} instructions={view.instructions} cpus={view.vcpus.length} attempt={attempt} />
      <MemoryMap map={view.map} />
      <Invalidations invalidations={view.invalidations} />
      <p class="soft">
        {view.instructions.toLocaleString('en')} instructions executed since this page has switched it on, or has gone
        on from a snapshot
      </p>
    </>
  )
}

/** Between two looks at the list. */
const LOOK_MS = 2000

interface HotCodeProps {
  readonly machine: Machine
  /** The last look: code in which processors are found is hot. */
  readonly view: PcView
  readonly decode: Decode | null
}

/** Hot guest code, and the WebAssembly that it was compiled to. */
function HotCode(props: HotCodeProps) {
  const [isOpen, setOpen] = useState(false)
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Hot code, and the WebAssembly that it became</summary>
      {isOpen && <Units {...props} />}
    </details>
  )
}

/** Weight of an old sample when a new one is added. */
const COOLING = 0.98

/** Heat of each unit: how often processors were found in it, of late. */
function useHeat(view: PcView, units: readonly CompiledView[]): ReadonlyMap<number, number> {
  const heat = useRef(new Map<number, number>())
  useEffect(() => {
    for (const [number, value] of heat.current) heat.current.set(number, value * COOLING)
    for (const { address, idle } of view.vcpus) {
      const unit = idle ? undefined : units.find((one) => one.instructions.some((each) => each.address === address))
      if (unit !== undefined) heat.current.set(unit.number, (heat.current.get(unit.number) ?? 0) + 1)
    }
  }, [view])
  return heat.current
}

function Units({ machine, view, decode }: HotCodeProps) {
  const [units, setUnits] = useState<readonly CompiledView[]>([])
  const [chosen, choose] = useState<CompiledView | null>(null)
  const [wat, setWat] = useState('')
  useEffect(() => {
    const look = (): void => void machine.compiledCode().then(setUnits, () => setUnits([]))
    look()
    const timer = setInterval(look, LOOK_MS)
    return () => clearInterval(timer)
  }, [machine])
  const heat = useHeat(view, units)
  const heatOf = ({ number }: CompiledView): number => heat.get(number) ?? 0
  // Among equally hot units the newest comes first.
  const sorted = units.toSorted((a, b) => heatOf(b) - heatOf(a))
  const hottest = Math.max(1, ...heat.values())
  const unit = chosen ?? sorted[0] ?? null
  useEffect(() => {
    if (unit === null) return
    void import('@retrap/wasm-emitter').then(({ moduleText }) => setWat(moduleText(unit.module)))
  }, [unit?.number])
  if (unit === null) return <p class="soft">Nothing has been compiled yet: code is when it has been hot for a while.</p>
  const guest = unit.instructions.map(({ address, bytes }) =>
    decode === null ? '' : disassembled(decode, { mode: unit.mode, address, bytes }, 1),
  )
  return (
    <>
      <ul class="units" aria-label="Compiled code, the hottest first" tabIndex={0}>
        {(sorted.some(({ number }) => number === unit.number) ? sorted : [unit, ...sorted]).map((one) => (
          <li key={one.number}>
            <button aria-pressed={one.number === unit.number} onClick={() => choose(one)}>
              <meter min={0} max={hottest} value={heatOf(one)} aria-label="Heat" />
              {`${one.number}: ${addressText(one.instructions[0]?.address ?? 0n, one.mode)}, ${one.instructions.length} instructions, ${one.module.length} bytes`}
            </button>
          </li>
        ))}
      </ul>
      <div class="beside">
        <pre role="region" tabIndex={0} aria-label="The guest's instructions">
          {guest.join('\n')}
        </pre>
        <pre role="region" tabIndex={0} aria-label="The WebAssembly">
          {wat}
        </pre>
      </div>
    </>
  )
}

const vectorText = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`
const list = (vectors: readonly number[]): string => vectors.map(vectorText).join(' ') || 'none'
const bits = (value: number): string => value.toString(2).padStart(8, '0')

const inputRow = ({ input, vector, trigger, asserted, masked }: InterruptView['ioApic'][number]) =>
  [input, vectorText(vector), trigger, asserted ? 'asserted' : 'idle', masked ? 'yes' : 'no'] as const

function Interrupts({ interrupts: { localApics, ioApic, pics } }: { interrupts: InterruptView }) {
  return (
    <details>
      <summary>Interrupts</summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Interrupt controllers">
        <Table
          caption="Local APICs"
          columns={['vCPU', 'Task priority', 'Requested', 'In service', 'Timer']}
          looks={['row']}
          rows={localApics.map(({ taskPriority, requested, inService, timerVector: timer }, i) => [
            i,
            vectorText(taskPriority),
            list(requested),
            list(inService),
            timer === null ? 'masked' : vectorText(timer),
          ])}
        />
        <Table
          caption="I/O APIC: inputs that are not masked, or asserted"
          columns={['Input', 'Vector', 'Trigger', 'Line', 'Masked']}
          looks={['row']}
          rows={ioApic.length === 0 ? [['none']] : ioApic.map(inputRow)}
        />
        <Table
          caption="i8259 pair: bits of inputs 7 to 0"
          columns={['Chip', 'First vector', 'Mask', 'Lines', 'In service']}
          looks={['row']}
          rows={pics.map(({ firstVector, mask, lines, inService }, i) => [
            i === 0 ? 'first' : 'second',
            vectorText(firstVector),
            ...[mask, lines, inService].map(bits),
          ])}
        />
      </div>
    </details>
  )
}

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
function AddressLook({ machine, instructions, cpus, attempt }: AddressLookProps) {
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

/** Writes a number of bytes for people. */
const size = (bytes: number): string =>
  bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 1024).toFixed(0)} KiB`

/** Guest memory by type of frame. */
function MemoryMap({ map: { bytesByType, leaves, tableBytes } }: { map: MapView }) {
  return (
    <details>
      <summary>Map of guest memory (p2m)</summary>
      <Table
        columns={['Type', 'Size']}
        looks={['row', 'figure']}
        rows={Object.entries(bytesByType).map(([type, bytes]) => [type, size(bytes)])}
      />
      <p class="soft">
        Entries: {leaves['1G']} of 1 GiB, {leaves['2M']} of 2 MiB, {leaves['4K']} of 4 KiB, in {size(tableBytes)} of
        tables.
      </p>
    </details>
  )
}

/** Changes of the map: until each server has acknowledged one, it may have old pages mapped, and processors wait. */
function Invalidations({ invalidations }: { invalidations: PcView['invalidations'] }) {
  const { epoch, servers, outstanding, waitingVcpus } = invalidations
  const isSettled = outstanding.length === 0 && waitingVcpus.length === 0
  return (
    <details>
      <summary>Pages that left the map: {isSettled ? 'every server has acknowledged' : 'some are outstanding'}</summary>
      <p class="soft">
        The last change has number {epoch}.{' '}
        {waitingVcpus.length > 0 && `Held back until all have acknowledged: vCPU ${waitingVcpus.join(', ')}.`}
      </p>
      <Table
        columns={['Device server', 'Acknowledged', 'State']}
        looks={['row', 'figure']}
        rows={servers.map(({ name, acknowledged, isAwaited }) => [
          name,
          acknowledged,
          isAwaited ? 'awaited' : 'has nothing old',
        ])}
      />
      {outstanding.map((run) => (
        <p key={run.epoch} class="code">
          {run.epoch}: guest frames {run.gfn.toString(16)} to {(run.gfn + run.count - 1).toString(16)}
          {run.writesOnly ? ', not written any more' : `, formerly machine frame ${run.mfn.toString(16)}`}
        </p>
      ))}
    </details>
  )
}
