import type { DeviceView, Machine, RequestView } from '@retrap/web'
import { useState } from 'preact/hooks'

const MOST_DELAY_MS = 3000
const DELAY_STEP_MS = 50

interface DevicesProps {
  readonly machine: Machine
  readonly devices: readonly DeviceView[]
  readonly requests: readonly RequestView[]
}

/** Device models, each with a brake and a switch that makes it fail, and what they are asked just now. */
export function Devices({ machine, devices, requests }: DevicesProps) {
  const [diskDelay, setDiskDelay] = useState(0)
  const [disksFail, setDisksFail] = useState(false)
  // A machine that has ended meanwhile has no devices: the next look shows that.
  const impair = (name: string, delayMs: number, dead: boolean): void =>
    void machine.impairDevice(name, { delayMs, dead }).catch(() => {})
  return (
    <details>
      <summary>Devices: make any of them slow, or fail</summary>
      <p class="soft">
        A slow device answers each access later. The processor that waits is in the middle of an instruction; everything
        else runs on, and the guest executes exactly what it would have executed.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Devices">
        <table>
          <thead>
            <tr>
              <th>Device</th>
              <th>Each access takes longer</th>
              <th>Fails</th>
              <th>Waits now</th>
            </tr>
          </thead>
          <tbody>
            {devices.map(({ name, delayMs, dead, waitingMs }) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>
                  <Brake label={`Delay of ${name}`} value={delayMs} change={(ms) => impair(name, ms, dead)} />
                </td>
                <td>
                  <Failure label={`${name} fails`} checked={dead} change={(on) => impair(name, delayMs, on)} />
                </td>
                <td class="figure">{waitingMs.map((ms) => `${Math.round(ms)} ms`).join(', ')}</td>
              </tr>
            ))}
            <tr>
              <th scope="row">contents of disks</th>
              <td>
                <Brake
                  label="Delay of disks"
                  value={diskDelay}
                  change={(ms) => {
                    setDiskDelay(ms)
                    machine.setDiskDelay(ms)
                  }}
                />
              </td>
              <td>
                <Failure
                  label="Reads of disks fail"
                  checked={disksFail}
                  change={(on) => {
                    setDisksFail(on)
                    machine.setDisksFail(on)
                  }}
                />
              </td>
              <td class="figure">{requests.map(({ drive, ms }) => `${drive} ${Math.round(ms)} ms`).join(', ')}</td>
            </tr>
          </tbody>
        </table>
      </div>
    </details>
  )
}

interface BrakeProps {
  readonly label: string
  readonly value: number
  readonly change: (ms: number) => void
}

function Brake({ label, value, change }: BrakeProps) {
  return (
    <span class="brake">
      <input
        type="range"
        aria-label={label}
        aria-valuetext={`${value} milliseconds`}
        min={0}
        max={MOST_DELAY_MS}
        step={DELAY_STEP_MS}
        value={value}
        onInput={(event) => change(Number(event.currentTarget.value))}
      />
      <span class="figure">{value} ms</span>
    </span>
  )
}

interface FailureProps {
  readonly label: string
  readonly checked: boolean
  readonly change: (on: boolean) => void
}

function Failure({ label, checked, change }: FailureProps) {
  return (
    <input
      type="checkbox"
      role="switch"
      aria-label={label}
      checked={checked}
      onChange={(event) => change(event.currentTarget.checked)}
    />
  )
}
