import type { Machine } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'

/** Whether a machine's sound is played, and a function that switches it. */
export interface SoundSwitch {
  readonly isOn: boolean
  readonly turn: (on: boolean) => Promise<void>
}

/** The loudspeakers of a machine's page: off until the user wants them, as browsers demand. */
export function useSound(machine: Machine | null): SoundSwitch {
  const [isOn, setOn] = useState(false)
  const context = useRef<AudioContext | null>(null)
  const close = (): void => {
    void context.current?.close()
    context.current = null
    setOn(false)
  }
  useEffect(() => close, [machine])
  const turn = async (on: boolean): Promise<void> => {
    if (context.current === null) {
      if (!on || machine === null) return
      const made = new AudioContext()
      context.current = made
      try {
        await machine.attachSound(made.destination)
      } catch (error) {
        close()
        throw error
      }
    }
    // A context that is suspended takes no time of the processor's.
    await (on ? context.current.resume() : context.current.suspend())
    setOn(on)
  }
  return { isOn, turn }
}
