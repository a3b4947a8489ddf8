// Saves a machine in case its page is closed: at the first prompt, periodically, and when the tab is hidden, because a closing
// page cannot wait for a save. The next visit offers it.
import type { Machine } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'
import { dropMachine, keepMachine, lastingOptions, keptLock } from './saved-machines.ts'
import type { Chosen } from './settings.ts'

/** Interval between two checks for new data to save. */
const KEEP_MS = 60_000
/** The user's first keys come before the save at the prompt. */
const PROMPT_MS = 500

/** Whether a machine can be saved and resumed in another page. */
const canKeep = (chosen: Chosen): boolean =>
  lastingOptions(chosen) !== null && chosen.options.drives?.some(({ keep }) => keep !== undefined) !== true

/** Keeps a machine while it is on, and has the browser ask before its page goes. */
export function useKeeping(machine: Machine | null, chosen: Chosen, isOn: boolean) {
  const id = useRef(chosen.kept ?? crypto.randomUUID())
  const saved = useRef<string | null>(null)
  const [savedTime, setSavedTime] = useState<number | null>(null)
  const hasNews = useRef(false)
  const keepNow = useRef<(() => Promise<void>) | null>(null)
  const latest = useRef(chosen)
  latest.current = chosen
  /** The saved instant, as a count of executed instructions; null: none, or one of an abandoned run. */
  const savedAt = useRef<number | null>(null)
  useEffect(() => machine?.on('serial', () => void (hasNews.current = true)), [machine])
  useEffect(() => machine?.on('console', () => void (savedAt.current = null)), [machine])
  useEffect(() => {
    if (machine === null || !isOn) return undefined
    const control = new AbortController()
    const { signal } = control
    addEventListener('beforeunload', (event) => event.preventDefault(), { signal })
    if (!canKeep(chosen)) return () => control.abort()
    let isBusy = false
    const keep = async (): Promise<void> => {
      if (isBusy || !(hasNews.current || machine.screenSize.width > 0)) return
      isBusy = true
      hasNews.current = false
      try {
        const { instructions } = await machine.statistics()
        // The machine has stood still since.
        if (instructions === savedAt.current) return
        const file = await machine.save()
        if (signal.aborted) return
        const before = saved.current
        const kept = await keepMachine(latest.current, file, { kept: id.current })
        saved.current = kept.id
        setSavedTime(kept.savedAt)
        savedAt.current = instructions
        if (before !== null) await dropMachine(before)
      } catch {
        // A machine with devices of the playground has no snapshots; the page asks before it goes.
      } finally {
        isBusy = false
      }
    }
    keepNow.current = keep
    document.addEventListener('visibilitychange', () => document.hidden && void keep(), { signal })
    const timer = setInterval(() => void keep(), KEEP_MS)
    // The lock keeps other tabs from offering a machine that runs here.
    void navigator.locks
      ?.request(keptLock(id.current), { signal: AbortSignal.any([signal]) }, () => untilAborted(signal))
      .catch(() => {})
    return () => {
      clearInterval(timer)
      keepNow.current = null
      control.abort()
    }
  }, [machine, isOn])
  // A machine that has ended has nothing to resume.
  /** Called when the user has ended the machine: forgets its saved state. */
  const forget = async (): Promise<void> => {
    if (saved.current !== null) await dropMachine(saved.current).catch(() => {})
    saved.current = null
  }
  useEffect(() => machine?.on('exit', () => void forget()), [machine])
  /** Called when the guest shows its first prompt. */
  const prompted = (): void => {
    hasNews.current = true
    setTimeout(() => void keepNow.current?.(), PROMPT_MS)
  }
  const time = savedTime === null ? '' : new Date(savedTime).toLocaleTimeString(undefined, { timeStyle: 'short' })
  const note = savedTime === null ? '' : `Kept here as it was at ${time}: if this tab closes, what came after is lost.`
  return { forget, prompted, note }
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
