import type {
  GuestTrouble,
  Machine,
  MachineChange,
  MemoryPlace,
  PrintedPlace,
  RegisterPlace,
  RunHistory,
  RunPosition,
  TaskView,
  TravelStop,
  WriterView,
} from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'
import type { Vcpu } from '../inspector/disassembly.ts'
import { findInstant, playRun } from './run-axis.ts'
import { stopText } from './stop-text.ts'

/** Between two looks at a machine that runs. */
const LOOK_MS = 500

/** A stop of the machine, as listed in the panel. */
export interface ListedStop {
  readonly text: string
  /** Address of a breakpoint on an instruction. */
  readonly address?: bigint
  readonly remove: () => Promise<void>
}

/** The answer to the question for the writer of a place. */
export interface WhoAnswer {
  /** The thing that was asked about, for people. */
  readonly what: string
  /** Null: the run is searched. */
  readonly writer: WriterView | null
}

/** The page's knowledge of a machine's debugger. */
interface Known {
  /** Null: the run is not recorded; undefined: the machine has not said yet. */
  readonly position: RunPosition | null | undefined
  readonly history: RunHistory | null
  readonly vcpus: readonly Vcpu[]
  /** The tasks of Linux that the vCPUs execute. */
  readonly tasks: readonly (TaskView | null)[]
  /** Result of the last move through the run, for people. */
  readonly note: string
  readonly answer: WhoAnswer | null
  /** The debugger moves through the run. */
  readonly isBusy: boolean
  readonly isPlaying: boolean
  readonly stops: readonly ListedStop[]
  /** The branch that the user is asked about: with a change, or `here`. */
  readonly branch: MachineChange | 'here' | null
  /** The memory that the panel shows, with the first byte marked; null: the stack. */
  readonly shown: Pick<MemoryPlace, 'address' | 'physical'> | null
  /** The instruction that another part of the page asks for: the code comes into sight when the run has reached it. */
  readonly sought: Pick<MemoryPlace, 'address'> | null
}

/** The state of a machine's debugger, for its bar and its panel. */
export interface DebuggerView
  extends Known, Pick<DebuggerStore, 'look' | 'go' | 'goTo' | 'goToTime' | 'play' | 'ask' | 'change'> {
  readonly say: (note: string) => void
}

/** The state of a machine's debugger, shared by all views. */
class DebuggerStore {
  readonly #machine: Machine
  readonly #listeners = new Set<() => void>()
  /** Number of views that show the vCPUs' state. */
  #deep = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  /** The instruction that is gone to next. */
  #next: number | null = null
  known: Known = {
    ...{ position: undefined, history: null, vcpus: [], tasks: [], note: '', answer: null, stops: [], branch: null },
    ...{ isBusy: false, isPlaying: false, shown: null, sought: null },
  }

  constructor(machine: Machine) {
    this.#machine = machine
    machine.on('position', ({ position, stop }) => this.change({ position, ...(stop && { note: stopText(stop) }) }))
    machine.on('state', () => this.#listeners.size > 0 && void this.#again())
  }

  readonly change = (part: Partial<Known>): void => {
    this.known = { ...this.known, ...part }
    for (const listener of this.#listeners) listener()
  }

  /** @returns a function that ends the watch */
  watch(listener: () => void, isDeep: boolean): () => void {
    this.#listeners.add(listener)
    this.#deep += Number(isDeep)
    void this.#again()
    return () => {
      this.#listeners.delete(listener)
      this.#deep -= Number(isDeep)
      if (this.#listeners.size === 0) clearTimeout(this.#timer)
    }
  }

  /** Looks now, and from time to time. */
  async #again(): Promise<void> {
    clearTimeout(this.#timer)
    // While the debugger moves, its arrival causes the next look.
    if (!this.known.isBusy) await this.look().catch(() => undefined)
    clearTimeout(this.#timer)
    // An unrecorded machine has nothing to show until its recording begins, which causes a look.
    if (this.#listeners.size > 0 && this.known.position) this.#timer = setTimeout(() => void this.#again(), LOOK_MS)
  }

  readonly look = async (): Promise<void> => {
    const { debugger: debug } = this.#machine
    const position = await debug.position().catch(() => null)
    if (position === null) return this.change({ position })
    const hasBegun = !this.known.position
    const isDeep = this.#deep > 0
    const [history, view] = await Promise.all([
      debug.history(),
      isDeep ? this.#machine.inspect().catch(() => null) : null,
    ])
    const vcpus = view?.vcpus ?? this.known.vcpus
    // A kernel's types take a while to read: a machine that runs goes on.
    const isStill = isDeep && this.#machine.state !== 'running'
    const tasks = isStill ? await Promise.all(vcpus.map((_, cpu) => debug.task(cpu).catch(() => null))) : []
    this.change({ position, history, vcpus, tasks })
    // From here on there is something to look at from time to time.
    if (hasBegun) void this.#again()
  }

  async #during(action: () => Promise<string>): Promise<void> {
    this.change({ isBusy: true })
    try {
      this.change({ note: await action() })
      await this.look()
    } finally {
      this.change({ isBusy: false })
    }
  }

  /** Moves through the run, and reports where the move has ended. */
  readonly go = (way: () => Promise<TravelStop>): Promise<void> => {
    this.change({ answer: null })
    return this.#during(async () => stopText(await way()))
  }

  /** Goes to an instruction. Of the instructions that are asked for meanwhile the last one comes next. */
  readonly goTo = async (instruction: number): Promise<void> => {
    this.#next = instruction
    if (this.known.isBusy) return
    while (this.#next !== null) {
      const to = this.#next
      this.#next = null
      await this.go(() => this.#machine.debugger.goto(to))
    }
  }

  /** Goes to an instant of the guest's time: the last instruction before it. */
  readonly goToTime = (ms: number): Promise<void> =>
    this.#during(async () => {
      const { debugger: debug } = this.#machine
      const [{ samples }, { begin, now }] = await Promise.all([debug.history(), debug.position()])
      await findInstant({ samples, begin, now }, ms, async (instruction) => {
        await debug.goto(instruction)
        return (await debug.position()).guestMs
      })
      return ''
    })

  /** Plays the run: to the next stop, or, without stops, at the guest's own pace. While it plays, ends the playing. */
  readonly play = async (): Promise<void> => {
    const { debugger: debug } = this.#machine
    const { isPlaying, history, stops } = this.known
    if (isPlaying || history === null) return this.change({ isPlaying: false })
    if (stops.length > 0) return this.go(debug.continue)
    this.change({ isPlaying: true, answer: null })
    try {
      await this.#during(() => playRun(debug, history, () => !this.known.isPlaying))
    } finally {
      this.change({ isPlaying: false })
    }
  }

  /** Finds the last writer of a place. @param what - the place's name for people */
  readonly ask = (what: string, place: MemoryPlace | RegisterPlace | PrintedPlace): Promise<void> => {
    this.change({ answer: { what, writer: null } })
    return this.#during(async () => {
      const writer = await this.#machine.debugger.whoWrote(place).catch((error: unknown) => {
        this.change({ answer: null })
        throw error
      })
      this.change({ answer: { what, writer } })
      return ''
    })
  }
}

/** Begins the recording of a machine. @param look - looks at its debugger then */
export function useRecord(machine: Machine, look: () => Promise<void>) {
  const [isBeginning, setBeginning] = useState(false)
  const begin = async (): Promise<void> => {
    setBeginning(true)
    try {
      await machine.debugger.record()
      await look()
    } finally {
      setBeginning(false)
    }
  }
  return { isBeginning, begin }
}

const stores = new WeakMap<Machine, DebuggerStore>()

function storeOf(machine: Machine): DebuggerStore {
  let store = stores.get(machine)
  if (store === undefined) stores.set(machine, (store = new DebuggerStore(machine)))
  return store
}

/**
 * Has a machine stand still, and goes to just before it told its trouble: before the call that printed the line, or back by one
 * instruction.
 *
 * @returns false: it is not recorded, and is shown as it is
 */
export async function goBefore(machine: Machine, { line }: GuestTrouble): Promise<boolean> {
  if (machine.state === 'running') await machine.pause()
  const { debugger: debug } = machine
  const isRecorded = await debug.position().then(
    () => true,
    () => false,
  )
  if (!isRecorded) return false
  const writer = line === undefined ? undefined : await debug.whoWrote({ printed: line, line })
  const { go, goTo } = storeOf(machine)
  await (writer !== undefined && 'instruction' in writer ? goTo(writer.instruction) : go(() => debug.stepBack()))
  return true
}

/** Subscribes to a machine's debugger. @param isDeep - includes the vCPUs' state */
export function useDebugger(machine: Machine, isDeep: boolean): DebuggerView {
  const store = storeOf(machine)
  const [, setKnown] = useState(store.known)
  const { known, look, go, goTo, goToTime, play, ask, change } = store
  useEffect(() => store.watch(() => setKnown(store.known), isDeep), [store, isDeep])
  return { ...known, look, go, goTo, goToTime, play, ask, change, say: (note) => change({ note }) }
}
