import type { GuestTrouble, Machine, MachineState, Progress } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Chosen } from './settings.ts'

let spare: Worker | null = null
let wanted = false
/** Whether a Worker that is started makes an Arm board's code. */
let withArm = false

/** Starts a Worker before its machine is chosen: its program is loaded while the user reads. */
export async function prepareWorker(): Promise<void> {
  wanted = true
  const { prepareArmBoard, startMachineWorker } = await import('@retrap/web')
  if (!wanted || spare !== null) return
  const worker = startMachineWorker()
  spare = worker
  if (withArm) prepareArmBoard(worker)
  // A machine that needs a Worker then starts another one, and reports the error.
  worker.addEventListener(
    'error',
    (event) => {
      event.preventDefault()
      if (spare === worker) spare = null
    },
    { once: true },
  )
}

/** Has the Worker make an Arm board's code as well. For a site that offers a system for one. */
export async function prepareArm(): Promise<void> {
  withArm = true
  if (spare === null) return
  const { prepareArmBoard } = await import('@retrap/web')
  if (spare !== null) prepareArmBoard(spare)
}

/** Returns a Worker started earlier; null: none. */
function takeWorker(): Worker | null {
  wanted = false
  const worker = spare
  spare = null
  return worker
}

export type PageState = MachineState | 'loading' | 'failed'

/** The trouble, until its cause is gone, or the user has read it. */
interface Alert {
  readonly text: string
  /** `action`: of the user's, removed by the action after it; `guest`: removed when the machine runs anew. */
  readonly cause: 'action' | 'guest'
  /** The guest's trouble, before which the debugger may go. */
  readonly trouble?: GuestTrouble
}

/** A machine in the page, from creation to end. */
export interface MachineLife {
  /** The machine; null before its creation, and after an error. */
  readonly machine: Machine | null
  /** Whether the machine is made: the terminal may exist before it. */
  readonly isMade: boolean
  readonly state: PageState
  readonly progress: Progress | null
  /** The last event. */
  readonly note: string
  readonly alert: string
  /** The guest's trouble that the alert tells. */
  readonly trouble: GuestTrouble | undefined
  readonly say: (note: string) => void
  readonly dismiss: () => void
  /** Clears the alert whose text begins with `start`. */
  readonly settle: (start: string) => void
  /** Runs an action, and shows its error. */
  readonly attempt: (action: () => Promise<unknown>) => void
  /** Switches the machine on, or resumes it. */
  readonly run: () => void
}

/** Beginning of the warning that the past takes no keys. */
const OF_PAST = 'This is the past'

/** The message of a thrown error, for people. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Makes and runs a machine, and closes it when the component unmounts. */
export function useMachine(chosen: Chosen): MachineLife {
  const [isMade, setMade] = useState(false)
  const [machine, setMachine] = useState<Machine | null>(null)
  const [state, setState] = useState<PageState>('loading')
  const [progress, setProgress] = useState<Progress | null>(null)
  const [note, say] = useState('')
  const [alert, setAlert] = useState<Alert | null>(null)
  const last = useRef<PageState>('loading')

  useEffect(() => {
    const control = new AbortController()
    const { signal } = control
    const warn = (text: string): void => setAlert({ text, cause: 'guest' })
    const changed = (next: PageState): void => {
      // The machine was switched on anew: its last end is past. A machine that goes on may be in trouble again.
      const wasOff = last.current === 'off'
      if (next === 'running') setAlert((before) => (wasOff || before?.trouble !== undefined ? null : before))
      last.current = next
      setState(next)
    }
    const begin = async (): Promise<void> => {
      const { createMachine, startMachineWorker } = await import('@retrap/web')
      const createWorker = (): Worker => takeWorker() ?? startMachineWorker()
      let whole = ''
      const onProgress = (now: Progress): void => {
        setProgress(now)
        if (now.whole === true) whole = `Its server answers no requests for a range: all of ${now.image} was fetched.`
      }
      const making = createMachine({ ...chosen.options, createWorker, signal, onProgress })
      // The terminal is made while the Worker makes the machine.
      setMade(true)
      const made = await making
      signal.addEventListener('abort', () => made.dispose())
      made.on('state', changed)
      made.on('warning', warn)
      made.on('trouble', (trouble) => setAlert({ text: trouble.message, cause: 'guest', trouble }))
      // The display has moved to another instant: clear an alert about the previous one.
      made.on('console', () => setAlert((before) => (before?.text.startsWith(OF_PAST) === true ? null : before)))
      made.on('exit', ({ reason, detail }) => {
        say(`The machine has ended: ${reason}.`)
        if (detail !== undefined) warn(detail.message)
      })
      setMachine(made)
      // A recording is looked at first, and a machine that was saved while it was paused stays so.
      if (made.state !== 'paused') run(made)
      else setState(made.state)
      say([whole, made.turns ?? ''].join(' ').trim())
    }
    begin().catch((error: unknown) => {
      if (signal.aborted) return
      setState('failed')
      warn(messageOf(error))
    })
    return () => control.abort()
  }, [chosen])

  const run = (one: Machine): void => {
    say('')
    // Events report how the machine ends.
    one.run().catch(() => {})
  }
  const attempt = (action: () => Promise<unknown>): void => {
    setAlert((before) => (before?.cause === 'action' ? null : before))
    action().catch((thrown: unknown) => setAlert({ text: messageOf(thrown), cause: 'action' }))
  }
  return {
    ...{ machine, isMade, state, progress, note, say, attempt },
    alert: alert?.text ?? '',
    trouble: alert?.trouble,
    dismiss: () => setAlert(null),
    settle: (start) => setAlert((before) => (before?.text.startsWith(start) === true ? null : before)),
    run: () => machine !== null && run(machine),
  }
}
