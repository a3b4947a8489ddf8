import type { ComponentChildren } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { sizeOf, startedIn, timeStart } from './files.ts'
import { stays } from './offline.ts'
import {
  dropMachine,
  goOnFrom,
  leftMachines,
  localTime,
  type SavedMachine,
  savedMachines,
  whenOf,
} from './saved-machines.ts'
import { type Chosen, openingHash } from './settings.ts'
import { prepareArm } from './machine-life.ts'

/** A system or a recording beside the site, as in its list. */
interface OfferedSystem extends Chosen {
  readonly description: string
  /** Bytes of the snapshot that it resumes. Only a part is loaded before the prompt. */
  readonly bytes?: number
  /** Whether the page opens it at once, as `retrap site` may request. */
  readonly opens?: boolean
  /** The failure of a recorded run, for people. */
  readonly failure?: string
  /** The time at which the run was recorded. */
  readonly savedAt?: string
  /** The site's server still boots the system. */
  readonly boots?: boolean
}

/** A list with a system that still boots is fetched again after this time. */
const AGAIN_MS = 2000

/** Systems and recordings that lie beside the site; null: the list is on its way. */
export function useOffered(): readonly OfferedSystem[] | null {
  const [offered, setOffered] = useState<readonly OfferedSystem[] | null>(null)
  useEffect(() => {
    let timer = 0
    const look = (): void =>
      void fetch('systems/systems.json')
        .then(async (response) => (response.ok ? ((await response.json()) as OfferedSystem[]) : []))
        .catch(() => [])
        .then((found) => {
          setOffered(found)
          if (found.some(({ boots }) => boots === true)) timer = setTimeout(look, AGAIN_MS)
        })
    look()
    return () => clearTimeout(timer)
  }, [])
  return offered
}

/** Whether an entry is a recording, or the run of a cluster. */
const isRecording = ({ options, cluster }: OfferedSystem): boolean =>
  options.recording !== undefined || cluster !== undefined

/** The site's recordings, with failed runs first. */
export function Recordings({ offered, start }: Pick<SystemsProps, 'offered' | 'start'>) {
  const all = offered?.filter(isRecording) ?? []
  const failed = all.filter(({ failure }) => failure !== undefined)
  if (all.length === 0) return null
  const runs = failed.length === 1 ? 'A run has failed' : `${failed.length} runs have failed`
  return (
    <section class="panel" aria-labelledby="recordings">
      <h2 id="recordings">{failed.length === 0 ? 'Recordings' : runs}</h2>
      <ul class="files" aria-label="Recordings">
        {[...failed, ...all.filter((one) => !failed.includes(one))].map((one) => (
          <li key={one.title}>
            <span class="name">
              <a
                href={openingHash(one)}
                onClick={(event) => {
                  event.preventDefault()
                  start(one)
                }}
              >
                {one.title}
              </a>{' '}
              <span class="wrong">{one.failure}</span>{' '}
              <span class="soft">{one.savedAt !== undefined && localTime(one.savedAt)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Whether this page has opened a machine at once already: after closing it the user sees the start page. */
let hasOpened = false

/** Time that a machine opened at once waits for the page to be isolated. */
const STAYS_MS = 5000

const EMBEDDED_BYTES = 65_536

interface SystemsProps {
  readonly start: (chosen: Chosen) => void
  readonly offered: readonly OfferedSystem[] | null
  readonly failed: (error: unknown) => void
  /** The guest of this project. */
  readonly embedded: Chosen
}

/**
 * Systems that start by one click: the site server's, our own, and machines of the user's.
 *
 * @returns the first of them, and all others
 */
export function useSystems({ start, offered, failed, embedded }: SystemsProps) {
  const systems = offered?.filter((one) => !isRecording(one))
  /** False if the address asks for another machine. */
  const [mayOpen] = useState(location.hash === '')
  const [saved, setSaved] = useState<readonly SavedMachine[]>([])
  const [left, setLeft] = useState<readonly SavedMachine[]>([])
  const list = async (): Promise<void> => {
    const all = await savedMachines()
    setSaved(all.filter(({ options, kept }) => options !== null && kept === undefined).toReversed())
    setLeft(await leftMachines())
  }
  useEffect(() => {
    if (systems?.some(({ options }) => options.board === 'virt') === true) void prepareArm()
    const first = systems?.find(({ opens }) => opens === true)
    if (first === undefined || hasOpened || !mayOpen) return
    hasOpened = true
    void stays(STAYS_MS).then(() => timed(first))
  }, [offered])
  useEffect(() => {
    void list().catch(() => {})
    // A page that was just left may hold its machine's lock a little longer.
    const timer = setTimeout(() => void list().catch(() => {}), 1000)
    return () => clearTimeout(timer)
  }, [])
  const timed = (chosen: Chosen): void => {
    timeStart(chosen.title)
    start(chosen)
  }
  const goOn = (one: SavedMachine): void => void goOnFrom(one.id).then(start, failed)
  const drop = (one: SavedMachine): void => void dropMachine(one.id).then(list, failed)
  const cards = [
    ...left.map((one, i) => (
      <div key={one.id} class="panel">
        <Heading isMain={i === 0}>{one.title}, where you left it</Heading>
        <p>
          As it was {agoText(one.savedAt)}, at {whenOf(one)}. What came after that was lost with its page.
        </p>
        <p class="soft figure">{sizeOf(one.bytes)}</p>
        <div class="actions">
          <button class="primary" onClick={() => goOn(one)}>
            Go on
          </button>
          <button onClick={() => drop(one)}>Forget it</button>
        </div>
      </div>
    )),
    ...(systems ?? []).map((system, i) => (
      <Card
        key={system.title}
        isMain={i === 0 && left.length === 0}
        title={system.title}
        text={system.description}
        bytes={system.bytes}
        start={system.boots === true ? undefined : () => timed(system)}
      />
    )),
    <Card
      key=""
      isMain={systems?.length === 0 && left.length === 0}
      title="The embedded guest"
      label="Start the embedded guest"
      text="A small system of our own, from the reset vector to 64-bit mode and a shell."
      bytes={EMBEDDED_BYTES}
      start={() => timed(embedded)}
    />,
    systems?.length === 0 && (
      <div class="panel">
        <h3>Debian</h3>
        <p>This command serves the site with Debian's kernel and busybox, at their prompt:</p>
        <code>npm run -s retrap -- web --debian</code>
      </div>
    ),
  ]
  const others = (
    <section aria-labelledby="systems">
      <h2 id="systems">Other systems</h2>
      <div class="cards">{cards.slice(1)}</div>
      {saved.length > 0 && (
        <details>
          <summary>Go on with a machine that you have saved</summary>
          <ul class="files" aria-label="Saved machines">
            {saved.map((one) => (
              <li key={one.id}>
                {one.thumbnail !== undefined && <img class="thumbnail" src={one.thumbnail} alt="" />}
                <span class="name">
                  {one.title}
                  {one.name !== undefined && `, ${one.name}`}: {whenOf(one)}, {sizeOf(one.bytes)}
                </span>
                <button onClick={() => goOn(one)}>Go on</button>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
  return { main: offered && cards[0], others }
}

/** Seconds of the units of a time ago, the largest first. */
const UNITS = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const

function agoText(time: number): string {
  const seconds = Math.max(0, (Date.now() - time) / 1000)
  const [unit, size] = UNITS.find(([, least]) => seconds >= least) ?? UNITS.at(-1)!
  return new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' }).format(-Math.floor(seconds / size), unit)
}

/** The first card stands below the page's own heading, the others below that of their section. */
const Heading = ({ isMain, children }: { readonly isMain: boolean; readonly children: ComponentChildren }) =>
  isMain ? <h2>{children}</h2> : <h3>{children}</h3>

interface CardProps {
  /** Whether this is the primary choice. */
  readonly isMain: boolean
  readonly title: string
  readonly label?: string
  readonly text: string
  readonly bytes?: number | undefined
  /** Absent: it still boots. */
  readonly start: (() => void) | undefined
}

function Card({ isMain, title, label, text, bytes, start }: CardProps) {
  const ms = startedIn(title)
  const figures = [
    bytes !== undefined && sizeOf(bytes),
    ms !== null && `at its prompt in ${(ms / 1000).toFixed(1)} s, last time here`,
  ]
  return (
    <div class={isMain ? 'panel main' : 'panel'}>
      <Heading isMain={isMain}>{title}</Heading>
      <p>{text}</p>
      <p class="soft figure" role="status">
        {start === undefined
          ? 'It boots, and can be started here in some seconds.'
          : figures.filter(Boolean).join(', ')}
      </p>
      <button class={isMain ? 'primary' : ''} disabled={start === undefined} onClick={start}>
        {label ?? `Start ${title}`}
      </button>
    </div>
  )
}
