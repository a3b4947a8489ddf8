import type { Machine, MachineView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'

/** Milliseconds between two looks at a machine that changes; each look that finds no change doubles them, up to the second. */
const [LOOK_MS, MOST_LOOK_MS] = [250, 4000]

/**
 * Reads something of a machine, again when `inputs` change. A result of earlier inputs is dropped, and so is a failure.
 *
 * @param read - null: nothing is to be read now
 */
export function useRead<T>(
  read: (() => Promise<T>) | null,
  take: (found: T) => void,
  inputs: readonly unknown[],
): void {
  useEffect(() => {
    let isOver = false
    void read?.().then(
      (found) => void (isOver || take(found)),
      () => undefined,
    )
    return () => void (isOver = true)
  }, inputs)
}

/** Shown until a machine that is just being started has answered. */
export const LOOKING = 'The machine starts, and has not said anything of itself yet.'

/**
 * Returns the state of the machine while it is shown; null: off; undefined: not known yet.
 *
 * @param partOf - the part that the panel shows: the panel is drawn again only when it changes
 * @param wish - a change of this text has the machine looked at again
 */
export function useView(
  machine: Machine,
  isShown: boolean,
  partOf?: (view: MachineView) => unknown,
  wish = '',
): MachineView | null | undefined {
  const [view, setView] = useState<MachineView | null>()
  useEffect(() => {
    if (!isShown) return undefined
    let isOver = false
    let timer: ReturnType<typeof setTimeout> | undefined
    let waitMs = LOOK_MS
    let last: string | undefined
    // A busy machine gets no further query before its response.
    const look = async (): Promise<void> => {
      const seen = await machine.inspect().catch(() => null)
      if (isOver) return
      const part = partOf && JSON.stringify(seen && partOf(seen))
      waitMs = part === undefined || part !== last ? LOOK_MS : Math.min(2 * waitMs, MOST_LOOK_MS)
      if (waitMs === LOOK_MS) setView(seen)
      last = part
      clearTimeout(timer)
      timer = setTimeout(() => void look(), waitMs)
    }
    /** A machine that does something is looked at soon. */
    const wake = (): void => {
      if (waitMs === LOOK_MS) return
      waitMs = LOOK_MS
      clearTimeout(timer)
      timer = setTimeout(() => void look(), waitMs)
    }
    const stops = (['serial', 'console', 'state', 'position'] as const).map((event) => machine.on(event, wake))
    void look()
    return () => {
      isOver = true
      clearTimeout(timer)
      stops.forEach((stop) => stop())
    }
  }, [machine, isShown, wish])
  return view
}
