import type { Machine, PageDebugger, RunPosition, TravelStop } from '@retrap/web'
import { useEffect } from 'preact/hooks'
import type { PageState } from '../machine-life.ts'
import type { DebuggerView } from './use-debugger.ts'

/** Drawings of 16×16, as paths, of ways on; a way back has the same in a mirror. */
const ICONS = {
  play: 'M4.5 2.5v11l9-5.5z',
  pause: 'M5 3v10M11 3v10',
  step: 'M3 3v10l6-5zM12.5 3v10',
  over: 'M2 8.5a6 6 0 0 1 11.5-1.5M14 2.5v4.7H9.3M8 12.2a1 1 0 1 0 .01 0',
  out: 'M3 13.5V9a4 4 0 0 1 4-4h6M10 1.8L13.2 5 10 8.2M8.5 12a1 1 0 1 0 .01 0',
  request: 'M1.5 8h6.2M5 5l3 3-3 3M10.5 3.5h4v9h-4z',
  now: 'M2 3.5v9L7 8zM7 3.5v9L12 8zM14 3.5v9',
  mark: 'M4 14V2.5h8.5l-2.5 3 2.5 3H4',
  record: 'M8 3.5a4.5 4.5 0 1 0 .01 0M8 6a2 2 0 1 0 .01 0',
} as const

interface Way {
  readonly name: string
  /** The key for the command, outside the terminal, where keys go to the guest. */
  readonly key: string
  readonly icon: keyof typeof ICONS
  readonly go: (debug: PageDebugger) => Promise<TravelStop>
}

/** With Shift the key of a way on goes back, as the buttons are beside each other from the outside in. */
const BACK: readonly Way[] = [
  { name: 'Back to the last stop', key: 'Shift+F8', icon: 'play', go: (debug) => debug.reverseContinue() },
  { name: 'Back to the last device request', key: 'Shift+F4', icon: 'request', go: (debug) => debug.lastRequest() },
  { name: 'Back out of the function', key: 'Shift+F7', icon: 'out', go: (debug) => debug.reverseStepOut() },
  { name: 'Back over a call', key: 'Shift+F10', icon: 'over', go: (debug) => debug.reverseStepOver() },
  { name: 'Step back', key: 'Shift+F11', icon: 'step', go: (debug) => debug.stepBack() },
]
const ON: readonly Way[] = [
  { name: 'Step on', key: 'F11', icon: 'step', go: (debug) => debug.step() },
  { name: 'On over a call', key: 'F10', icon: 'over', go: (debug) => debug.stepOver() },
  { name: 'On out of the function', key: 'F7', icon: 'out', go: (debug) => debug.stepOut() },
  { name: 'On to the next device request', key: 'F4', icon: 'request', go: (debug) => debug.nextRequest() },
]
const WAYS: readonly Way[] = [...BACK, ...ON]

interface SignProps {
  readonly name: string
  readonly icon: keyof typeof ICONS
  readonly shortcut?: string
  readonly isBack?: boolean
  readonly isOff?: boolean
  readonly onClick: () => void
}

/** A button with a drawing alone: its name is a tooltip. A button that is off keeps the focus. */
export function Sign({ name, icon, shortcut, isBack = false, isOff = false, onClick }: SignProps) {
  return (
    <button
      class={isBack ? 'sign back' : `sign ${icon}`}
      aria-label={name}
      aria-disabled={isOff}
      aria-keyshortcuts={shortcut}
      title={shortcut === undefined ? name : `${name} (${shortcut})`}
      onClick={() => !isOff && onClick()}
    >
      <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
        <path d={ICONS[icon]} />
      </svg>
    </button>
  )
}

interface TransportProps extends Pick<DebuggerView, 'isBusy' | 'isPlaying' | 'play' | 'say'> {
  readonly machine: Machine
  /** Null: the machine is not recorded, and goes on alone. */
  readonly position: RunPosition | null
  readonly state: PageState
  readonly travel: (way: () => Promise<TravelStop>) => void
  readonly attempt: (action: () => Promise<unknown>) => void
  /** Switches the machine on, or resumes it. */
  readonly run: () => void
  readonly mark: () => void
}

/** Buttons and keys for running the machine and letting it stand still, for moving through the run, for continuing from here, and for returning to the present. */
export function Transport(props: TransportProps) {
  const { machine, position, state, isBusy, isPlaying, play, say, travel, attempt, run, mark } = props
  const { debugger: debug } = machine
  const isLive = position?.isLive !== false
  const goes = isBusy || isPlaying || (isLive && state === 'running')
  const name = goes ? 'Pause' : !isLive ? 'Play from here' : state === 'paused' ? 'Continue' : 'Switch on'
  const toggle = (): void => {
    if (isPlaying) attempt(play)
    else if (isBusy) attempt(debug.interrupt)
    else if (isLive && goes) attempt(() => machine.pause())
    else if (isLive) run()
    else attempt(play)
  }
  const step = async (): Promise<void> =>
    say(
      (await machine.step())
        ? ''
        : 'vCPU 0 waits for an interrupt or for a device: it has not executed an instruction.',
    )
  useEffect(() => {
    const pressed = (event: KeyboardEvent): void => {
      const { key, shiftKey, ctrlKey, altKey, metaKey, target } = event
      // In the terminal and on the screen keys are the guest's.
      if (ctrlKey || altKey || metaKey || (target as Element).closest('.xterm, canvas') !== null) return
      const way = position && WAYS.find((one) => one.key === (shiftKey ? `Shift+${key}` : key))
      if (!way && (key !== 'F8' || shiftKey)) return
      event.preventDefault()
      if (!way) toggle()
      else if (!isBusy) travel(() => way.go(debug))
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  })
  const signs = (ways: readonly Way[]) =>
    ways.map(({ name, key, icon, go }) => (
      <Sign
        key={name}
        {...{ name, icon, shortcut: key, isOff: isBusy, isBack: ways === BACK }}
        onClick={() => travel(() => go(debug))}
      />
    ))
  return (
    <div class="signs" role="group" aria-label="Ways through the run">
      {position && signs(BACK)}
      <Sign
        {...{ name, icon: goes ? 'pause' : 'play', shortcut: 'F8', isOff: isLive && state === 'asleep' }}
        onClick={toggle}
      />
      {position ? (
        <>
          {signs(ON)}
          <Sign name="Now" icon="now" isOff={isBusy || isLive} onClick={() => travel(debug.now)} />
          <Sign name="Mark this instant" icon="mark" isOff={isBusy} onClick={mark} />
        </>
      ) : (
        <Sign name="Single step" icon="step" isOff={state === 'off'} onClick={() => attempt(step)} />
      )}
    </div>
  )
}
