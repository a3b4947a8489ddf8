import type { TravelStop } from '@retrap/web'
import type { Terminal } from '@xterm/xterm'
import { useEffect, useRef, useState } from 'preact/hooks'
import { Ask } from '../ask.tsx'
import { keep, kept } from '../files.ts'
import { localTime } from '../saved-machines.ts'
import type { PageState } from '../machine-life.ts'
import type { PanelProps } from '../tabs.tsx'
import { Menu, type OpenMenu } from './menu.tsx'
import { timeText } from './run-axis.ts'
import { Sizer } from './sizer.tsx'
import { hex, writerText } from './stop-text.ts'
import { TimeLine } from './time-line.tsx'
import { Sign, Transport } from './transport.tsx'
import { type DebuggerView, useDebugger, useRecord } from './use-debugger.ts'
import './debugger.css'

interface InstrumentProps extends Pick<PanelProps, 'machine' | 'chosen' | 'attempt'> {
  readonly state: PageState
  /** The machine runs on. */
  readonly run: () => void
  /** Opens the debugger's panel. */
  readonly openPanel: () => void
}

/** The debugger's bar and time line, across the page: always in sight. */
export function Instrument({ machine, chosen, state, run, openPanel, attempt }: InstrumentProps) {
  const view = useDebugger(machine, false)
  const { position, history, note, answer, isBusy, isPlaying, branch, say, change, go, goTo, play } = view
  const { isBeginning, begin } = useRecord(machine, view.look)
  useEffect(() => {
    if (chosen.guestMs !== undefined) attempt(() => view.goToTime(chosen.guestMs!))
  }, [machine])
  const isOn = state === 'running' || state === 'paused'
  const mark = () => attempt(() => debug.mark(`Mark ${(history?.marks.length ?? 0) + 1}`).then(view.look))
  const { debugger: debug } = machine
  const travel = (way: () => Promise<TravelStop>): void => attempt(() => go(way))
  const writer = answer?.writer
  /** Whether the run is that of a recording's file. */
  const isFile = (history?.notes ?? null) !== null
  /** Moves the run to just before the instruction of an answer; the answer stays on the screen. */
  const goThere =
    writer && 'instruction' in writer ? () => goTo(writer.instruction).then(() => change({ answer })) : null
  const tour = <Tour {...{ machine, chosen, view, openPanel, attempt }} record={() => attempt(begin)} />
  const own = { machine, state, isBusy, isPlaying, play, say, travel, attempt, run, mark }
  const sizer = (
    <Sizer
      name="Width of the instruments"
      of="right"
      least={320}
      most={1200}
      initial={() => document.querySelector<HTMLElement>('.side')?.offsetWidth ?? 0}
      size={(pixels) => document.querySelector<HTMLElement>('.bench')?.style.setProperty('--side', `${pixels}px`)}
    />
  )
  if (position === undefined || position === null)
    return (
      <>
        {sizer}
        <section class="instrument" aria-label="Run">
          {tour}
          <div class="transport">
            <Transport {...own} position={null} />
            <Sign
              name="Record this machine"
              icon="record"
              isOff={!isOn || isBeginning}
              onClick={() => attempt(begin)}
            />
            <p class="note soft" role="status">
              {isBeginning
                ? 'It begins to be recorded …'
                : isOn
                  ? note || 'Record it, and you can go back to any instant.'
                  : 'The machine is off: there is nothing to record.'}
            </p>
          </div>
        </section>
      </>
    )
  return (
    <>
      {sizer}
      {branch !== null && <BranchQuestion machine={machine} chosen={chosen} view={view} attempt={attempt} />}
      <section class="instrument" aria-label="Run">
        {tour}
        <div class="transport">
          <Transport {...own} position={position} />
          <output class="figure">
            {chosen.of !== undefined && (
              <>
                cluster {timeText(chosen.of.timeOf(position.guestMs))} <span class="soft">{chosen.of.name}</span>{' '}
              </>
            )}
            {timeText(position.guestMs)}
          </output>
          <p role="status" class="note">
            <strong>
              {isPlaying
                ? 'Playing'
                : isBusy
                  ? 'On its way …'
                  : !position.isLive
                    ? 'In the past'
                    : isFile
                      ? 'Its end'
                      : 'Now'}
            </strong>{' '}
            {answer === null
              ? note
              : answer.writer === null
                ? 'The run is searched …'
                : writerText(answer.what, answer.writer)}
          </p>
          {goThere !== null && (
            <button class="plain" disabled={isBusy} onClick={() => attempt(goThere)}>
              Go there
            </button>
          )}
          {isBusy && (
            <span class="late">
              <progress aria-label="On its way" />
              <button class="plain" onClick={() => attempt(debug.interrupt)}>
                Stop
              </button>
            </span>
          )}
          {(note !== '' || answer !== null) && !isBusy && (
            <button class="plain" aria-label="Dismiss the note" onClick={() => (say(''), change({ answer: null }))}>
              ✕
            </button>
          )}
        </div>
        {history !== null && history.samples.length > 0 && (
          <TimeLine history={history} position={position} go={(instruction) => attempt(() => goTo(instruction))} />
        )}
      </section>
    </>
  )
}

/** A failure's reason behind the program, as `exec` has it. */
const REASON = /^(.*): (exit code \d+|the machine has failed)$/s

/** A recording's head: what has failed in it, when, and the command that has made it. */
export function Head({ machine, chosen: { of } }: Pick<PanelProps, 'machine' | 'chosen'>) {
  const { history } = useDebugger(machine, false)
  const { notes } = history ?? {}
  if (!notes) return null
  const failure = of?.failure ?? notes.failure
  const [, program, reason] = (failure !== undefined && REASON.exec(failure)) || []
  const command = notes.arguments && shellText(['retrap', ...notes.arguments])
  return (
    <div class="recorded" role="region" aria-label="The recording">
      <p>
        <strong class={`pill ${failure === undefined ? '' : 'failed'}`}>
          {failure === undefined ? 'No failure' : reason === undefined ? 'Failed' : `Failed: ${reason}`}
        </strong>{' '}
        {program === undefined ? failure : <code>{program}</code>}
      </p>
      <p class="soft">
        {notes.at !== undefined && `${localTime(notes.at)} · `}
        {command === undefined ? (
          'recorded by a test or another program'
        ) : (
          <>
            made by <code title={command}>{command}</code>
          </>
        )}
      </p>
    </div>
  )
}

/** A command line for people. */
const shellText = (words: readonly string[]): string =>
  words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)).join(' ')

interface BranchProps extends Pick<InstrumentProps, 'machine' | 'chosen' | 'attempt'> {
  readonly view: DebuggerView
}

/** Asks before the machine goes on from the past, or is changed. */
function BranchQuestion({ machine, chosen, view: { branch, change, say, look }, attempt }: BranchProps) {
  const answer = (isSaved: boolean) => async (): Promise<void> => {
    if (isSaved) {
      const { saveMachine } = await import('../snapshots/save.ts')
      await saveMachine(machine, chosen, { name: 'Before the branch', parent: chosen.from ?? null })
    }
    const { debugger: debug } = machine
    await (branch === 'here' ? debug.branch() : debug.change(branch!))
    change({ stops: [], answer: null })
    const what = branch === 'here' ? '' : ', with the change'
    say(
      machine.state === 'running'
        ? 'The machine goes on from here.'
        : `The machine is here now${what}. Play lets it run.`,
    )
    await look()
  }
  const choice = (name: string, isSaved: boolean) => ({
    name,
    action: () => {
      change({ branch: null })
      attempt(answer(isSaved))
    },
  })
  return (
    <Ask
      question={branch === 'here' ? 'Go on from here?' : 'Change it, and go on from here?'}
      detail="The machine continues from this instant, as a branch. What it has done since is given up, unless you save a snapshot of now first."
      answers={[choice('Save now, and go on from here', true), choice('Go on from here, and give up the rest', false)]}
      cancel={() => change({ branch: null })}
    />
  )
}

interface PastProps extends Pick<InstrumentProps, 'machine' | 'attempt'> {
  readonly terminal: Terminal | null
}

/** Below the terminal: the instant that it shows, if past; and a menu for its words. */
export function Past({ machine, terminal, attempt }: PastProps) {
  const view = useDebugger(machine, false)
  const { position, history, isBusy, go, change, ask } = view
  const [menu, setMenu] = useState<OpenMenu | null>(null)
  const latest = useRef<(event: MouseEvent) => void>(() => undefined)
  latest.current = (event) => {
    const word = terminal === null || !position ? null : wordAt(terminal, event)
    if (word === null) return
    event.preventDefault()
    const { x, y } = event
    const who = { name: 'Who wrote this?', action: () => attempt(() => ask(`“${word.printed}”`, word)) }
    const copy = { name: 'Copy it', action: () => attempt(() => navigator.clipboard.writeText(word.printed)) }
    setMenu({ x, y, title: `“${word.printed}”`, items: [who, copy] })
  }
  useEffect(() => {
    const { element } = terminal ?? {}
    const open = (event: MouseEvent): void => latest.current(event)
    element?.addEventListener('contextmenu', open)
    return () => element?.removeEventListener('contextmenu', open)
  }, [terminal])
  return (
    <>
      {menu !== null && <Menu menu={menu} close={() => setMenu(null)} />}
      {position && !position.isLive && (
        <div class="past">
          <span>
            Past: <span class="figure">{timeText(position.guestMs)}</span>
          </span>
          <button class="plain" disabled={isBusy} onClick={() => attempt(() => go(machine.debugger.now))}>
            {history?.notes ? 'To its end' : 'Back to now'}
          </button>
          <button class="plain" disabled={isBusy} onClick={() => change({ branch: 'here' })}>
            Go on from here
          </button>
        </div>
      )}
    </>
  )
}

/** Returns the clicked word of a terminal, its line, and the number of equal lines below. */
function wordAt(terminal: Terminal, { x, y }: MouseEvent): { printed: string; line: string; later: number } | null {
  const place = terminal.element!.querySelector('.xterm-screen')!.getBoundingClientRect()
  const buffer = terminal.buffer.active
  const row = buffer.viewportY + Math.floor(((y - place.top) / place.height) * terminal.rows)
  const column = Math.floor(((x - place.left) / place.width) * terminal.cols)
  const selected = terminal.getSelection().trim()
  // A line that is longer than the terminal goes on in the next row.
  let first = row
  while (first > 0 && buffer.getLine(first)?.isWrapped === true) first--
  const textFrom = (at: number): string => {
    let text = buffer.getLine(at)?.translateToString(true) ?? ''
    for (let next = at + 1; buffer.getLine(next)?.isWrapped === true; next++)
      text += buffer.getLine(next)!.translateToString(true)
    return text
  }
  const line = textFrom(first)
  const at = (row - first) * terminal.cols + column
  const word = [...line.matchAll(/\S+/g)].find(({ index, 0: text }) => index <= at && at < index + text.length)
  const printed = selected !== '' && line.includes(selected) ? selected : word?.[0]
  if (printed === undefined) return null
  let later = 0
  for (let below = row + 1; below < buffer.length; below++)
    if (buffer.getLine(below)?.isWrapped === false && textFrom(below).trim() === line.trim()) later++
  return { printed, line: line.trim(), later }
}

const SYSTEM = /^Debian (amd64|arm64)/
const KEPT = 'retrap-tour'
/** Changes the host name in Linux's memory: the asterisk is the byte 2a. */
const COMMAND = "echo '*' > /proc/sys/kernel/hostname"
/** Bytes of a name in `struct new_utsname`, where the host's is behind the system's. Source: Linux, include/uapi/linux/utsname.h. */
const NAME_BYTES = 65
const NAMES = new TextEncoder().encode(`${'Linux'.padEnd(NAME_BYTES, '\0')}*\0`)

interface TourProps extends Pick<InstrumentProps, 'machine' | 'chosen' | 'openPanel' | 'attempt'> {
  readonly view: DebuggerView
  readonly record: () => void
}

/** A first session in five steps on the machine itself, up to the question who wrote a byte of the kernel's. */
function Tour({ machine, chosen, view, record, openPanel, attempt }: TourProps) {
  // A browser that keeps nothing would show it again and again.
  const [isOver, setOver] = useState(() => kept(KEPT) !== null)
  /** Done by the user: the command was typed, and the byte found. */
  const [isTyped, setTyped] = useState(false)
  const [at, setAt] = useState<bigint | null>(null)
  /** Address of the instruction that the run was taken back to. */
  const [gone, setGone] = useState<bigint | null>(null)
  // Other systems may be no Linux with a shell.
  if (isOver || !SYSTEM.test(chosen.title)) return null
  const { position, answer, isBusy } = view
  const close = (): void => {
    setOver(true)
    keep(KEPT, 'closed')
  }
  const find = async (): Promise<void> => {
    const [names] = await machine.debugger.findMemory(NAMES)
    if (names === undefined) throw new Error('No such name is in memory yet: wait for the guest’s next prompt')
    const address = BigInt(names + NAME_BYTES)
    view.change({ shown: { address, physical: true } })
    setAt(address)
    openPanel()
  }
  const ask = (): Promise<void> => view.ask('The host name', { address: at!, physical: true })
  const writer = at === null ? null : answer?.writer
  const goBack = async ({ instruction, address }: { instruction: number; address: bigint }): Promise<void> => {
    await view.goTo(instruction)
    view.change({ sought: { address } })
    setGone(address)
    openPanel()
  }
  const steps: readonly (readonly [text: string, name: string, action: () => void])[] = [
    ['Who wrote a byte? Record this machine: from here on every instant is kept.', 'Record it', record],
    [
      `Have the guest change something of its kernel’s, the host name: ${COMMAND}`,
      'Type it',
      () => {
        machine.write(`${COMMAND}\r`)
        setTyped(true)
      },
    ],
    ['The kernel has that name, an asterisk, in its memory. Look at it there.', 'Find it', () => attempt(find)],
    [
      `The byte that is marked in Memory, at ${hex(at ?? 0)}, is the asterisk, hexadecimal 2a. Who wrote that? The recorded run has the answer.`,
      'Ask',
      () => attempt(ask),
    ],
    [
      `${writer ? writerText(answer!.what, writer) : ''} Go back to the instruction that is about to write: the whole machine is as it was.`,
      'Go there',
      () => attempt(() => (writer?.by === 'instruction' ? goBack(writer) : ask())),
    ],
  ]
  const step = gone !== null ? steps.length : !position ? 0 : !isTyped ? 1 : at === null ? 2 : !writer ? 3 : 4
  const [text, name, action] = steps[step] ?? [
    `The instruction that is marked in Code, at ${hex(gone ?? 0)}, is about to write. Step on (F11) has it write, Step back (Shift+F11) takes that back, Now returns.`,
    'Finish',
    close,
  ]
  return (
    <div class="tour" role="region" aria-label="A first session">
      <strong>{step < steps.length ? `${step + 1} of ${steps.length}` : 'Done'}</strong>
      <span>{text}</span>
      <button class="primary" disabled={isBusy} onClick={action}>
        {name}
      </button>
      {step < steps.length && (
        <button class="plain" onClick={close}>
          No more of this
        </button>
      )}
    </div>
  )
}
