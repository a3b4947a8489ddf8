import type { Machine, MachineView } from '@retrap/web'
import { useEffect, useState } from 'preact/hooks'

/** Milliseconds between two looks at the machine. */
const LOOK_MS = 250

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

/** Returns the state of the machine while it is shown; null: off; undefined: not known yet. */
export function useView(machine: Machine, isShown: boolean): MachineView | null | undefined {
  const [view, setView] = useState<MachineView | null>()
  useEffect(() => {
    if (!isShown) return undefined
    let isOver = false
    let timer: ReturnType<typeof setTimeout> | undefined
    // A busy machine gets no further query before its response.
    const look = async (): Promise<void> => {
      const seen = await machine.inspect().catch(() => null)
      if (isOver) return
      setView(seen)
      timer = setTimeout(() => void look(), LOOK_MS)
    }
    void look()
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [machine, isShown])
  return view
}
