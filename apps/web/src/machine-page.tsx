import type { Machine } from '@retrap/web'
import './machine-page.css'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Ask } from './ask.tsx'
import { useImpairments } from './impairments.ts'
import { useKeeping } from './keeping.ts'
import { type MachineLife, type PageState, useMachine } from './machine-life.ts'
import { ScreenPanel } from './screen-panel.tsx'
import { SerialPanel } from './serial-panel.tsx'
import type { Chosen } from './settings.ts'
import { type Tab, Tabs } from './tabs.tsx'
import { Icon, Tool } from './toolbar.tsx'

const STATE_NAMES: Readonly<Record<PageState, string>> = {
  loading: 'Loading',
  failed: 'Not started',
  off: 'Off',
  running: 'Running',
  paused: 'Paused',
  asleep: 'Asleep',
}

const INSIDE: readonly Tab[] = [
  { id: 'devices', name: 'Devices', load: async () => (await import('./inspector/devices.tsx')).DevicesPanel },
  { id: 'inspector', name: 'Inspector', load: async () => (await import('./inspector/panel.tsx')).InspectorPanel },
]
const SNAPSHOTS: Tab = {
  id: 'snapshots',
  name: 'Snapshots',
  load: async () => (await import('./snapshots/panel.tsx')).SnapshotsPanel,
}
const PLAYGROUND: Tab = {
  id: 'playground',
  name: 'Playground',
  load: async () => (await import('./playground/panel.tsx')).PlaygroundPanel,
}
const NETWORK: Tab = {
  id: 'network',
  name: 'Network',
  load: async () => (await import('./network-panel.tsx')).NetworkPanel,
}
const KEYS: Tab = { id: 'keys', name: 'Keys', load: async () => (await import('./keys/panel.tsx')).KeysPanel }

function tabsOf({ options }: Chosen): readonly Tab[] {
  const isPc = options.board !== 'virt'
  return [
    ...INSIDE,
    SNAPSHOTS,
    ...(isPc ? [PLAYGROUND] : []),
    ...(options.network === undefined ? [] : [NETWORK]),
    KEYS,
  ]
}

/** The tab that is open at first. Fingers have no keyboard; on a small screen the machine comes first. */
function firstTab(tabs: readonly Tab[]): string | null {
  if (matchMedia('(pointer: coarse)').matches) return 'keys'
  return matchMedia('(max-width: 40rem)').matches ? null : tabs[0]!.id
}

/** A machine, with its screen, its serial port and its instruments. */
export function MachinePage({ chosen, close }: { chosen: Chosen; close: () => void }) {
  const life = useMachine(chosen)
  const { machine, state, attempt } = life
  const [asks, ask] = useState<'reset' | 'close' | null>(null)
  const impairments = useImpairments(machine, attempt)
  const heading = useRef<HTMLHeadingElement>(null)
  const isOn = state === 'running' || state === 'paused' || state === 'asleep'
  const keeping = useKeeping(machine, chosen, isOn)
  useEffect(() => {
    heading.current?.focus()
    // Tabs are told apart by it, and say by it which of them has a disk.
    const { title } = document
    document.title = `${chosen.title} – retrap`
    return () => void (document.title = title)
  }, [chosen])
  const end = (): void => {
    void keeping.forget()
    close()
  }
  const askToClose = (): void => (isOn ? ask('close') : end())
  useBack(askToClose)
  const tabs = tabsOf(chosen)
  const [first] = useState(() => firstTab(tabs))
  const saveAndClose = async (): Promise<void> => {
    const { saveMachine } = await import('./snapshots/save.ts')
    await saveMachine(machine!, chosen, { parent: chosen.from ?? null })
    end()
  }
  return (
    <div class="bench">
      <header class="bar">
        <h1 class="brand">retrap</h1>
        <h2 ref={heading} tabIndex={-1}>
          {chosen.title}
        </h2>
        <Buttons life={life} isOn={isOn} chosen={chosen} ask={ask} askToClose={askToClose} />
        <p class="status" role="status">
          <strong class={`pill ${state}`}>{STATE_NAMES[state]}</strong> {life.note}
        </p>
        {impairments.names.length > 0 && (
          <p class="impaired">
            <span>
              {impairments.names
                .map((name) => {
                  const { delayMs, dead } = impairments.of(name)
                  return `${name} ${dead ? 'fails' : `+${delayMs} ms`}`
                })
                .join(', ')}
            </span>
            <button onClick={impairments.reset}>Reset all</button>
          </p>
        )}
        {state === 'loading' && life.progress !== null && <Loading life={life} />}
      </header>
      <main>
        {life.alert !== '' && (
          <div class="alerts">
            <div class="alert">
              <p class="wrong" role="alert">
                {life.alert}
              </p>
              <button aria-label="Dismiss" onClick={life.dismiss}>
                <Icon name="close" />
              </button>
            </div>
          </div>
        )}
        {life.isMade && state !== 'failed' && (
          <>
            <div class="machine">
              {machine !== null && <ScreenPanel machine={machine} />}
              <SerialPanel machine={machine} />
            </div>
            {machine !== null && (
              <Tabs tabs={tabs} first={first} context={{ machine, chosen, isOn, impairments, attempt }} />
            )}
          </>
        )}
      </main>
      {asks === 'reset' && (
        <Ask
          question="Reset this machine?"
          detail="It starts anew, as by its reset button. What is in its memory is lost; disks keep what was written."
          answers={[
            {
              name: 'Reset it',
              action: () => {
                ask(null)
                attempt(() => machine!.reset())
              },
            },
          ]}
          cancel={() => ask(null)}
        />
      )}
      {asks === 'close' && (
        <Ask
          question="Close this machine?"
          detail="It ends, and what is in its memory is lost, unless you save a snapshot: the start page goes on from that."
          answers={[
            {
              name: 'Save and close',
              action: () => {
                ask(null)
                attempt(saveAndClose)
              },
            },
            { name: 'Close it', action: end },
          ]}
          cancel={() => ask(null)}
        />
      )}
    </div>
  )
}

/** Has the browser's button Back lead to the start page, and ask first. */
function useBack(ask: () => void): void {
  const latest = useRef(ask)
  latest.current = ask
  useEffect(() => {
    const stay = (): void => history.pushState({ ...history.state, machine: true }, '')
    stay()
    const back = (): void => {
      stay()
      latest.current()
    }
    addEventListener('popstate', back)
    return () => {
      removeEventListener('popstate', back)
      history.back()
    }
  }, [])
}

function Loading({ life: { progress } }: { life: MachineLife }) {
  const { image, loadedBytes, totalBytes } = progress!
  return (
    <label class="loading">
      {image}: {Math.ceil(loadedBytes / 1024)} KiB
      {totalBytes === null ? <progress /> : <progress value={loadedBytes} max={totalBytes} />}
    </label>
  )
}

interface ButtonsProps {
  readonly life: MachineLife
  readonly isOn: boolean
  readonly chosen: Chosen
  readonly ask: (what: 'reset') => void
  readonly askToClose: () => void
}

function Buttons({ life, isOn, chosen, ask, askToClose }: ButtonsProps) {
  const { machine, state, attempt, say } = life
  const hasCd = chosen.options.drives?.some(({ media }) => media === 'cdrom') === true
  const step = async (one: Machine): Promise<void> => {
    const done = await one.step()
    say(done ? '' : 'vCPU 0 waits for an interrupt or for a device: it has not executed an instruction.')
  }
  const pressPower = async (one: Machine): Promise<void> => {
    if (!(await one.powerButton())) say('The guest does not listen to its power button.')
  }
  const insert = async (one: Machine, file: File | null): Promise<void> => {
    await one.insert('cd0', file)
    say(file === null ? 'The CD is out.' : `In the CD drive: ${file.name}.`)
  }
  return (
    <div class="tools" role="group" aria-label="The machine's buttons">
      {state === 'running' ? (
        <Tool icon="pause" onClick={() => attempt(() => machine!.pause())}>
          Pause
        </Tool>
      ) : (
        <Tool icon="run" disabled={machine === null || state === 'asleep'} onClick={life.run}>
          {state === 'paused' ? 'Continue' : 'Switch on'}
        </Tool>
      )}
      <Tool icon="step" disabled={!isOn} onClick={() => attempt(() => step(machine!))}>
        Single step
      </Tool>
      <Tool icon="power" disabled={!isOn} onClick={() => attempt(() => pressPower(machine!))}>
        Power button
      </Tool>
      {hasCd && machine !== null && (
        <>
          <label class="button tool file">
            <Icon name="disc" />
            Change CD
            <input
              type="file"
              onChange={(event) => {
                const file = event.currentTarget.files?.[0]
                event.currentTarget.value = ''
                if (file !== undefined) attempt(() => insert(machine, file))
              }}
            />
          </label>
          <Tool icon="eject" onClick={() => attempt(() => insert(machine, null))}>
            Eject CD
          </Tool>
        </>
      )}
      <span class="apart" />
      <Tool icon="reset" disabled={machine === null} onClick={() => ask('reset')}>
        Reset
      </Tool>
      <Tool icon="close" onClick={askToClose}>
        Close
      </Tool>
    </div>
  )
}
