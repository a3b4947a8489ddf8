import type { PrintingTerminal } from './printed-bytes.ts'

/** The part of a terminal of xterm.js that is used. */
export interface TerminalLike {
  /** Prints, and calls back when it has. */
  write(data: Uint8Array, done?: () => void): void
  /** Calls back with what is typed. */
  onData(listener: (text: string) => void): { dispose(): void }
}

/** The part of a machine that a terminal uses. */
interface SerialMachine {
  on(event: 'serial', listener: (bytes: Uint8Array) => void): () => void
  write(data: string): void
}

/**
 * Connects a terminal to a machine's serial port.
 *
 * @param printing - hears how many bytes the terminal has printed
 * @returns ends it
 */
export function attachTerminal(machine: SerialMachine, terminal: TerminalLike, printing: PrintingTerminal): () => void {
  const stop = machine.on('serial', (bytes) => terminal.write(bytes, () => printing.printed(bytes.length)))
  const typing = terminal.onData((text) => machine.write(text))
  return () => {
    stop()
    typing.dispose()
    printing.close()
  }
}
