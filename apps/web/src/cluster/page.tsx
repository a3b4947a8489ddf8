import { ClusterRunFile, clusterTime, machineTime, startAt } from '@retrap/cluster'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Alert } from '../controls.tsx'
import { TextField } from '../fields.tsx'
import type { Chosen } from '../settings.ts'
import { Tool, useBack } from '../toolbar.tsx'
import { Around, Details } from './details.tsx'
import { Lanes, type Place } from './lanes.tsx'
import { instantOf, type Item, type RunView, viewOf, type Wanted, wantedOf } from './run-view.ts'
import { firstWindow, moved, secondsText, showing, type TimeWindow, within, zoomed } from './time-window.ts'
import './cluster.css'

interface ClusterPageProps {
  readonly chosen: Chosen
  readonly close: () => void
  /** Shows a machine in place of the lanes. */
  readonly show: (machine: Chosen, back: () => void) => ComponentChildren
}

interface Opened {
  readonly file: ClusterRunFile
  readonly view: RunView
}

/** A run of a cluster: its lanes, or one of its machines. */
export function ClusterPage({ chosen, close, show }: ClusterPageProps) {
  const [opened, setOpened] = useState<Opened | null>(null)
  const [machine, setMachine] = useState<Chosen | null>(null)
  const [error, setError] = useState('')
  const heading = useRef<HTMLHeadingElement>(null)
  const fail = (thrown: unknown): void => (stop(), setError(thrown instanceof Error ? thrown.message : String(thrown)))
  /** Name of the machine that is being opened. */
  const [opening, setOpening] = useState<string | null>(null)
  const latest = useRef<Place | null>(null)
  const stop = (): void => {
    latest.current = null
    setOpening(null)
  }
  useBack(() => (latest.current === null ? close() : stop()), {
    forward: (place) => void open(place as Place).catch(fail),
  })
  useEffect(() => {
    let isGone = false
    openRun(chosen.cluster!, chosen.title).then((one) => isGone || setOpened(one), fail)
    return () => void (isGone = true)
  }, [chosen])
  useEffect(() => {
    if (machine !== null) return
    heading.current?.focus()
    document.title = `${chosen.title} – retrap`
  }, [machine])
  useEffect(() => {
    const { title } = document
    return () => void (document.title = title)
  }, [])
  const open = async (place: Place): Promise<void> => {
    const { machine: number, ns } = place
    const { file, view } = opened!
    const { name } = view.run.machines[number]!
    const start = startAt(view.run.machines[number]!, ns)
    if (start === undefined) throw new Error(`${name} is off at ${secondsText(ns)}: there is nothing to open.`)
    if (start.recording === undefined)
      throw new Error(`${name} was not recorded: the file has its lines and frames alone.`)
    latest.current = place
    setOpening(name)
    // A machine reads its recording as a file of its own.
    const pieces: Uint8Array<ArrayBuffer>[] = []
    for await (const piece of file.recording(start.recording)) {
      if (latest.current !== place) return
      pieces.push(piece as Uint8Array<ArrayBuffer>)
    }
    stop()
    setError('')
    setMachine({
      title: `${name} at ${secondsText(ns)}`,
      options: { recording: new File(pieces, start.recording) },
      guestMs: machineTime(start, ns) / 1e6,
      of: { name, place, failure: view.run.failure, timeOf: (ms) => clusterTime(start, ms * 1e6) / 1e6 },
    })
  }
  const run = opened?.view.run
  return (
    <>
      {machine !== null && show(machine, () => setMachine(null))}
      <div class="bench cluster" hidden={machine !== null}>
        <header class="bar">
          <h1 class="brand">retrap</h1>
          <h2 ref={heading} tabIndex={-1}>
            {chosen.title}
          </h2>
          <div class="tools">
            <Tool icon="close" onClick={close}>
              Close
            </Tool>
          </div>
          {run !== undefined && (
            <p class="outcome" role="status">
              <strong class={run.failure === undefined ? 'pill running' : 'pill failed'}>
                {run.failure === undefined ? 'Held' : 'Failed'}
              </strong>
              <span>{run.failure ?? 'Nothing has failed.'}</span>
              <span class="soft figure">
                seed {run.seed}, branch {run.branch}, {secondsText(run.ns, 3)}
              </span>
            </p>
          )}
        </header>
        <main>
          {error !== '' && <Alert>{error}</Alert>}
          {opening !== null && (
            <p class="soft opening" role="status">
              Opening {opening} … <progress aria-label={`Opening ${opening}`} />
              <button onClick={stop}>Stop</button>
            </p>
          )}
          {opened === null && error === '' && <p class="soft">Loading …</p>}
          {opened !== null && <LanesView view={opened.view} open={(place) => void open(place).catch(fail)} />}
        </main>
      </div>
    </>
  )
}

async function openRun(source: File | string, title: string): Promise<Opened> {
  let file: Blob
  if (typeof source === 'string') {
    const response = await fetch(source)
    if (!response.ok) throw new Error(`${source}: the server answers with status ${response.status}`)
    file = await response.blob()
  } else file = source
  const read = async (offset: number, bytes: number): Promise<Uint8Array> =>
    new Uint8Array(await file.slice(offset, offset + bytes).arrayBuffer())
  const opened = await ClusterRunFile.open({ bytes: file.size, read }, title)
  return { file: opened, view: viewOf(opened.run) }
}

/** The lanes, with a filter above, and the chosen item beside. */
function LanesView({ view, open }: { view: RunView; open: (place: Place) => void }) {
  const { run, faults } = view
  const [seen, look] = useState(() => firstWindow(run.ns, faults.at(-1)?.from))
  const [wish, setWish] = useState<Wanted>({ text: '', port: '', hidden: new Set() })
  const [cursor, setCursor] = useState<Place>({ machine: 0, ns: run.ns })
  const [chosen, setChosen] = useState<readonly Item[]>([])
  const wanted = useMemo(() => wantedOf(view, wish), [view, wish])
  const machines = run.machines.map(({ number }) => number).filter((number) => !wish.hidden.has(number))
  const choose = (items: readonly Item[], place: Place): void => {
    setChosen(items)
    setCursor(place)
    look((before) => showing(run.ns, before, place.ns))
  }
  const moveTo = (ns: number): void => choose([], { ...cursor, ns: Math.min(run.ns, Math.max(0, ns)) })
  /** Goes to the next frame, line or fault of the machine, or to the one before. */
  const stepTo = (direction: 1 | -1): void => {
    const { machine, ns } = cursor
    const all = [...wanted.frames, ...wanted.lines[machine]!]
      .filter((item) => (item.kind === 'frame' ? item.from === machine || item.to === machine : true))
      .map((item) => ({
        item,
        at: item.kind === 'frame' && item.to === machine ? (item.arrives ?? item.sent) : instantOf(item),
      }))
      .toSorted((one, other) => one.at - other.at)
    const here = all.findIndex(({ item }) => item === chosen[0])
    const next =
      here >= 0
        ? all[here + direction]
        : direction > 0
          ? all.find(({ at }) => at > ns)
          : all.findLast(({ at }) => at < ns)
    if (next !== undefined) choose([next.item], { machine, ns: next.at })
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const span = seen.to - seen.from
    const at = Math.max(0, machines.indexOf(cursor.machine))
    const zoom = (factor: number) => () => look(zoomed(run.ns, seen, factor, cursor.ns))
    const row = (by: number) => () =>
      setCursor({ ...cursor, machine: machines[Math.min(machines.length - 1, Math.max(0, at + by))] ?? 0 })
    const keys: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => (event.shiftKey ? look(moved(run.ns, seen, -0.2)) : moveTo(cursor.ns - span / 100)),
      ArrowRight: () => (event.shiftKey ? look(moved(run.ns, seen, 0.2)) : moveTo(cursor.ns + span / 100)),
      ...{ ArrowUp: row(-1), ArrowDown: row(1), '+': zoom(0.5), '=': zoom(0.5), '-': zoom(2) },
      ...{ Home: () => moveTo(0), End: () => moveTo(run.ns), '.': () => stepTo(1), ',': () => stepTo(-1) },
      ...{ 0: () => look(within(run.ns, { from: 0, to: Infinity })), Enter: () => open(cursor) },
      Escape: () => setChosen([]),
    }
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key]
    if (act === undefined) return
    event.preventDefault()
    act()
  }
  const item = chosen[0]
  return (
    <>
      <Filter view={view} wish={wish} change={setWish} />
      <Overview {...{ view, wanted, seen, look }} />
      <div class="pictured">
        <Lanes {...{ view, wanted, machines, seen, look, cursor, chosen, choose, open, onKeyDown }} />
        <aside aria-label="What was chosen">
          <p class="figure here" role="status">
            <strong>{run.machines[cursor.machine]!.name}</strong> at {secondsText(cursor.ns)}
            {item !== undefined && <span class="unseen">: {item.text}</span>}
          </p>
          <Details {...{ view, choose, open }} items={chosen} />
          <Around {...{ view, wanted, seen, cursor, chosen, choose }} />
          <p id="lanes-keys" class="soft keys-of-lanes">
            <kbd>←</kbd> <kbd>→</kbd> the cursor, with <kbd>Shift</kbd> what is seen; <kbd>↑</kbd> <kbd>↓</kbd> the
            machine; <kbd>+</kbd> <kbd>-</kbd> or the wheel zoom, <kbd>0</kbd> all of it; <kbd>,</kbd> <kbd>.</kbd> the
            last and the next frame or line; <kbd>Home</kbd> <kbd>End</kbd>; <kbd>Enter</kbd> opens the machine at the
            cursor.
          </p>
        </aside>
      </div>
    </>
  )
}

interface FilterProps {
  readonly view: RunView
  readonly wish: Wanted
  readonly change: (wish: Wanted) => void
}

function Filter({ view, wish, change }: FilterProps) {
  const turn = (number: number): void => {
    const hidden = new Set(wish.hidden)
    if (!hidden.delete(number)) hidden.add(number)
    change({ ...wish, hidden })
  }
  return (
    <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
      <div role="group" aria-label="Machines">
        {view.run.machines.map(({ name, number }) => (
          <button
            key={number}
            type="button"
            class="plain"
            aria-pressed={!wish.hidden.has(number)}
            onClick={() => turn(number)}
          >
            {name}
          </button>
        ))}
      </div>
      <TextField
        label="Port"
        inputMode="numeric"
        value={wish.port}
        change={(port) => change({ ...wish, port: port.replaceAll(/\D/g, '') })}
      />
      <TextField look="text" label="Text" value={wish.text} change={(text) => change({ ...wish, text })} />
      <Legend />
    </form>
  )
}

/** Looks of frames, with their names for people. */
const LOOKS = { tcp: 'TCP', udp: 'UDP', other: 'other', hurt: 'late, twice, wrong', lost: 'lost' }

const Legend = () => (
  <ul class="legend" aria-label="Colours">
    {Object.entries(LOOKS).map(([look, name]) => (
      <li key={look} class={look}>
        {name}
      </li>
    ))}
  </ul>
)

const PLACES = 300
const HEIGHT = 28

interface OverviewProps {
  readonly view: RunView
  readonly wanted: ReturnType<typeof wantedOf>
  readonly seen: TimeWindow
  readonly look: (seen: TimeWindow) => void
}

/** The whole run: how many frames there are when, its faults, and the stretch that is seen. */
function Overview({ view, wanted, seen, look }: OverviewProps) {
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
