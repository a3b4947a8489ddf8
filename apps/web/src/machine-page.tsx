import type { DriveOptions, GuestTrouble, Machine, NetworkOptions } from '@retrap/web'
import './machine-page.css'
import { Fragment } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Alert, FileButton } from './controls.tsx'
import { Ask } from './ask.tsx'
import { useImpairments } from './impairments.ts'
import type * as instrument from './debugger/instrument.tsx'
import { useKeeping } from './keeping.ts'
import { type MachineLife, type PageState, useMachine } from './machine-life.ts'
import { ScreenPanel } from './screen-panel.tsx'
import { SerialPanel } from './serial-panel.tsx'
import type { Chosen } from './settings.ts'
import { type Tab, Tabs } from './tabs.tsx'
import { Icon, Tool, useBack } from './toolbar.tsx'
import { useSound } from './use-sound.ts'

const STATE_NAMES: Readonly<Record<PageState, string>> = {
  loading: 'Loading',
  failed: 'Not started',
  off: 'Off',
  running: 'Running',
  paused: 'Paused',
  asleep: 'Asleep',
}

/** The tabs, some of which only certain machines have. A recording that is looked at has no tabs that act on a machine. */
const TABS: readonly (Tab & { readonly isFor?: (options: Chosen['options'], isRecording: boolean) => boolean })[] = [
  { id: 'debugger', name: 'Debugger', load: async () => (await import('./debugger/panel.tsx')).DebuggerPanel },
  { id: 'inspector', name: 'Inspector', load: async () => (await import('./inspector/panel.tsx')).InspectorPanel },
  { id: 'devices', name: 'Devices', load: async () => (await import('./inspector/devices.tsx')).DevicesPanel },
  { id: 'snapshots', name: 'Snapshots', load: async () => (await import('./snapshots/panel.tsx')).SnapshotsPanel },
  {
    id: 'playground',
    name: 'Playground',
    load: async () => (await import('./playground/panel.tsx')).PlaygroundPanel,
    isFor: ({ board }, isRecording) => board !== 'virt' && !isRecording,
  },
  {
    id: 'network',
    name: 'Network',
    load: async () => (await import('./network-panel.tsx')).NetworkPanel,
    isFor: ({ network }) => network !== undefined,
  },
  {
    id: 'files',
    name: 'Files',
    load: async () => (await import('./shared-files-panel.tsx')).SharedFilesPanel,
    isFor: ({ files }) => files === true,
  },
  {
    id: 'keys',
    name: 'Keys',
    load: async () => (await import('./keys/panel.tsx')).KeysPanel,
    isFor: (_, isRecording) => !isRecording,
  },
]

/** The tab that is open at first. Fingers have no keyboard; on a small screen the machine comes first. */
function firstTab({ options }: Chosen): string | null {
  const isRecording = options.recording !== undefined
  if (!isRecording && matchMedia('(pointer: coarse)').matches) return 'keys'
  return matchMedia('(max-width: 40rem), (max-height: 30rem)').matches ? null : 'debugger'
}

/** A machine, with its screen, serial port and instruments. */
export function MachinePage({ chosen: made, close }: { chosen: Chosen; close: () => void }) {
  const life = useMachine(made)
  // The cable may have been replugged: machines that continue from a snapshot get the present connection.
  const [network, plugged] = useState<NetworkOptions | null>(null)
  const chosen = network === null ? made : withNetwork(made, network)
  const { machine, state, attempt } = life
  const [asks, ask] = useState<'reset' | 'close' | null>(null)
  const impairments = useImpairments(machine, attempt)
  const heading = useRef<HTMLHeadingElement>(null)
  const isOn = state === 'running' || state === 'paused' || state === 'asleep'
  // Leaving a recording that was only viewed, and not continued, loses nothing: do not ask.
  const hasRun = useRef(chosen.options.recording === undefined)
  if (state === 'running') hasRun.current = true
  const isRecording = !hasRun.current
  const keeping = useKeeping(machine, chosen, isOn && !isRecording)
  const tools = useInstrument(machine, chosen)
  useEffect(() => {
    heading.current?.focus()
    // The title identifies the tab, also in messages about which tab uses a disk.
    const { title } = document
    document.title = `${chosen.title} – retrap`
    return () => void (document.title = title)
  }, [made])
  const end = (): void => {
    void keeping.forget()
    close()
  }
  const askToClose = (): void => (isOn && !isRecording ? ask('close') : end())
  useBack(askToClose, { place: chosen.of?.place })
  const tabs = TABS.filter(({ isFor }) => isFor?.(chosen.options, isRecording) !== false)
  const [tab, select] = useState(() => firstTab(chosen))
  const lastTab = useRef('debugger')
  if (tab !== null) lastTab.current = tab
  const hasTabs = machine !== null && state !== 'failed'
  const saveAndClose = async (): Promise<void> => {
    const { saveMachine } = await import('./snapshots/save.ts')
    await saveMachine(machine!, chosen, { parent: chosen.from ?? null })
    end()
  }
  const answer = (name: string, action: () => Promise<void>) => ({
    name,
    action: () => {
      ask(null)
      attempt(action)
    },
  })
  return (
    <div class={isRecording ? 'bench recording' : 'bench'}>
      <header class="bar">
        <h1 class="brand">retrap</h1>
        <div class="title">
          <h2 ref={heading} tabIndex={-1}>
            {chosen.title}
          </h2>
          <p class="status" role="status">
            <strong class={`pill ${state}`}>
              {isRecording && state === 'paused' ? 'Recording' : STATE_NAMES[state]}
            </strong>{' '}
            {life.progress?.waits === true ? 'It waits for the network: part of it has still to come.' : life.note}
            {life.note === '' && isOn && <span aria-live="off">{keeping.note}</span>}
          </p>
        </div>
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
        <div class="tools" role="group" aria-label="The machine's buttons">
          {!isRecording && (
            <Tool icon="snapshots" disabled={!hasTabs} onClick={() => select('snapshots')}>
              Snapshots
            </Tool>
          )}
          <Tool
            icon="instruments"
            look="opener"
            disabled={!hasTabs}
            expanded={tab !== null}
            onClick={() => select(tab === null ? lastTab.current : null)}
          >
            Instruments
          </Tool>
          {!isRecording && <More life={life} isOn={isOn} chosen={chosen} reset={() => ask('reset')} />}
          <Tool icon="close" onClick={askToClose}>
            {chosen.of === undefined ? 'Close' : 'Back to the cluster'}
          </Tool>
        </div>
        {isRecording && tools.Head !== undefined && machine !== null && (
          <tools.Head machine={machine} chosen={chosen} />
        )}
      </header>
      <main>
        {life.alert !== '' && (
          <div class="alerts">
            <div class="alert">
              <Alert>{life.alert}</Alert>
              {life.trouble !== undefined && machine !== null && isOn && (
                <button onClick={() => attempt(() => openBefore(machine, life.trouble!, life.say))}>
                  Open the debugger before it
                </button>
              )}
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
              <SerialPanel
                machine={machine}
                isReadOnly={isRecording}
                prompted={() => {
                  keeping.prompted()
                  setTimeout(tools.load, AFTER_PROMPT_MS)
                }}
                over={(terminal) =>
                  tools.Past !== undefined && machine !== null ? (
                    <tools.Past machine={machine} terminal={terminal} attempt={attempt} />
                  ) : null
                }
              />
            </div>
            {tools.Instrument !== undefined && machine !== null ? (
              <tools.Instrument
                {...{ machine, chosen, state, attempt }}
                run={life.run}
                openPanel={() => select('debugger')}
              />
            ) : (
              <div class="instrument" />
            )}
            {machine !== null && (
              <Tabs
                tabs={tabs}
                open={tab}
                select={select}
                waits={tools.Instrument === undefined}
                context={{ machine, chosen, isOn, impairments, plugged, attempt, settle: life.settle }}
              />
            )}
          </>
        )}
      </main>
      {asks === 'reset' && (
        <Ask
          question="Reset this machine?"
          detail="It starts anew, as by its reset button. What is in its memory is lost; disks keep what was written."
          answers={[answer('Reset it', () => machine!.reset())]}
          cancel={() => ask(null)}
        />
      )}
      {asks === 'close' && (
        <Ask
          question="Close this machine?"
          detail="It ends, and what is in its memory is lost, unless you save a snapshot: the start page goes on from that."
          answers={[answer('Save and close', saveAndClose), { name: 'Close it', action: end }]}
          cancel={() => ask(null)}
        />
      )}
    </div>
  )
}

/** Opens the debugger at the instant before a trouble of the guest's, or at the present where the machine is not recorded. */
async function openBefore(machine: Machine, trouble: GuestTrouble, say: (note: string) => void): Promise<void> {
  document.querySelector<HTMLElement>('#tab-debugger')?.click()
  const { goBefore } = await import('./debugger/use-debugger.ts')
  if (!(await goBefore(machine, trouble)))
    say('It is not recorded, and is shown as it stands. Of a machine that is recorded, the debugger goes before this.')
}

type InstrumentParts = typeof instrument

/** Delays after the first prompt, and after creation, for loading the instrument without delaying the machine's start. */
const [AFTER_PROMPT_MS, INSTRUMENT_MS] = [200, 1500]

/** The debugger's bar and time line. */
function useInstrument(machine: Machine | null, { options }: Chosen): Partial<InstrumentParts> & { load: () => void } {
  const [parts, setParts] = useState<InstrumentParts | null>(null)
  const load = (): void => {
    void import('./debugger/instrument.tsx').then(setParts)
  }
  useEffect(() => {
    if (machine === null) return undefined
    const timer = setTimeout(load, options.recording === undefined ? INSTRUMENT_MS : 0)
    return () => clearTimeout(timer)
  }, [machine])
  return { ...parts, load }
}

/** Returns the same machine with its network cable connected elsewhere. */
function withNetwork(chosen: Chosen, network: NetworkOptions): Chosen {
  const { card, macAddress } = chosen.options.network ?? {}
  const own = { ...(card !== undefined && { card }), ...(macAddress !== undefined && { macAddress }) }
  return { ...chosen, options: { ...chosen.options, network: { ...own, ...network } } }
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

/** A drive with a removable medium. */
interface Removable {
  readonly id: string
  /** Name for people. */
  readonly name: string
}

/** Returns the drives with removable media. Unnamed drives have the names that `createMachine` gives them. */
function removableOf({ options: { drives = [] } }: Chosen): Removable[] {
  const cds = drives.filter(({ media }) => media === 'cdrom')
  const floppies = drives.filter((drive) => drive.interface === 'floppy')
  return [...named(cds, 'cd', 'CD'), ...named(floppies, 'floppy', 'floppy')]
}

const named = (drives: readonly DriveOptions[], short: string, name: string): Removable[] =>
  drives.map(({ id }, i) => ({ id: id ?? `${short}${i}`, name: drives.length === 1 ? name : `${name} ${i + 1}` }))

interface MoreProps {
  readonly life: MachineLife
  readonly isOn: boolean
  readonly chosen: Chosen
  readonly reset: () => void
}

/** A menu of the machine's own buttons and drives. */
function More({ life, isOn, chosen, reset }: MoreProps) {
  const { machine, attempt, say } = life
  const drives = removableOf(chosen)
  const sound = useSound(machine)
  const turnSound = async (): Promise<void> => {
    await sound.turn(!sound.isOn)
    const heard = chosen.options.sound === true ? 'sound card and PC speaker' : 'the PC speaker. There is no sound card'
    say(sound.isOn ? 'Sound is off.' : `Sound is on: ${heard}.`)
  }
  const pressPower = async (one: Machine): Promise<void> => {
    if (!(await one.powerButton())) say('The guest does not listen to its power button.')
  }
  const insert = async (one: Machine, { id, name }: Removable, file: File | null): Promise<void> => {
    await one.insert(id, file)
    say(file === null ? `The ${name} is out.` : `In the ${name} drive: ${file.name}.`)
  }
  return (
    <>
      <button class="tool more" popovertarget="more" aria-label="More" title="More">
        <Icon name="more" />
      </button>
      <div
        id="more"
        class="menu"
        popover="auto"
        role="group"
        aria-label="More"
        onClick={({ currentTarget, target }) => target !== currentTarget && currentTarget.hidePopover()}
      >
        <Tool icon="power" disabled={!isOn} onClick={() => attempt(() => pressPower(machine!))}>
          Power button
        </Tool>
        {chosen.options.board !== 'virt' || chosen.options.sound === true ? (
          <Tool icon="sound" disabled={machine === null} pressed={sound.isOn} onClick={() => attempt(turnSound)}>
            Sound
          </Tool>
        ) : null}
        {machine !== null &&
          drives.map((drive) => (
            <Fragment key={drive.id}>
              <FileButton isTool take={(file) => attempt(() => insert(machine, drive, file))}>
                <Icon name="disc" />
                Change {drive.name}
              </FileButton>
              <Tool icon="eject" onClick={() => attempt(() => insert(machine, drive, null))}>
                Eject {drive.name}
              </Tool>
            </Fragment>
          ))}
        <Tool icon="reset" disabled={machine === null} onClick={reset}>
          Reset
        </Tool>
      </div>
    </>
  )
}
