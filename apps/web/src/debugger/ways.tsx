import type { PageDebugger, TravelStop } from '@retrap/web'
import { useEffect, useRef } from 'preact/hooks'
import type { DebuggerView } from './use-debugger.ts'

interface Way {
  readonly name: string
  /** The key that does it while the debugger has the focus. */
  readonly key: string
  readonly go: (debug: PageDebugger) => Promise<TravelStop>
}

/** Ways through the run that stay in sight. With Shift the key of a way on goes back. */
const OFTEN: readonly Way[] = [
  { name: 'Back to the last stop', key: 'Shift+F8', go: (debug) => debug.reverseContinue() },
  { name: 'Step back', key: 'Shift+F9', go: (debug) => debug.stepBack() },
  { name: 'Step on', key: 'F9', go: (debug) => debug.step() },
  { name: 'On to the next stop', key: 'F8', go: (debug) => debug.continue() },
]
/** The others. */
const SELDOM: readonly Way[] = [
  { name: 'Back to the last device request', key: 'Shift+F4', go: (debug) => debug.lastRequest() },
  { name: 'Back out of the function', key: 'Shift+F7', go: (debug) => debug.reverseStepOut() },
  { name: 'Back over a call', key: 'Shift+F10', go: (debug) => debug.reverseStepOver() },
  { name: 'On over a call', key: 'F10', go: (debug) => debug.stepOver() },
  { name: 'On out of the function', key: 'F7', go: (debug) => debug.stepOut() },
  { name: 'On to the next device request', key: 'F4', go: (debug) => debug.nextRequest() },
]
const WAYS: readonly Way[] = [...OFTEN, ...SELDOM]

interface WaysProps extends Pick<DebuggerView, 'isBusy' | 'play' | 'isPlaying'> {
  readonly debug: PageDebugger
  readonly isLive: boolean
  readonly travel: (way: () => Promise<TravelStop>) => void
  readonly attempt: (action: () => Promise<unknown>) => void
  /** The machine is to go on from here. */
  readonly branch: () => void
}

/** Buttons and keys for the ways through the run. */
export function Ways({ debug, isBusy, isLive, isPlaying, play, travel, attempt, branch }: WaysProps) {
  const group = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const panel = group.current?.closest('.debugger')
    const pressed = (event: KeyboardEvent): void => {
      const { key, shiftKey, ctrlKey, altKey, metaKey, target } = event
      // A button that is disabled on the way loses the focus to nobody.
      if (target !== document.body && panel?.contains(target as Node) !== true) return
      // Another tab is seen.
      if (panel?.checkVisibility() !== true) return
      const way = WAYS.find((one) => one.key === (shiftKey ? `Shift+${key}` : key))
      if (way === undefined || ctrlKey || altKey || metaKey) return
      event.preventDefault()
      if (!isBusy) travel(() => way.go(debug))
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  })
  const buttons = (ways: readonly Way[]) =>
    ways.map(({ name, key, go }) => (
      <button
        key={name}
        disabled={isBusy}
        aria-keyshortcuts={key}
        title={`${name}: ${key}`}
        onClick={() => travel(() => go(debug))}
      >
        {name}
      </button>
    ))
  return (
    <>
      <div class="actions ways" role="group" aria-label="Ways through the run" ref={group}>
        {buttons(OFTEN)}
        <button disabled={!isPlaying && (isBusy || isLive)} onClick={() => attempt(play)}>
          {isPlaying ? 'Stop playing' : 'Play from here'}
        </button>
        <button disabled={isBusy || isLive} onClick={() => travel(debug.now)}>
          Now
        </button>
        <button disabled={!isBusy || isPlaying} onClick={() => attempt(debug.interrupt)}>
          Interrupt
        </button>
        <button disabled={isBusy || isLive} onClick={branch}>
          Go on from here
        </button>
      </div>
      <div class="actions more-ways" role="group" aria-label="By calls and requests">
        {buttons(SELDOM)}
      </div>
    </>
  )
}
