import type { RunHistory, RunPosition, RunSample } from '@retrap/web'
import { useState } from 'preact/hooks'
import { axisOf, laneOf, timeText } from './run-axis.ts'

const LANES: readonly (readonly [name: string, count: (sample: RunSample) => number])[] = [
  ['Device accesses', ({ deviceAccesses }) => deviceAccesses],
  ['Interrupts', ({ interrupts }) => interrupts],
  ['Faults', ({ exceptions }) => exceptions],
]
const PLACES = 200
const LANE_HEIGHT = 12

interface TimeLineProps {
  readonly history: RunHistory
  readonly position: RunPosition
  readonly isBusy: boolean
  readonly go: (instruction: number) => void
}

/** The recorded run from its beginning to now: where much happened, and a slider that goes there. */
export function TimeLine({ history, position, isBusy, go }: TimeLineProps) {
  const axis = axisOf(history)
  const [dragged, setDragged] = useState<number | null>(null)
  const here = dragged ?? position.guestMs
  const instruction = dragged === null ? position.instruction : axis.instructionAt(dragged)
  const x = (ms: number): number => ((ms - axis.beginMs) / Math.max(1, axis.endMs - axis.beginMs)) * PLACES
  const text = `${timeText(here)}, instruction ${instruction.toLocaleString('en')}`
  return (
    <section class="run" aria-label="Time line">
      <svg viewBox={`0 0 ${PLACES} ${LANE_HEIGHT * LANES.length + 6}`} preserveAspectRatio="none" aria-hidden="true">
        {LANES.map(([name, count], lane) =>
          laneOf(history.samples, axis, count, PLACES).map((value, place) =>
            value === 0 ? null : (
              <rect
                key={`${name} ${place}`}
                class={`lane${lane}`}
                x={place}
                y={LANE_HEIGHT * (lane + 1) - value * (LANE_HEIGHT - 2)}
                width={1}
                height={value * (LANE_HEIGHT - 2)}
              />
            ),
          ),
        )}
        {history.marks.map(({ kind, instruction: at }, i) => (
          <rect
            key={i}
            class={`${kind}-mark`}
            x={x(axis.msOf(at))}
            y={LANE_HEIGHT * LANES.length}
            width={0.4}
            height={6}
          />
        ))}
        <rect class="here" x={x(here)} y={0} width={0.8} height={LANE_HEIGHT * LANES.length + 6} />
      </svg>
      <input
        type="range"
        aria-label="Instant"
        aria-valuetext={text}
        min={axis.beginMs}
        max={axis.endMs}
        step={Math.max(1e-3, (axis.endMs - axis.beginMs) / 1000)}
        value={here}
        disabled={isBusy}
        onInput={(event) => setDragged(Number(event.currentTarget.value))}
        onChange={(event) => {
          setDragged(null)
          const to = axis.instructionAt(Number(event.currentTarget.value))
          go(Math.min(Math.max(to, position.begin), position.now))
        }}
      />
      <p class="legend">
        <output class="figure">{text}</output>
        {LANES.map(([name], lane) => (
          <span key={name} class={`key lane${lane}`}>
            {name}
          </span>
        ))}
        <span class="key serial-mark">Lines printed</span>
        <span class="key own-mark">Marks</span>
      </p>
    </section>
  )
}

/** Lines are found by a part of their text; so many are shown. */
const MOST_LINES = 200

/** The lines that the guest has printed, and the user's marks: each leads to its instant. */
export function Marks({ history, isBusy, go }: Omit<TimeLineProps, 'position'>) {
  const [wanted, setWanted] = useState('')
  const found = history.marks.filter(({ text }) => text.toLowerCase().includes(wanted.toLowerCase()))
  return (
    <details>
      <summary>Lines that the guest has printed, and marks: {history.marks.length}</summary>
      <label class="field">
        Find a line
        <input type="search" value={wanted} onInput={(event) => setWanted(event.currentTarget.value)} />
      </label>
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
