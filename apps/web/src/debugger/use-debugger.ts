import type { Machine, RunHistory, RunPosition, TravelStop, VcpuView } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'

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
  readonly say: (note: string) => void
  readonly look: () => Promise<void>
}

/** An address for people. */
export const hex = (address: bigint | number): string => `0x${address.toString(16)}`

const PLACES = { port: 'Port', mmio: 'Device memory', msr: 'MSR' } as const

/** Says where a way has ended. */
export function stopText(stop: TravelStop): string {
  switch (stop.reason) {
    case 'breakpoint':
      return `Breakpoint at ${hex(stop.address)}, vCPU ${stop.cpu}.`
    case 'watch':
      return `Bytes at ${hex(stop.address)} are accessed by vCPU ${stop.cpu}.`
    case 'port':
    case 'mmio':
    case 'msr': {
      const value = stop.value === undefined ? '' : ` ${hex(stop.value)}`
      return `${PLACES[stop.reason]} ${hex(stop.address)} is ${stop.write ? 'written' : 'read'} by vCPU ${stop.cpu}:${value || ' several times'}.`
    }
    case 'handler':
      return `Exception ${stop.vector}, error code ${hex(stop.errorCode)}, vCPU ${stop.cpu}.`
    case 'begin':
      return 'This is where the recording begins.'
    case 'now':
      return 'This is where the machine is.'
    case 'step':
      return ''
    case 'ended':
      return `It has ended here: ${stop.message}.`
  }
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
  const go = async (way: () => Promise<TravelStop>): Promise<void> => {
    busy.current = true
    setBusy(true)
    try {
      say(stopText(await way()))
      await look()
    } finally {
      busy.current = false
      setBusy(false)
    }
  }
  return { position, history, vcpus, note, isBusy, stops, setStops, go, say, look }
}
