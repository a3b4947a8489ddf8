import type { Machine } from '@retrap/web'
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { useEffect, useRef } from 'preact/hooks'
import { withStyleSheets } from './style-sheets.ts'

/** CSS pixels: a phone's. */
const NARROW = 640

/** The machine's serial port, in a terminal, which is there before the machine is. */
export function SerialPanel({ machine }: { machine: Machine | null }) {
  const place = useRef<HTMLDivElement>(null)
  const shown = useRef<Terminal | null>(null)
  useEffect(() => {
    const terminal = new Terminal({
      cursorBlink: false,
      fontSize: innerWidth < NARROW ? 12 : 14,
      // Underscores lie low.
      lineHeight: 1.15,
      scrollback: 10_000,
      theme: { background: '#101314', foreground: '#e3e6e4' },
    })
    shown.current = terminal
    const fit = new FitAddon()
    terminal.loadAddon(fit)
    const drop = withStyleSheets(() => terminal.open(place.current!))
    fit.fit()
    const observer = new ResizeObserver(() => fit.fit())
    observer.observe(place.current!)
    return () => {
      observer.disconnect()
      terminal.dispose()
      drop()
    }
  }, [])
  useEffect(() => {
    const terminal = shown.current
    if (machine === null || terminal === null) return undefined
    const detach = machine.attachTerminal(terminal)
    terminal.focus()
    return () => {
      detach()
      terminal.reset()
    }
  }, [machine])
  return (
    <section class="serial" aria-label="Serial port of the machine">
      <div ref={place} />
    </section>
  )
}
