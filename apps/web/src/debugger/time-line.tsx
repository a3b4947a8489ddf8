import type { RunHistory, RunPosition, RunSample } from '@retrap/web'
import { useMemo, useState } from 'preact/hooks'
import { secondsText, ticksOf } from '../cluster/time-window.ts'
import { TextField } from '../fields.tsx'
import { axisOf, laneOf, type RunAxis, timeText } from './run-axis.ts'

/** Colours of the lanes. */
const COLOURS = ['accent', 'slow', 'wrong', 'soft', 'ink'].map((name) => ({ color: `var(--${name})` }))
const LANES: readonly (readonly [name: string, count: (sample: RunSample) => number])[] = [
  ['Device requests', ({ deviceAccesses }) => deviceAccesses],
  ['Interrupts', ({ interrupts }) => interrupts],
  ['Faults', ({ exceptions }) => exceptions],
]
/** Numbers of the lanes for printed output and for marks. */
const [OUTPUT, MARKS] = [LANES.length, LANES.length + 1]
const PLACES = 400
/** Labels of the axis, about. */
const LABELS = 6
const LANE_HEIGHT = 10
/** A turn of the wheel goes by this part of the run. */
const WHEEL_PART = 1 / 100

interface TimeLineProps {
  readonly history: RunHistory
  readonly position: RunPosition
  readonly go: (instruction: number) => void
}

/** Draws a lane as one path of vertical bars. */
function bars(lane: number, values: readonly number[]): string {
  const bottom = LANE_HEIGHT * (lane + 1)
  const bar = (value: number, place: number): string =>
    value === 0 ? '' : `M${place} ${bottom}V${(bottom - value * (LANE_HEIGHT - 1)).toFixed(1)}h1V${bottom}z`
  return values.map(bar).join('')
}

/** Draws a stroke for each printed line, or for each mark. */
function strokes(lane: number, history: RunHistory, axis: RunAxis, wanted: 'serial' | 'own'): string {
  const span = Math.max(1, axis.endMs - axis.beginMs)
  const places = history.marks
    .filter(({ kind }) => kind === wanted)
    .map(({ instruction }) => Math.floor(((axis.msOf(instruction) - axis.beginMs) / span) * PLACES))
  return [...new Set(places)].map((x) => `M${x} ${LANE_HEIGHT * lane + 2}h1v${LANE_HEIGHT - 2}h-1z`).join('')
}

/** Draws the lanes of a run, again when it has advanced. */
function drawn(history: RunHistory): { readonly axis: RunAxis; readonly paths: readonly string[] } {
  const axis = axisOf(history)
  const counted = LANES.map(([, count], lane) => bars(lane, laneOf(history.samples, axis, count, PLACES)))
  return { axis, paths: [...counted, strokes(OUTPUT, history, axis, 'serial'), strokes(MARKS, history, axis, 'own')] }
}

/** The time line of the recorded run: its activity, and a slider that moves the debugger. */
export function TimeLine({ history, position, go }: TimeLineProps) {
  const { axis, paths } = useMemo(() => drawn(history), [history])
  const [dragged, setDragged] = useState<number | null>(null)
  const here = Math.min(dragged ?? position.guestMs, axis.endMs)
  const instruction = dragged === null ? position.instruction : axis.instructionAt(dragged)
  const span = Math.max(1, axis.endMs - axis.beginMs)
  const text = `${timeText(here)}, instruction ${instruction.toLocaleString('en')}`
  const goTo = (ms: number): void => go(Math.min(Math.max(axis.instructionAt(ms), position.begin), position.now))
  const { ticks, digits } = ticksOf({ from: axis.beginMs * 1e6, to: axis.endMs * 1e6 }, LABELS)
  const height = LANE_HEIGHT * (MARKS + 1)
  return (
    <section class="run" aria-label="Time line">
      <ul class="lanes" aria-hidden="true">
        {[...LANES.map(([name]) => name), 'Output', 'Marks'].map((name, lane) => (
          <li key={name} style={COLOURS[lane]}>
            {name}
          </li>
        ))}
      </ul>
      <div
        class="track"
        onWheel={(event) => {
          event.preventDefault()
          const by = Math.sign(event.deltaX || event.deltaY) * span * WHEEL_PART
          goTo(Math.min(axis.endMs, Math.max(axis.beginMs, here + by)))
        }}
      >
        <svg viewBox={`0 0 ${PLACES} ${height}`} preserveAspectRatio="none" aria-hidden="true">
          {paths.map((path, lane) => (
            <path key={lane} style={COLOURS[lane]} d={path} />
          ))}
        </svg>
        <i class="here" style={{ left: `${((here - axis.beginMs) / span) * 100}%` }} />
        <input
          type="range"
          aria-label="Instant"
          aria-valuetext={text}
          title={text}
          min={axis.beginMs}
          max={axis.endMs}
          step={Math.max(1e-3, span / 1000)}
          value={here}
          onInput={(event) => {
            setDragged(Number(event.currentTarget.value))
            goTo(Number(event.currentTarget.value))
          }}
          onChange={(event) => {
            setDragged(null)
            goTo(Number(event.currentTarget.value))
          }}
        />
      </div>
      <div class="scale soft figure" aria-hidden="true">
        {ticks.map((ns) => (
          <span key={ns} style={{ left: `${((ns / 1e6 - axis.beginMs) / span) * 100}%` }}>
            {secondsText(ns, digits)}
          </span>
        ))}
      </div>
    </section>
  )
}

/** Most lines listed for a search text. */
const MOST_LINES = 200

/** The lines that the guest has printed, and the user's marks: each leads to its instant. */
export function Marks({ history, isBusy, go }: Omit<TimeLineProps, 'position'> & { readonly isBusy: boolean }) {
  const [wanted, setWanted] = useState('')
  const found = history.marks.filter(({ text }) => text.toLowerCase().includes(wanted.toLowerCase()))
  return (
    <details>
      <summary>Lines that the guest has printed, and marks: {history.marks.length}</summary>
      <TextField type="search" label="Find a line" value={wanted} change={setWanted} />
      <div class="marks" role="region" aria-label="Lines and marks" tabIndex={0}>
        <ol>
          {found.slice(-MOST_LINES).map(({ kind, text, instruction }) => (
            <li key={`${instruction} ${text}`} class={`${kind}-mark`}>
              <button class="plain" disabled={isBusy} onClick={() => go(instruction)}>
                {text}
              </button>
            </li>
          ))}
        </ol>
      </div>
    </details>
  )
}
