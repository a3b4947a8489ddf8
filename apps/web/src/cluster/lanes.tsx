import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import {
  AXIS,
  type Arrow,
  arrowAt,
  arrowsOf,
  FAULT_ROW,
  HALF_BAR,
  lanesOf,
  type LanePlace,
  LINE,
  linesPath,
  nsAt,
  placeLines,
  type Scale,
  xOf,
} from './drawing.ts'
import { FRAME_LOOKS, type Item, type RunView, type ShownFault, type wantedOf } from './run-view.ts'
import { moved, secondsText, ticksOf, type TimeWindow, within, zoomed } from './time-window.ts'

/** A machine at an instant. */
export interface Place {
  readonly machine: number
  readonly ns: number
}

interface LanesProps {
  readonly view: RunView
  readonly wanted: ReturnType<typeof wantedOf>
  readonly machines: readonly number[]
  readonly seen: TimeWindow
  readonly look: (seen: TimeWindow) => void
  readonly cursor: Place
  readonly chosen: readonly Item[]
  readonly choose: (items: readonly Item[], place: Place) => void
  /** Opens a machine at an instant. */
  readonly open: (place: Place) => void
  readonly onKeyDown: (event: KeyboardEvent) => void
}

/** The room for names of phases, below the lanes. */
const PHASES = 14
/** Largest distance of the pointer from an arrow that it selects, in pixels. */
const [FINGER, MOUSE] = [14, 6]
/** A pointer that has gone further than this drags. */
const DRAG = 4
/** Between two labels of the axis, in pixels. */
const LABELS = 110

/** The lanes of machines over one time line, with frames as arrows between them. */
export function Lanes(props: LanesProps) {
  const { view, wanted, machines, seen, look, cursor, chosen, choose, open, onKeyDown } = props
  const { run, faults } = view
  const box = useRef<HTMLDivElement>(null)
  const [{ width, height }, resize] = useState({ width: 0, height: 0 })
  const [hover, setHover] = useState<{ readonly x: number; readonly y: number } | null>(null)
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) =>
      resize({ width: Math.floor(entry!.contentRect.width), height: Math.floor(entry!.contentRect.height) }),
    )
    watch.observe(box.current!)
    return () => watch.disconnect()
  }, [])
  const scale = { seen, width }
  const faultRows = Math.max(0, ...faults.map(({ row }) => row + 1))
  const lanes = useMemo(() => lanesOf(machines, faultRows, height - PHASES), [machines, faultRows, height])
  const arrows = useMemo(
    () => (width === 0 ? [] : arrowsOf(wanted.frames, view.longestWay, scale, lanes)),
    [wanted, seen, width, lanes],
  )
  const laneAt = (y: number): LanePlace | undefined => lanes.find(({ top, bottom }) => y >= top && y < bottom)
  const pointer = usePointer(box, { length: run.ns, scale, look }, (x, y, reach) => {
    const ns = Math.min(run.ns, nsAt(scale, x))
    const fault = faultAt(faults, scale, x, y)
    if (fault !== undefined) return choose([fault], { machine: cursor.machine, ns: fault.from })
    const lane = laneAt(y)
    const arrow = arrowAt(arrows, x, y, reach)
    // On its bar a machine is opened, even where an arrow begins or ends.
    const isOnBar = lane !== undefined && Math.abs(y - lane.bar) <= HALF_BAR
    if (arrow !== undefined && !isOnBar)
      return choose(arrow.frames, { machine: arrow.frames[0]!.from, ns: arrow.frames[0]!.sent })
    if (lane !== undefined) open({ machine: lane.machine, ns })
  })
  const under = hover === null ? undefined : arrowAt(arrows, hover.x, hover.y, MOUSE)
  const hovered = hover === null ? undefined : laneAt(hover.y)
  const marked = arrows.filter(({ frames }) => frames.some((frame) => chosen.includes(frame)))
  const bottom = Math.max(height, (lanes.at(-1)?.bottom ?? 0) + PHASES)
  const { ticks, digits } = ticksOf(seen, Math.floor(width / LABELS))
  const end = xOf(scale, run.ns)
  /** Whether a label of the axis has room: the flag of the end has its own. */
  const isFree = (x: number): boolean => x < width - 50 && (x < end - 110 || x > end)
  return (
    <div
      ref={box}
      class="lanes-box"
      role="application"
      aria-label="Lanes of the machines"
      aria-describedby="lanes-keys"
      tabIndex={0}
      onKeyDown={onKeyDown}
      {...pointer}
      onPointerMove={(event) => {
        pointer.onPointerMove(event)
        const { left, top } = box.current!.getBoundingClientRect()
        setHover({ x: event.clientX - left, y: event.clientY - top + box.current!.scrollTop })
      }}
      onPointerLeave={() => setHover(null)}
    >
      <svg width={width} height={bottom} aria-hidden="true" class={under === undefined ? '' : 'over-arrow'}>
        <Patterns />
        <g class="axis">
          {ticks.map((ns) => (
            <g key={ns} transform={`translate(${xOf(scale, ns).toFixed(1)} 0)`}>
              <path d={`M0 ${AXIS - 6}V${bottom}`} />
              {isFree(xOf(scale, ns)) && (
                <text x="4" y={AXIS - 8}>
                  {secondsText(ns, digits)}
                </text>
              )}
            </g>
          ))}
        </g>
        {faults.map((fault) => (
          <Shade key={fault.text + fault.from} {...{ fault, lanes, scale }} isChosen={chosen.includes(fault)} />
        ))}
        <Phases view={view} scale={scale} bottom={bottom} />
        {lanes.map((lane) => (
          <Life key={lane.machine} {...{ view, lane, scale }} />
        ))}
        <g class="arrows">
          {FRAME_LOOKS.map((one) => (
            <Arrows key={one} look={one} arrows={arrows} />
          ))}
          {under !== undefined && <path class={`frame ${under.look} under`} d={linesPath([under])} />}
          {marked.length > 0 && <path class="frame marked" d={linesPath(marked)} />}
        </g>
        {lanes.map((lane) => (
          <Lines key={lane.machine} {...{ lane, scale, chosen }} lines={wanted.lines[lane.machine]!} />
        ))}
        {lanes.map(({ machine, top }) => (
          <text key={machine} class={machine === cursor.machine ? 'name here' : 'name'} x="8" y={top + 14}>
            {run.machines[machine]!.name}
          </text>
        ))}
        <path class="cursor" d={`M${xOf(scale, cursor.ns).toFixed(1)} ${AXIS}V${bottom}`} />
        <g class={run.failure === undefined ? 'end' : 'end failed'}>
          <path d={`M${end.toFixed(1)} 0V${bottom}`} />
          <path class="flag" d={`M${end.toFixed(1)} 0h-52v16h52z`} />
          <text x={end - 26} y="12">
            {run.failure === undefined ? 'end' : 'failed'}
          </text>
        </g>
        {hover !== null && <path class="hover" d={`M${hover.x} ${AXIS}V${bottom}`} />}
      </svg>
      {hover !== null && (under !== undefined || hovered !== undefined) && (
        <p class="hint" style={hintPlace(hover, width)} aria-hidden="true">
          {under === undefined
            ? `Open ${run.machines[hovered!.machine]!.name} at ${secondsText(nsAt(scale, hover.x), digits + 1)}`
            : under.frames.length === 1
              ? under.frames[0]!.brief
              : `${under.frames.length} frames, ${run.machines[under.frames[0]!.from]!.name} to ${run.machines[under.frames[0]!.to]!.name}`}
        </p>
      )}
    </div>
  )
}

const hintPlace = ({ x, y }: { readonly x: number; readonly y: number }, width: number) =>
  x > width / 2 ? { top: `${y + 14}px`, right: `${width - x + 8}px` } : { top: `${y + 14}px`, left: `${x + 12}px` }

function faultAt(faults: readonly ShownFault[], scale: Scale, x: number, y: number): ShownFault | undefined {
  const row = Math.floor((y - AXIS) / FAULT_ROW)
  return faults.find((one) => one.row === row && xOf(scale, one.from) - 3 <= x && x <= xOf(scale, one.to) + 3)
}

/** Hatches of shades. */
const Patterns = () => (
  <defs>
    <pattern id="hatch-ways" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
      <path class="hatch ways" d="M0 0V8" />
    </pattern>
    <pattern id="hatch-machine" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
      <path class="hatch machine" d="M0 0V6" />
    </pattern>
  </defs>
)

interface ShadeProps {
  readonly fault: ShownFault
  readonly lanes: readonly LanePlace[]
  readonly scale: Scale
  readonly isChosen: boolean
}

/** A fault: a label above the lanes, and a shade over its machines' lanes. */
function Shade({ fault, lanes, scale, isChosen }: ShadeProps) {
  const left = Math.max(-10, xOf(scale, fault.from))
  const right = Math.min(scale.width + 10, xOf(scale, fault.to))
  if (right < 0 || left > scale.width) return null
  const size = Math.max(2, right - left)
  const y = AXIS + fault.row * FAULT_ROW
  const kind = fault.isOfWays ? 'ways' : 'machine'
  const room = Math.floor((size - 8) / 6.2)
  const name = fault.text.length <= room ? fault.text : fault.fault.kind.length <= room ? fault.fault.kind : ''
  return (
    <g class={`shade ${kind} ${isChosen ? 'chosen' : ''}`} data-fault={fault.fault.kind}>
      <rect class="label" x={left} y={y} width={size} height={FAULT_ROW - 3} rx="3" />
      {name !== '' && (
        <text x={Math.max(4, left + 5)} y={y + 11}>
          {name}
        </text>
      )}
      {lanes
        .filter(({ machine }) => fault.machines.includes(machine))
        .map(({ machine, top, bottom }) => (
          <g key={machine}>
            <rect class="tint" x={left} y={top} width={size} height={bottom - top - 4} />
            <rect fill={`url(#hatch-${kind})`} x={left} y={top} width={size} height={bottom - top - 4} />
          </g>
        ))}
    </g>
  )
}

/** Instants of the whole cluster. */
function Phases({ view, scale, bottom }: { view: RunView; scale: Scale; bottom: number }) {
  const seen = view.phases.filter(({ ns }) => ns >= scale.seen.from && ns <= scale.seen.to)
  return (
    <g class="phases">
      {seen.map(({ ns, text }) => (
        <g key={text} transform={`translate(${xOf(scale, ns).toFixed(1)} 0)`}>
          <path d={`M0 ${AXIS - 4}V${bottom}`} />
          <text x="4" y={bottom - 4}>
            {text}
          </text>
        </g>
      ))}
    </g>
  )
}

interface LaneProps {
  readonly view: RunView
  readonly lane: LanePlace
  readonly scale: Scale
}

function Life({ view, lane: { machine, bar }, scale }: LaneProps) {
  return (
    <g class="life" data-machine={view.run.machines[machine]!.name}>
      <path class="off" d={`M0 ${bar}H${Math.max(0, Math.min(scale.width, xOf(scale, view.run.ns)))}`} />
      {view.lives[machine]!.map(({ from, to, state }) => {
        const [left, right] = [Math.max(-8, xOf(scale, from)), Math.min(scale.width + 8, xOf(scale, to))]
        const place = { x: left, y: bar - HALF_BAR, width: Math.max(1, right - left), height: 2 * HALF_BAR }
        return right < left ? null : <rect key={from} class={state} {...place} rx="3" />
      })}
    </g>
  )
}

interface LinesProps extends Omit<LaneProps, 'view'> {
  readonly lines: RunView['lines'][number]
  readonly chosen: readonly Item[]
}

/** A machine's lines, below its bar. */
function Lines({ lane: { bar, line: base, rows }, scale, lines, chosen }: LinesProps) {
  const { placed, ticks } = placeLines(lines, scale, rows)
  return (
    <g class="lines">
      <path class="ticks" d={ticks.map((x) => `M${x} ${bar + HALF_BAR}v4`).join('')} />
      {placed.map(({ line, text, x, row, isBefore }) => {
        const isTrouble = line.weight >= 2
        const y = base + row * LINE
        return (
          <g
            key={`${line.ns} ${text}`}
            class={`line ${line.of} ${isTrouble ? 'trouble' : ''} ${chosen.includes(line) ? 'chosen' : ''}`}
          >
            <path d={`M${x.toFixed(1)} ${bar + HALF_BAR}V${y - 1}`} />
            <text x={(x + (isBefore ? -4 : 4)).toFixed(1)} y={y} text-anchor={isBefore ? 'end' : 'start'}>
              {text}
            </text>
          </g>
        )
      })}
    </g>
  )
}

/** Arrows of one look: arrows that stand for many frames are thicker. */
function Arrows({ look, arrows }: { look: Arrow['look']; arrows: readonly Arrow[] }) {
  const own = arrows.filter((arrow) => arrow.look === look)
  const isCrowded = arrows.length > 1200
  const [some, many] = [own.filter(({ frames }) => frames.length < 8), own.filter(({ frames }) => frames.length >= 8)]
  return (
    <>
      {some.length > 0 && <path class={`frame ${look}`} d={linesPath(some, isCrowded)} />}
      {many.length > 0 && <path class={`frame ${look} many`} d={linesPath(many, isCrowded)} />}
    </>
  )
}

interface Zoomed {
  readonly length: number
  readonly scale: Scale
  readonly look: (seen: TimeWindow) => void
}

/** The wheel zooms, a drag moves, two fingers do both, and any other press is a click. */
function usePointer(
  box: { readonly current: HTMLDivElement | null },
  zoom: Zoomed,
  click: (x: number, y: number, reach: number) => void,
) {
  const latest = useRef(zoom)
  latest.current = zoom
  const fingers = useRef(new Map<number, { x: number; y: number }>())
  const start = useRef({ x: 0, y: 0, seen: zoom.scale.seen, hasMoved: false })
  useEffect(() => {
    const wheel = (event: WheelEvent): void => {
      const { length, scale, look } = latest.current
      event.preventDefault()
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX
      if (Math.abs(sideways) > Math.abs(event.deltaY) || event.shiftKey)
        return look(moved(length, scale.seen, Math.sign(sideways) * Math.min(0.2, Math.abs(sideways) / scale.width)))
      const x = event.clientX - box.current!.getBoundingClientRect().left
      const factor = 1.0015 ** Math.max(-400, Math.min(400, event.deltaY))
      look(zoomed(length, scale.seen, factor, nsAt(scale, x)))
    }
    const element = box.current!
    // Preact's listener would be passive.
    element.addEventListener('wheel', wheel, { passive: false })
    return () => element.removeEventListener('wheel', wheel)
  }, [])
  const placeOf = (event: PointerEvent): { x: number; y: number } => {
    const { left, top } = box.current!.getBoundingClientRect()
    return { x: event.clientX - left, y: event.clientY - top + box.current!.scrollTop }
  }
  const restart = (): void => {
    const [first] = fingers.current.values()
    if (first !== undefined) start.current = { ...start.current, ...first, seen: latest.current.scale.seen }
  }
  const up = (event: PointerEvent): void => {
    const isLast = fingers.current.delete(event.pointerId) && fingers.current.size === 0
    if (!isLast) return restart()
    const { x, y } = placeOf(event)
    if (!start.current.hasMoved && event.type === 'pointerup')
      click(x, y, event.pointerType === 'mouse' ? MOUSE : FINGER)
  }
  return {
    onPointerDown(event: PointerEvent) {
      if (event.button !== 0) return
      fingers.current.set(event.pointerId, placeOf(event))
      start.current.hasMoved = fingers.current.size > 1
      restart()
    },
    onPointerMove(event: PointerEvent) {
      const before = fingers.current.get(event.pointerId)
      if (before === undefined) return
      const { length, scale, look } = latest.current
      const now = placeOf(event)
      const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1]
      fingers.current.set(event.pointerId, now)
      if (other !== undefined) {
        const factor = Math.max(20, Math.abs(before.x - other.x)) / Math.max(20, Math.abs(now.x - other.x))
        return look(zoomed(length, scale.seen, factor, nsAt(scale, (now.x + other.x) / 2)))
      }
      const far = now.x - start.current.x
      if (!start.current.hasMoved && Math.hypot(far, now.y - start.current.y) < DRAG) return
      if (!start.current.hasMoved) box.current!.setPointerCapture(event.pointerId)
      start.current.hasMoved = true
      const { from, to } = start.current.seen
      const by = (far / scale.width) * (to - from)
      look(within(length, { from: from - by, to: to - by }))
    },
    onPointerUp: up,
    onPointerCancel: up,
  }
}
