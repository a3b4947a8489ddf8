// A machine in a React component: it lives as long as the component does, with its screen on a canvas, and says its state.
import { createMachine, type MachineOptions, type MachineState } from '@retrap/web'
import { useEffect, useRef, useState } from 'react'

export interface RetrapMachineProps {
  /** Another object makes another machine: keep it outside of what renders, or in a `useMemo`. */
  readonly options: MachineOptions
  /** Gets what the guest writes to its serial port. */
  readonly onSerial?: (text: string) => void
}

export function RetrapMachine({ options, onSerial }: RetrapMachineProps) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const serial = useRef(onSerial)
  serial.current = onSerial
  const [state, setState] = useState<MachineState>('off')
  const [error, setError] = useState('')
  useEffect(() => {
    const control = new AbortController()
    const { signal } = control
    const start = async (): Promise<void> => {
      const machine = await createMachine({ ...options, signal })
      // A component that has gone, as React's StrictMode has each go once, leaves no machine.
      if (signal.aborted) return machine.dispose()
      signal.addEventListener('abort', () => machine.dispose())
      const decoder = new TextDecoder()
      machine.on('state', setState)
      machine.on('serial', (bytes) => serial.current?.(decoder.decode(bytes, { stream: true })))
      machine.attachCanvas(canvas.current!)
      await machine.run()
    }
    setError('')
    start().catch((thrown: unknown) => {
      if (!signal.aborted) setError(thrown instanceof Error ? thrown.message : String(thrown))
    })
    return () => control.abort()
  }, [options])
  return (
    <section aria-label="Machine">
      <canvas ref={canvas} tabIndex={0} />
      <p role="status">{error === '' ? state : error}</p>
    </section>
  )
}
