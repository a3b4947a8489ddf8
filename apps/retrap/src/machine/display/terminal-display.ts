import { Keyboard, type KeyboardLayoutName, type Screen, TerminalKeyboard, TerminalPicture } from '@retrap/display'
import type { TerminalSize } from '@retrap/display'
import type { SessionOutput } from '../session/session-host.ts'

const ESCAPE = '\u001b['
const USUAL: TerminalSize = { columns: 80, rows: 25 }
/** Columns or rows of a picture. The rest of a larger terminal stays empty. */
const MOST_CHARACTERS = 1000

/** The terminal as a session's screen and keyboard. */
export class TerminalDisplay {
  /** The guest's keyboard, which the terminal's keys are pressed on. */
  readonly keyboard: Keyboard
  readonly #keys: TerminalKeyboard
  readonly #screen: Screen
  readonly #output: SessionOutput
  #picture: TerminalPicture | undefined
  /** Whether the terminal shows a text in place of the picture, until a key is pressed. */
  #covered = false
  #close: (() => void) | undefined

  constructor(screen: Screen, output: SessionOutput, layout: KeyboardLayoutName | undefined) {
    this.#screen = screen
    this.#output = output
    this.keyboard = new Keyboard(layout === undefined ? {} : { layout })
    this.#keys = new TerminalKeyboard(this.keyboard)
  }

  /** Begins to show the picture. */
  open(): void {
    const output = this.#output
    const resized = (): void => this.#drawAnew()
    this.#begin()
    const unwatch = this.#screen.watch(() => this.#draw())
    output.on('resize', resized)
    this.#close = () => {
      unwatch()
      output.off?.('resize', resized)
    }
  }

  /**
   * Passes on typed bytes.
   *
   * @returns false if so many keys wait that no more should be sent until `onDrained`
   */
  typed(bytes: Uint8Array, onDrained: () => void): boolean {
    if (this.#covered) {
      this.#covered = false
      this.#drawAnew()
      return true
    }
    const room = this.#keys.receive(bytes)
    if (!room) void this.#keys.drained().then(onDrained)
    return room
  }

  /** Presses the keys that restart a PC. */
  restart(): void {
    void this.keyboard.press('ControlLeft', 'AltLeft', 'Delete')
  }

  /** Shows a text in place of the picture until a key is pressed. */
  cover(text: string): void {
    this.ask('')
    this.#output.write(`${text}\r\nAny key goes back to the machine.\r\n${ESCAPE}?25h`)
  }

  /** Shows a question instead of the picture, followed by the typed answer. */
  ask(text: string): void {
    this.#covered = true
    this.#clear()
    this.#output.write(`${text}${ESCAPE}?25h`)
  }

  #clear(): void {
    this.#output.write(`${ESCAPE}0m${ESCAPE}2J${ESCAPE}H`)
  }

  #begin(): void {
    this.#clear()
    this.#picture = new TerminalPicture(this.#screen, sizeOf(this.#output))
  }

  #drawAnew(): void {
    if (this.#covered) return
    this.#begin()
    this.#draw()
  }

  #draw(): void {
    const text = this.#covered ? '' : (this.#picture?.update() ?? '')
    if (text !== '') this.#output.write(text)
  }

  /** Looks at the screen no more, and gives the terminal back, with the last picture above the cursor. */
  close(): void {
    this.#keys.stop()
    if (this.#close === undefined) return
    this.#close()
    this.#close = undefined
    const { rows } = sizeOf(this.#output)
    this.#output.write(`${ESCAPE}${rows};1H${ESCAPE}0m${ESCAPE}?25h\r\n`)
  }
}

/** Returns the size of the output's terminal; zeros if it is not one. */
function sizeOf({ columns = 0, rows = 0 }: SessionOutput): TerminalSize {
  if (columns < 1 || rows < 1) return USUAL
  return { columns: Math.min(columns, MOST_CHARACTERS), rows: Math.min(rows, MOST_CHARACTERS) }
}
