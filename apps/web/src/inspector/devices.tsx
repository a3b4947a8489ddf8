import './inspector.css'
import type { MachineView } from '@retrap/web'
import { DISKS, type Impairments } from '../impairments.ts'
import type { PanelProps } from '../tabs.tsx'
import type { Vcpu } from './disassembly.ts'
import { LOOKING, useView } from './view.ts'

/** Milliseconds that each access takes longer. */
const PRESETS = [0, 50, 300, 3000] as const

/** The part of the machine's state that the panel shows. */
const partOf = ({ vcpus, requests, devices }: MachineView): unknown => [
  vcpus.map(({ activity, waitsFor }) => [activity, waitsFor]),
  requests,
  devices,
]

/** Device models, each with controls to slow it down or make it fail, and with its pending requests. */
export function DevicesPanel({ machine, chosen, isShown, impairments }: PanelProps) {
  const view = useView(machine, isShown, partOf, impairments.names.join())
  if (view === undefined) return <p class="soft">{LOOKING}</p>
  if (view === null) return <p class="soft">The machine is off.</p>
  return (
    <>
      <p class="soft">
        Make any device slow, or fail. The processor that waits is in the middle of an instruction; everything else runs
        on, and the guest executes exactly what it would have executed.
      </p>
      {view.vcpus.map((vcpu, i) => (
        <Wait key={i} number={i} vcpu={vcpu} />
      ))}
      <p class="head soft" aria-hidden="true">
        <span>Device</span>
        <span>Each access slower by, ms</span>
        <span />
        <span>In flight</span>
      </p>
      <ul class="strips" aria-label="Devices">
        {(chosen.options.drives ?? []).length > 0 && (
          <Strip
            name={DISKS}
            impairments={impairments}
            waiting={view.requests.map(({ drive, ms }) => ({ ms, what: `${drive} ` }))}
          />
        )}
        {view.devices.map(({ name, waitingMs }) => (
          <Strip key={name} name={name} impairments={impairments} waiting={waitingMs.map((ms) => ({ ms, what: '' }))} />
        ))}
      </ul>
    </>
  )
}

/** The device that a processor waits for. The place is reserved even while no processor waits, so that the layout stays. */
export function Wait({
  number,
  vcpu: { activity, waitsFor },
}: {
  number: number
  vcpu: Pick<Vcpu, 'activity' | 'waitsFor'>
}) {
  return (
    <p class={waitsFor === null ? 'wait' : 'wait on'}>
      {waitsFor === null ? (
        <>
          vCPU {number} {activity === 'halted' || activity === 'off' ? `is ${activity}` : activity}
        </>
      ) : (
        <>
          vCPU {number} waits for <strong>{waitsFor.device}</strong>: {waitsFor.request}
        </>
      )}
    </p>
  )
}

interface StripProps {
  readonly name: string
  readonly impairments: Impairments
  /** The requests that have not been answered yet. */
  readonly waiting: readonly { readonly ms: number; readonly what: string }[]
}

function Strip({ name, impairments, waiting }: StripProps) {
  const { delayMs, dead } = impairments.of(name)
  const most = Math.max(delayMs, 50)
  return (
    <li class={delayMs > 0 || dead ? 'on' : ''}>
      <span class="name">{name}</span>
      <span class="presets" role="radiogroup" aria-label={`Delay of ${name}`}>
        {PRESETS.map((ms) => (
          <label key={ms}>
            <input
              type="radio"
              name={`delay ${name}`}
              aria-label={`${ms} milliseconds`}
              value={ms}
              checked={delayMs === ms}
              onChange={() => impairments.set(name, { delayMs: ms, dead })}
            />
            <span>{ms}</span>
          </label>
        ))}
      </span>
      <label class="fails">
        <input
          type="checkbox"
          role="switch"
          aria-label={`${name} fails`}
          checked={dead}
          onChange={(event) => impairments.set(name, { delayMs, dead: event.currentTarget.checked })}
        />
        fails
      </label>
      <span class="flight figure">
        {waiting.slice(0, 4).map(({ ms }, i) => (
          <i key={i} style={{ width: `${Math.min(100, (100 * ms) / most)}%` }} />
        ))}
        {waiting.length > 0 && `${waiting[0]!.what}${Math.round(waiting[0]!.ms)} ms`}
        {waiting.length > 1 && `, ${waiting.length - 1} more`}
      </span>
    </li>
  )
}
