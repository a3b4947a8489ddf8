import { hexLines } from '@retrap/cluster'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { CAUSES, instantOf, type Item, type RunView, type ShownFrame, textOf, type wantedOf } from './run-view.ts'
import type { Place } from './lanes.tsx'
import { secondsText, type TimeWindow } from './time-window.ts'

interface DetailsProps {
  readonly view: RunView
  readonly items: readonly Item[]
  readonly choose: (items: readonly Item[], place: Place) => void
  readonly open: (place: Place) => void
}

/** The frame, line or fault that was chosen; several frames as a list. */
export function Details({ view, items, choose, open }: DetailsProps) {
  const { machines } = view.run
  const [item] = items
  const opener = (machine: number, ns: number, name: string) => (
    <button class="plain" onClick={() => open({ machine, ns })}>
      Open {machines[machine]!.name} {name}
    </button>
  )
  if (item === undefined)
    return <p class="soft">Choose an arrow to see what it carries, or a lane to open its machine at that instant.</p>
  if (items.length > 1)
    return (
      <>
        <h3>{items.length} frames, too near to be told apart</h3>
        <Items view={view} items={items} chosen={[]} choose={choose} />
      </>
    )
  if (item.kind === 'frame') return <Frame view={view} frame={item} opener={opener} />
  if (item.kind === 'line')
    return (
      <>
        <h3>
          {machines[item.machine]!.name}, <span class="figure">{secondsText(item.ns)}</span>
        </h3>
        <pre class="payload" tabIndex={0}>
          {item.text}
        </pre>
        {opener(item.machine, item.ns, 'here')}
      </>
    )
  return (
    <>
      <h3>{item.text}</h3>
      <p class="figure">
        {secondsText(item.from)} to {secondsText(item.to)}
      </p>
      <div class="actions">{item.machines.map((machine) => opener(machine, item.from, 'as it begins'))}</div>
    </>
  )
}

interface FrameProps {
  readonly view: RunView
  readonly frame: ShownFrame
  readonly opener: (machine: number, ns: number, name: string) => preact.JSX.Element
}

function Frame({ view, frame, opener }: FrameProps) {
  const { from, to, sent, arrives, causes, payload, text } = frame
  const { machines } = view.run
  const asText = textOf(payload)
  return (
    <>
      <h3>
        {machines[from]!.name} to {machines[to]!.name}
      </h3>
      <p class="told">{text}</p>
      <p class="figure">
        sent {secondsText(sent)}
        {arrives !== undefined && `, arrives ${secondsText(arrives)}`}
      </p>
      {causes.length > 0 && <p class="wrong">{causes.map((cause) => CAUSES[cause]).join(' ')}</p>}
      <div class="actions">
        {opener(from, sent, 'where it is sent')}
        {arrives !== undefined && opener(to, arrives, 'where it arrives')}
      </div>
      {payload.length > 0 && (
        <>
          {/[\p{L}\p{N}]{2}/u.test(asText) && (
            <pre class="payload" tabIndex={0} aria-label="Payload as text">
              {asText}
            </pre>
          )}
          <pre class="payload" tabIndex={0} aria-label="Payload in hexadecimal">
            {hexLines(payload, 8).join('\n')}
          </pre>
        </>
      )}
    </>
  )
}

/** Most items of a list. */
const MOST = 200

interface AroundProps extends Pick<DetailsProps, 'view' | 'choose'> {
  readonly wanted: ReturnType<typeof wantedOf>
  readonly seen: TimeWindow
  readonly cursor: Place
  readonly chosen: readonly Item[]
}

/** Lists the items in sight, or of many those nearest to the cursor. */
export function Around({ view, wanted, seen, cursor, chosen, choose }: AroundProps) {
  const all = useMemo(
    () =>
      [...wanted.frames, ...wanted.lines.flat(), ...view.faults]
        .filter((item) => instantOf(item) >= seen.from && instantOf(item) <= seen.to)
        .toSorted((one, other) => instantOf(one) - instantOf(other)),
    [wanted, seen],
  )
  const after = all.findIndex((item) => instantOf(item) >= cursor.ns)
  const at = after < 0 ? all.length : after
  const first = Math.max(0, Math.min(at - MOST / 2, all.length - MOST))
  return (
    <>
      <h3>
        In sight: {all.length.toLocaleString('en')}
        {all.length > MOST && `, the ${MOST} nearest to the cursor`}
      </h3>
      <Items {...{ view, chosen, choose }} items={all.slice(first, first + MOST)} near={at - first} />
    </>
  )
}

interface ItemsProps extends Pick<AroundProps, 'view' | 'chosen' | 'choose'> {
  readonly items: readonly Item[]
  /** Index of the item that is scrolled to. */
  readonly near?: number
}

function Items({ view, items, chosen, choose, near = 0 }: ItemsProps) {
  const list = useRef<HTMLOListElement>(null)
  const nameOf = (machine: number): string => view.run.machines[machine]!.name
  useEffect(() => {
    const { children, clientHeight } = list.current!
    const item = children[Math.min(near, children.length - 1)] as HTMLElement | undefined
    // Not by scrollIntoView, which would move the page as well.
    if (item !== undefined) list.current!.scrollTop = item.offsetTop - clientHeight / 2
  }, [near, items.length])
  return (
    <ol class="items" ref={list}>
      {items.map((item, i) => {
        const [look, who, text] =
          item.kind === 'frame'
            ? [item.look, `${nameOf(item.from)} → ${nameOf(item.to)}`, item.brief]
            : [item.kind, item.kind === 'line' ? nameOf(item.machine) : 'fault', item.text]
        return (
          <li key={`${instantOf(item)} ${i}`}>
            <button
              class={`plain ${look}`}
              aria-pressed={chosen.includes(item)}
              onClick={() => choose([item], { machine: machineOf(item), ns: instantOf(item) })}
            >
              <span class="figure">{secondsText(instantOf(item))}</span> <strong>{who}</strong> {text}
              {look === 'lost' && ' (lost)'}
            </button>
          </li>
        )
      })}
    </ol>
  )
}

const machineOf = (item: Item): number =>
  item.kind === 'frame' ? item.from : item.kind === 'line' ? item.machine : (item.machines[0] ?? 0)
