import type { PrintingTerminal } from './printed-bytes.ts'

/** The part of a terminal of xterm.js that is used. */
export interface TerminalLike {
  /** Prints, and calls back when it has. */
  write(data: Uint8Array, done?: () => void): void
  /** Calls back with what is typed. */
  onData(listener: (text: string) => void): { dispose(): void }
}

/** An answer of the terminal itself: CPR, DA, DSR, DECRPM, or a control string. Source: ECMA-48, 8.3; DEC STD 070. */
// oxlint-disable-next-line no-control-regex -- ESC begins them
const REPORT = /^\u001b(?:\[[?>]?[\d;]*(?:[Rcn]|\$y)|[P\]])/

/** The part of a machine that a terminal uses. */
interface SerialMachine {
  on(event: 'serial' | 'console', listener: (bytes: Uint8Array) => void): () => void
  write(data: string): void
  /** The text that a machine which goes on from a snapshot had written before; null once it has written more. */
  readonly console: Uint8Array | null
}

/**
 * Connects a terminal to a machine's serial port.
 *
 * @param printing - hears how many bytes the terminal has printed
 * @returns ends it
 */
export function attachTerminal(machine: SerialMachine, terminal: TerminalLike, printing: PrintingTerminal): () => void {
  const stop = machine.on('serial', (bytes) => terminal.write(bytes, () => printing.printed(bytes.length)))
  // RIS of ECMA-48: what was printed before belongs to another time.
  const clear = Uint8Array.of(0x1b, 0x63)
  let showing = 0
  const show = (bytes: Uint8Array): void => {
    showing++
    terminal.write(clear)
    terminal.write(bytes, () => void showing--)
  }
  if (machine.console !== null) show(machine.console)
  const stopShowing = machine.on('console', show)
  // Questions of that time, such as for the cursor's place, have been answered then; keys are of now.
  const typing = terminal.onData((text) => (showing === 0 || !REPORT.test(text)) && machine.write(text))
  return () => {
    stop()
    stopShowing()
    typing.dispose()
    printing.close()
  }
}
