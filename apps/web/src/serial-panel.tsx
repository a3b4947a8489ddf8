import type { Machine } from '@retrap/web'
import { Terminal } from '@xterm/xterm'
import '@xterm/xterm/css/xterm.css'
import { useEffect, useRef } from 'preact/hooks'
import { timePrompt } from './start-time.ts'
import { withStyleSheets } from './style-sheets.ts'

/** The size that guests assume of a serial terminal, which tells them none. */
const SIZE = { cols: 80, rows: 24 } as const
/** CSS pixels of letters: as large as 80 columns fit; below the least the terminal is scrolled sideways. */
const [LEAST, MOST] = [9, 18]
/** The largest part of the window's height that the rows take, so that controls below them stay visible. */
const MOST_HEIGHT = 0.6
/** Of the terminal's own scroll bar, and a little air. */
const BESIDE_PIXELS = 18

/** Makes letters as large as the columns fit. */
function fit(terminal: Terminal, place: HTMLElement): void {
  const screen = terminal.element?.querySelector('.xterm-screen')
  if (screen === null || screen === undefined || screen.clientWidth === 0) return
  const room = { width: place.clientWidth - BESIDE_PIXELS, height: innerHeight * MOST_HEIGHT }
  const ratio = (): number => Math.min(room.width / screen.clientWidth, room.height / screen.clientHeight)
  const set = (size: number): number => (terminal.options.fontSize = Math.min(Math.max(size, LEAST), MOST))
  let size = set(Math.floor(2 * (terminal.options.fontSize ?? LEAST) * ratio()) / 2)
  // Widths of letters are rounded.
  while (ratio() < 1 && size > LEAST) size = set(size - 0.5)
}

/** Whether the guest waits behind a prompt. */
function isAtPrompt({ buffer: { active } }: Terminal): boolean {
  const line = active.getLine(active.baseY + active.cursorY)?.translateToString() ?? ''
  return /[#$>] *$/.test(line)
}

/** The machine's serial port, in a terminal, which is there before the machine is. */
export function SerialPanel({ machine, prompted }: { machine: Machine | null; prompted: () => void }) {
  const place = useRef<HTMLDivElement>(null)
  const enter = useRef<HTMLButtonElement>(null)
  const shown = useRef<Terminal | null>(null)
  useEffect(() => {
    const terminal = new Terminal({
      ...SIZE,
      cursorBlink: false,
      fontSize: 14,
      // Underscores lie low.
      lineHeight: 1.15,
      scrollback: 10_000,
      theme: { background: '#101314', foreground: '#e3e6e4' },
    })
    shown.current = terminal
    const drop = withStyleSheets(() => terminal.open(place.current!))
    // All keys are the guest's, Tab too: Tab leads past the terminal, and the button beside it leads in.
    terminal.textarea!.tabIndex = -1
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.code !== 'KeyG' || !event.ctrlKey || !event.altKey) return true
      event.preventDefault()
      if (event.type === 'keydown') enter.current!.focus()
      return false
    })
    const element = place.current!
    let fitted = ''
    const refit = (): void => {
      const room = `${element.clientWidth} ${innerHeight}`
      // The observed element changes its height as well, which does not change the room.
      if (room === fitted) return
      fitted = room
      fit(terminal, element)
    }
    refit()
    const observer = new ResizeObserver(refit)
    observer.observe(element)
    addEventListener('resize', refit)
    return () => {
      removeEventListener('resize', refit)
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
    let isPrompted = false
    const prompt = (): void => {
      isPrompted = true
      timePrompt()
      prompted()
    }
    const stop = machine.on('serial', () => {
      if (!isPrompted) terminal.write('', () => !isPrompted && isAtPrompt(terminal) && prompt())
    })
    // The machine goes on from a snapshot at its prompt.
    if (machine.console !== null) prompt()
    return () => {
      stop()
      detach()
      terminal.reset()
    }
  }, [machine])
  return (
    <section aria-label="Serial port of the machine">
      <div class="serial">
        <div ref={place} />
      </div>
      <p class="way soft">
        <button ref={enter} class="plain" onClick={() => shown.current?.focus()}>
          Type in the terminal
        </button>
        <span>
          <kbd>Ctrl-Alt-G</kbd> leaves it
        </span>
      </p>
    </section>
  )
}
