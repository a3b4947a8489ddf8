import { useEffect, useRef, useState } from 'preact/hooks'
import './time-line.css'
import { FileButton } from '../controls.tsx'
import { download, sizeOf } from '../files.ts'
import {
  dropMachine,
  keepMachine,
  renameMachine,
  SAVED_HASH,
  savedFile,
  type SavedMachine,
  savedMachines,
  whenOf,
} from '../saved-machines.ts'
import type { PanelProps } from '../tabs.tsx'
import { branchesOf, type Place } from './branches.ts'
import { saveMachine } from './save.ts'

const OFF = 'The machine is off: there is nothing to save now.'
const NONE = 'None yet. They stay in this browser.'
const FILES = 'It cannot be forked: another tab does not have the files that you chose.'

/** The machine's snapshots as a tree: saves the machine, and restores it in this tab or another one. */
export function SnapshotsPanel({ machine, chosen, isOn, attempt }: PanelProps) {
  const [all, setAll] = useState<readonly SavedMachine[]>([])
  const [doing, setDoing] = useState('')
  /** The saved machine that this one has gone on from. */
  const [from, setFrom] = useState(chosen.from ?? null)
  const list = async (): Promise<void> => {
    const saved = await savedMachines()
    setAll(saved.filter(({ title, kept }) => title === chosen.title && kept === undefined))
  }
  useEffect(() => void list(), [machine])
  const act = (what: string, action: () => Promise<unknown>): void => {
    setDoing(what)
    attempt(() =>
      action()
        .then(list)
        .finally(() => setDoing('')),
    )
  }
  const save = async (): Promise<void> => {
    const name = `Snapshot ${all.length + 1}`
    setFrom((await saveMachine(machine, chosen, { name, parent: from })).id)
  }
  const goBack = async (id: string): Promise<void> => {
    await machine.restore(await savedFile(id))
    setFrom(id)
  }
  const actions: Actions = {
    isBusy: doing !== '',
    goBack: (id) => act('Restoring', () => goBack(id)),
    rename: (id, name) => act('Renaming', () => renameMachine(id, name)),
    exportFile: (id) => act('Exporting', async () => download(await savedFile(id), `${id}.snapshot`)),
    drop: (id) => act('Deleting', () => dropMachine(id)),
  }
  return (
    <>
      <div class="actions">
        <button
          class="primary"
          disabled={!isOn || doing !== ''}
          title={isOn ? undefined : OFF}
          onClick={() => act('Saving', save)}
        >
          Save now
        </button>
        <FileButton
          disabled={doing !== ''}
          take={(file) =>
            act('Restoring', async () => {
              await machine.restore(file)
              setFrom((await keepMachine(chosen, file, { name: file.name })).id)
            })
          }
        >
          Import
        </FileButton>
        <span class="soft" role="status">
          {doing !== '' ? `${doing} …` : [!isOn && OFF, all.length === 0 && NONE].filter(Boolean).join(' ')}
        </span>
      </div>
      {all.length > 0 && <TimeLine places={branchesOf(all)} from={from} actions={actions} />}
      {all.some(({ options }) => options === null) && <p class="soft">{FILES}</p>}
    </>
  )
}

interface Actions {
  readonly isBusy: boolean
  goBack(id: string): void
  rename(id: string, name: string): void
  exportFile(id: string): void
  drop(id: string): void
}

interface TimeLineProps {
  readonly places: readonly Place[]
  /** Snapshot that the machine's present continues. */
  readonly from: string | null
  readonly actions: Actions
}

/** Width for the unsaved present: two saved machines and the present fit beside the machine. */
const NOW_PIXELS = 48
/** Pixels from one saved machine to the next, to the right and down; and to the point of one on its line. */
const [STEP_X, STEP_Y, POINT_X, POINT_Y] = [176, 292, 12, 8]

/** Saved machines along their lines, the oldest at the left; now is at the end. */
function TimeLine({ places, from, actions }: TimeLineProps) {
  const scroll = useRef<HTMLDivElement>(null)
  const before = places.findIndex(({ saved }) => saved.id === from)
  // A continuation after a place with other successors starts a new branch.
  const lines = 1 + Math.max(...places.map(({ line }) => line))
  const isBranch = before < 0 || places.some(({ parent }) => parent === before)
  const now = { column: places.length, line: isBranch ? lines : places[before]!.line }
  useEffect(() => scroll.current!.scrollTo({ left: scroll.current!.scrollWidth }), [places.length])
  const x = (column: number): number => POINT_X + STEP_X * column
  const y = (line: number): number => POINT_Y + STEP_Y * line
  // The line descends between two columns, clear of the cards.
  const path = (a: { column: number; line: number }, b: { column: number; line: number }): string =>
    `M${x(a.column)} ${y(a.line)}H${STEP_X * (a.column + 1) - 8}V${y(b.line)}H${x(b.column)}`
  const ways = places.flatMap((place) => (place.parent === null ? [] : [path(places[place.parent]!, place)]))
  if (before >= 0) ways.push(path(places[before]!, now))
  return (
    <div class="time" ref={scroll} tabIndex={0} role="region" aria-label="Time line">
      <svg
        aria-hidden="true"
        width={x(places.length) + NOW_PIXELS - POINT_X}
        height={y(Math.max(lines - 1, now.line)) + POINT_Y}
      >
        <path d={ways.join('')} />
      </svg>
      <ol
        aria-label="Saved states of this machine"
        style={{ gridTemplateColumns: `repeat(${places.length}, 160px) ${NOW_PIXELS}px` }}
      >
        {places.map((place) => (
          <Saved key={place.saved.id} place={place} actions={actions} />
        ))}
        <li class="now" style={{ gridColumn: now.column + 1, gridRow: now.line + 1 }}>
          now
        </li>
      </ol>
    </div>
  )
}

function Saved({ place: { saved, column, line }, actions }: { place: Place; actions: Actions }) {
  const name = saved.name ?? `Snapshot ${column + 1}`
  return (
    <li style={{ gridColumn: column + 1, gridRow: line + 1 }}>
      {saved.thumbnail === undefined ? (
        <span class="thumbnail" />
      ) : (
        <img class="thumbnail" src={saved.thumbnail} alt="" />
      )}
      <input
        type="text"
        aria-label={`Name of ${name}`}
        value={name}
        onChange={(event) => actions.rename(saved.id, event.currentTarget.value)}
      />
      <span class="soft">
        {whenOf(saved)}
        <br />
        {sizeOf(saved.bytes)}
      </span>
      <span class="two">
        <button disabled={actions.isBusy} onClick={() => actions.goBack(saved.id)}>
          Go back
        </button>
        {saved.options === null ? (
          <button disabled title={FILES}>
            Fork
          </button>
        ) : (
          <a class="button" href={SAVED_HASH + saved.id} target="_blank" rel="noopener">
            Fork
          </a>
        )}
        <button class="plain" disabled={actions.isBusy} onClick={() => actions.exportFile(saved.id)}>
          Export
        </button>
        <button class="plain" disabled={actions.isBusy} onClick={() => actions.drop(saved.id)}>
          Delete
        </button>
      </span>
    </li>
  )
}
