import type { Machine } from '@retrap/web'
import { useEffect, useRef, useState } from 'preact/hooks'

/** The loudspeakers of a machine's page: off until the user wants them, as browsers demand. `turn` switches them. */
export function useSound(machine: Machine | null) {
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
