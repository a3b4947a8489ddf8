import type { Machine } from '@retrap/web'
import { Terminal } from '@xterm/xterm'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { timePrompt } from './files.ts'
import '@xterm/xterm/css/xterm.css'

/** Letters in parts of the page's own. */
const FONT_REM = 0.875
/** Pixels for the terminal's own scroll bar, and a little air. */
const BESIDE_PIXELS = 18

/** Gives the terminal as many columns and rows as its place has room for. */
function fit(terminal: Terminal, place: HTMLElement): void {
  const screen = terminal.element?.querySelector('.xterm-screen')
  if (screen === null || screen === undefined || screen.clientWidth === 0) return
  const cols = Math.floor(((place.clientWidth - BESIDE_PIXELS) * terminal.cols) / screen.clientWidth)
  const rows = Math.floor((place.clientHeight * terminal.rows) / screen.clientHeight)
  if (cols > 1 && rows > 0) terminal.resize(cols, rows)
}

/** Whether the guest waits behind a prompt. */
function isAtPrompt({ buffer: { active } }: Terminal): boolean {
  const line = active.getLine(active.baseY + active.cursorY)?.translateToString() ?? ''
  return /[#$>] *$/.test(line)
}

interface SerialPanelProps {
  readonly machine: Machine | null
  /** Whether a recording is looked at: nobody takes keys. */
  readonly isReadOnly: boolean
  readonly prompted: () => void
  /** Shown in the line below the terminal, in place of its buttons: no line of the terminal is covered. */
  readonly over: (terminal: Terminal | null) => ComponentChildren
}

/** The machine's serial port, in a terminal, which exists before the machine. */
export function SerialPanel({ machine, isReadOnly, prompted, over }: SerialPanelProps) {
  const place = useRef<HTMLDivElement>(null)
  const way = useRef<HTMLDivElement>(null)
  const shown = useRef<Terminal | null>(null)
  const [made, setMade] = useState<Terminal | null>(null)
  const [{ rows, cols }, setSize] = useState({ rows: 24, cols: 80 })
  useEffect(() => {
    const terminal = new Terminal({
      cursorBlink: false,
      fontSize: FONT_REM * Number.parseFloat(getComputedStyle(document.documentElement).fontSize),
      // Underscores lie low.
      lineHeight: 1.15,
      scrollback: 10_000,
      theme: { background: '#101314', foreground: '#e3e6e4' },
    })
    shown.current = terminal
    setMade(terminal)
    const drop = withStyleSheets(() => terminal.open(place.current!))
    // All keys go to the guest, Tab too: Tab leads past the terminal, and the button beside it leads in.
    terminal.textarea!.tabIndex = -1
    terminal.attachCustomKeyEventHandler((event) => {
      if (event.code !== 'KeyG' || !event.ctrlKey || !event.altKey) return true
      event.preventDefault()
      if (event.type === 'keydown') way.current!.querySelector<HTMLElement>('.past button, :scope > button')!.focus()
      return false
    })
    const element = place.current!
    const observer = new ResizeObserver(() => {
      fit(terminal, element)
      setSize({ rows: terminal.rows, cols: terminal.cols })
    })
    observer.observe(element)
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
    if (!isReadOnly) terminal.focus()
    let isPrompted = false
    const prompt = (): void => {
      isPrompted = true
      timePrompt()
      prompted()
    }
    const stop = machine.on('serial', () => {
      if (!isPrompted) terminal.write('', () => !isPrompted && isAtPrompt(terminal) && prompt())
    })
    // A machine resumed from a snapshot is at its prompt already.
    if (machine.console !== null) prompt()
    return () => {
      stop()
      detach()
      terminal.reset()
    }
  }, [machine])
  useEffect(() => void (made !== null && (made.options.disableStdin = isReadOnly)), [made, isReadOnly])
  return (
    <section class="port" aria-label="Serial port of the machine">
      <div class="serial">
        <div ref={place} />
      </div>
      <div class="way soft" ref={way}>
        {over(made)}
        {isReadOnly ? (
          <small>As it was recorded: nobody takes keys.</small>
        ) : (
          <>
            <button class="plain" onClick={() => shown.current?.focus()}>
              Type in the terminal
            </button>
            <span>
              <kbd>Ctrl-Alt-G</kbd> leaves it
            </span>
            <button
              class="plain"
              disabled={machine === null}
              title="Types a command at the guest's prompt: a serial port tells no size"
              onClick={() => {
                machine!.write(`stty rows ${rows} cols ${cols}\r`)
                shown.current?.focus()
              }}
            >
              Tell the guest its size: {cols}×{rows}
            </button>
          </>
        )}
      </div>
    </section>
  )
}

// The policy allows an element's properties, and not their text: xterm.js sets that where letters are selected, or in colours.
HTMLSpanElement.prototype.setAttribute = function (name, value) {
  if (name === 'style') this.style.cssText = value
  else HTMLElement.prototype.setAttribute.call(this, name, value)
}

/**
 * Runs an action that makes style elements, without them: styles written into them, then or later, go into style sheets that
 * the document adopts. The page's policy allows no style elements, and xterm.js makes some.
 *
 * @returns drops the sheets
 */
function withStyleSheets(action: () => void): () => void {
  const own = new Set<CSSStyleSheet>()
  const forget = (sheet: CSSStyleSheet): void => {
    own.delete(sheet)
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet)
  }
  const stand = (): HTMLElement => {
    const sheet = new CSSStyleSheet()
    own.add(sheet)
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet]
    // The element is in the page in the style element's place, and is never seen.
    const element = document.createElement('template')
    Object.defineProperty(element, 'textContent', {
      set(text: string) {
        sheet.replaceSync(text)
      },
    })
    element.remove = () => {
      forget(sheet)
      HTMLElement.prototype.remove.call(element)
    }
    return element
  }
  const create = document.createElement.bind(document)
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === 'style' ? stand() : create(name, options)) as typeof document.createElement
  try {
    action()
  } finally {
    // The document's own method is its prototype's.
    Reflect.deleteProperty(document, 'createElement')
  }
  return () => [...own].forEach(forget)
}
