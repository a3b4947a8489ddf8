import type { Machine, MachineState, Progress } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { LaterPanel } from './later-panel.tsx'
import { NetworkPanel } from './network-panel.tsx'
import { ScreenPanel } from './screen-panel.tsx'
import { SerialPanel } from './serial-panel.tsx'
import type { Chosen } from './settings.ts'
import { SnapshotsPanel } from './snapshots-panel.tsx'
import { takeWorker } from './spare-worker.ts'

const STATE_NAMES: Readonly<Record<MachineState | 'loading' | 'failed', string>> = {
  loading: 'Loading',
  failed: 'Not started',
  off: 'Off',
  running: 'Running',
  paused: 'Paused',
  asleep: 'Asleep',
}

/** A machine, with its screen, its serial port and its buttons. */
export function MachinePage({ chosen, close }: { chosen: Chosen; close: () => void }) {
  const [begun, setBegun] = useState(false)
  const [machine, setMachine] = useState<Machine | null>(null)
  const [state, setState] = useState<MachineState | 'loading' | 'failed'>('loading')
  const [progress, setProgress] = useState<Progress | null>(null)
  const [note, setNote] = useState('')
  const [error, setError] = useState('')
  const heading = useRef<HTMLHeadingElement>(null)

  useEffect(() => {
    heading.current?.focus()
    // Tabs are told apart by it, and say by it which of them has a disk.
    const { title } = document
    document.title = `${chosen.title} – retrap`
    const control = new AbortController()
    void begin(chosen, control.signal, { setBegun, setMachine, setState, setProgress, setNote, setError })
    return () => {
      control.abort()
      document.title = title
    }
  }, [chosen])

  const attempt = (action: () => Promise<unknown>): void => {
    setError('')
    action().catch((thrown: unknown) => setError(messageOf(thrown)))
  }
  const pressPower = async (one: Machine): Promise<void> => {
    if (!(await one.powerButton())) setNote('The guest does not listen to its power button.')
  }
  const hasCd = chosen.options.drives?.some(({ media }) => media === 'cdrom') === true
  const isOn = state === 'running' || state === 'paused' || state === 'asleep'
  return (
    <>
      <h2 ref={heading} tabIndex={-1}>
        {chosen.title}
      </h2>
      <div class="toolbar" role="toolbar" aria-label="The machine's buttons">
        {state === 'running' ? (
          <button onClick={() => attempt(() => machine!.pause())}>Pause</button>
        ) : (
          <button disabled={machine === null || state === 'asleep'} onClick={() => run(machine!, setNote)}>
            {state === 'paused' ? 'Continue' : 'Switch on'}
          </button>
        )}
        <button disabled={machine === null} onClick={() => attempt(() => machine!.reset())}>
          Reset
        </button>
        <button disabled={!isOn} onClick={() => attempt(() => pressPower(machine!))}>
          Power button
        </button>
        {hasCd && machine !== null && (
          <label class="button file">
            Change CD
            <input
              type="file"
              onChange={(event) => {
                const file = event.currentTarget.files?.[0]
                if (file !== undefined) attempt(() => machine.insert('cd0', file))
              }}
            />
          </label>
        )}
        <button onClick={close}>Close</button>
      </div>
      <p class="status" role="status">
        <strong>{STATE_NAMES[state]}.</strong> {note}
      </p>
      {error !== '' && (
        <p class="wrong" role="alert">
          {error}
        </p>
      )}
      {state === 'loading' && progress !== null && (
        <p>
          <label>
            {progress.image}: {Math.ceil(progress.loadedBytes / 1024)} KiB
            {progress.totalBytes === null ? (
              <progress />
            ) : (
              <progress value={progress.loadedBytes} max={progress.totalBytes} />
            )}
          </label>
        </p>
      )}
      {begun && state !== 'failed' && (
        <div class="machine">
          {machine !== null && <ScreenPanel machine={machine} />}
          <SerialPanel machine={machine} />
          {machine !== null && <Panels machine={machine} chosen={chosen} isOn={isOn} attempt={attempt} />}
        </div>
      )}
    </>
  )
}

interface PanelsProps {
  readonly machine: Machine
  readonly chosen: Chosen
  readonly isOn: boolean
  readonly attempt: (action: () => Promise<unknown>) => void
}

/** What is below the screen and the terminal. */
function Panels({ machine, chosen, isOn, attempt }: PanelsProps) {
  return (
    <>
      <LaterPanel
        summary="Keys, and text to type"
        machine={machine}
        load={async () => (await import('./keys/panel.tsx')).KeysPanel}
        opens={matchMedia('(pointer: coarse)').matches}
      />
      {chosen.options.network !== undefined && (
        <NetworkPanel machine={machine} network={chosen.options.network} attempt={attempt} />
      )}
      <SnapshotsPanel machine={machine} chosen={chosen} isOn={isOn} />
      {chosen.options.board !== 'virt' && (
        <>
          <LaterPanel
            summary="Inspector"
            machine={machine}
            load={async () => (await import('./inspector/panel.tsx')).InspectorPanel}
          />
          <LaterPanel
            summary="Playground: a device of your own"
            machine={machine}
            load={async () => (await import('./playground/panel.tsx')).PlaygroundPanel}
            stays
          />
        </>
      )}
    </>
  )
}

interface Setters {
  readonly setBegun: (begun: boolean) => void
  readonly setMachine: (machine: Machine | null) => void
  readonly setState: (state: MachineState | 'loading' | 'failed') => void
  readonly setProgress: (progress: Progress) => void
  readonly setNote: (note: string) => void
  readonly setError: (error: string) => void
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function run(machine: Machine, setNote: (note: string) => void): void {
  setNote('')
  // How it ends is told by its events.
  machine.run().catch(() => {})
}

/** Makes the machine and runs it, until `signal` ends it. */
async function begin({ options }: Chosen, signal: AbortSignal, set: Setters): Promise<void> {
  set.setState('loading')
  set.setMachine(null)
  try {
    const { createMachine, startMachineWorker } = await import('@retrap/web')
    const createWorker = (): Worker => takeWorker() ?? startMachineWorker()
    const making = createMachine({ ...options, createWorker, signal, onProgress: set.setProgress })
    // The terminal is made while the Worker makes the machine.
    set.setBegun(true)
    const machine = await making
    signal.addEventListener('abort', () => machine.dispose())
    machine.on('state', set.setState)
    machine.on('warning', set.setError)
    machine.on('exit', ({ reason, detail }) => {
      set.setNote(`The machine has ended: ${reason}.`)
      if (detail !== undefined) set.setError(detail.message)
    })
    set.setMachine(machine)
    run(machine, set.setNote)
  } catch (error) {
    if (signal.aborted) return
    set.setState('failed')
    set.setError(messageOf(error))
  }
}
