import type { Machine, RunHistory, RunPosition, TravelStop, VcpuView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { playRun } from './play-run.ts'
import { stopText } from './stop-text.ts'

/** Between two looks at a machine that runs. */
const LOOK_MS = 500

/** A place where the machine stops, as the panel lists it. */
export interface ListedStop {
  readonly text: string
  /** Of a breakpoint on an instruction. */
  readonly address?: bigint
  readonly remove: () => Promise<void>
}

/** The machine's debugger, as its panel shows it. */
export interface DebuggerView {
  /** Null: the run is not recorded; undefined: the machine has not said yet. */
  readonly position: RunPosition | null | undefined
  readonly history: RunHistory | null
  readonly vcpus: readonly VcpuView[]
  /** Where the last way has ended, for people. */
  readonly note: string
  /** A way is under way. */
  readonly isBusy: boolean
  readonly stops: readonly ListedStop[]
  readonly setStops: (stops: readonly ListedStop[]) => void
  /** Goes through the run, and says where that has ended. */
  readonly go: (way: () => Promise<TravelStop>) => Promise<void>
  /** Plays the run from here, or no longer. */
  readonly play: () => Promise<void>
  readonly isPlaying: boolean
  readonly say: (note: string) => void
  readonly look: () => Promise<void>
}

/** Looks at a machine's debugger, as long as its panel is seen. */
export function useDebugger(machine: Machine, isShown: boolean): DebuggerView {
  const [position, setPosition] = useState<RunPosition | null>()
  const [history, setHistory] = useState<RunHistory | null>(null)
  const [vcpus, setVcpus] = useState<readonly VcpuView[]>([])
  const [note, say] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [stops, setStops] = useState<readonly ListedStop[]>([])
  const busy = useRef(false)
  const [isPlaying, setPlaying] = useState(false)
  const playing = useRef(false)
  const look = async (): Promise<void> => {
    const at = await machine.debugger.position().catch(() => null)
    setPosition(at)
    if (at === null) return
    const [past, view] = await Promise.all([machine.debugger.history(), machine.inspect().catch(() => null)])
    setHistory(past)
    if (view?.architecture === 'x86') setVcpus(view.vcpus)
  }
  useEffect(() => {
    if (!isShown) return undefined
    let isOver = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const again = async (): Promise<void> => {
      // On its way it is looked at when it arrives.
      if (!busy.current) await look().catch(() => undefined)
      if (!isOver) timer = setTimeout(() => void again(), LOOK_MS)
    }
    void again()
    const off = machine.on('position', ({ position: at, stop }) => {
      setPosition(at)
      if (stop !== null) say(stopText(stop))
    })
    return () => {
      isOver = true
      clearTimeout(timer)
      off()
    }
  }, [machine, isShown])
  const during = async (action: () => Promise<string>): Promise<void> => {
    busy.current = true
    setBusy(true)
    try {
      say(await action())
      await look()
    } finally {
      busy.current = false
      setBusy(false)
    }
  }
  const go = (way: () => Promise<TravelStop>): Promise<void> => during(async () => stopText(await way()))
  const play = async (): Promise<void> => {
    const begins = !playing.current && history !== null
    playing.current = begins
    setPlaying(begins)
    if (!begins) return
    try {
      await during(() => playRun(machine.debugger, history, () => !playing.current))
    } finally {
      playing.current = false
      setPlaying(false)
    }
  }
  return { position, history, vcpus, note, isBusy, stops, setStops, go, say, look, play, isPlaying }
}
