import { useMemo } from 'preact/hooks'
import type { RunView, wantedOf } from './run-view.ts'
import { type TimeWindow, within } from './time-window.ts'

const PLACES = 300
const HEIGHT = 28

interface OverviewProps {
  readonly view: RunView
  readonly wanted: ReturnType<typeof wantedOf>
  readonly seen: TimeWindow
  readonly look: (seen: TimeWindow) => void
}

/** The whole run: how many frames there are when, its faults, and the stretch that is seen. */
export function Overview({ view, wanted, seen, look }: OverviewProps) {
  const { run, faults } = view
  const end = within(run.ns, { from: 0, to: Infinity }).to
  const place = (ns: number): number => (ns / end) * PLACES
  const bars = useMemo(() => {
    const counts = new Float64Array(PLACES)
    for (const { sent } of wanted.frames) counts[Math.min(PLACES - 1, Math.floor(place(sent)))]!++
    const most = Math.log1p(Math.max(1, ...counts))
    return [...counts]
      .map((count, x) =>
        count === 0 ? '' : `M${x} ${HEIGHT}v${(-(Math.log1p(count) / most) * (HEIGHT - 6)).toFixed(1)}h1V${HEIGHT}z`,
      )
      .join('')
  }, [wanted])
  const go = (event: PointerEvent): void => {
    const { left, width } = (event.currentTarget as Element).getBoundingClientRect()
    const middle = ((event.clientX - left) / width) * end
    const half = (seen.to - seen.from) / 2
    look(within(run.ns, { from: middle - half, to: middle + half }))
  }
  return (
    <svg
      class="overview"
      viewBox={`0 0 ${PLACES} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        go(event)
      }}
      onPointerMove={(event) => event.buttons === 1 && go(event)}
    >
      {faults.map(({ text, from, to, isOfWays }) => (
        <rect
          key={text + from}
          class={isOfWays ? 'ways' : 'machine'}
          x={place(from)}
          width={Math.max(1, place(to) - place(from))}
          height={HEIGHT}
        />
      ))}
      <path class="frames" d={bars} />
      <rect
        class={run.failure === undefined ? 'last' : 'last failed'}
        x={place(run.ns) - 0.75}
        width="1.5"
        height={HEIGHT}
      />
      <rect
        class="seen"
        x={place(seen.from)}
        width={Math.max(1.5, place(seen.to) - place(seen.from))}
        height={HEIGHT}
      />
    </svg>
  )
}
