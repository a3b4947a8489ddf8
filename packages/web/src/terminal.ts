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
 * @param printed - hears how many bytes the terminal has printed, so that the guest does not run away from it
 * @returns ends it
 */
export function attachTerminal(
  machine: SerialMachine,
  terminal: TerminalLike,
  printed: (bytes: number) => void,
): () => void {
  // A terminal that goes prints no more: the guest does not wait for it.
  let waiting = 0
  const done = (bytes: number): void => {
    waiting -= bytes
    printed(bytes)
  }
  let isAttached = true
  const stop = machine.on('serial', (bytes) => {
    waiting += bytes.length
    terminal.write(bytes, () => {
      if (isAttached) done(bytes.length)
    })
  })
  const typing = terminal.onData((text) => machine.write(text))
  return () => {
    stop()
    typing.dispose()
    isAttached = false
    if (waiting > 0) done(waiting)
  }
}
