import { constants } from 'node:os'
import type { CrashDetail } from '@retrap/machine'
import type { CreateMachine, Machine, MachineRunner } from '@retrap/linux-guest/machine/machine-contract'

/** Turns an instruction into text; kept apart so that the report does not depend on how. */
export type Disassemble = (instruction: NonNullable<CrashDetail['instruction']>) => string

/** Signals that end a session. */
export const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
export type EndingSignal = (typeof ENDING_SIGNALS)[number]

/** Time limit for the end of a run after the second signal, in milliseconds. */
const LAST_MS = 1000
const listeners = new Set<(signal: EndingSignal) => void>()
let signals = 0

function hear(signal: EndingSignal): void {
  signals++
  if (signals === 2) endSoon(signal)
  for (const listener of listeners) listener(signal)
}

/** See `SessionHost.onSignal`. The second signal ends the process within 2 seconds, whatever the run waits for. */
export const onSignal: SessionHost['onSignal'] = (listener) => {
  if (listeners.size === 0) for (const signal of ENDING_SIGNALS) process.on(signal, hear)
  listeners.add(listener)
  return () => {
    if (listeners.delete(listener) && listeners.size === 0)
      for (const signal of ENDING_SIGNALS) process.off(signal, hear)
  }
}

/** Ends the process in a moment, unless it ends by itself. Node puts the terminal back, and device programs are ended. */
export function endSoon(signal: EndingSignal): void {
  const end = (): never => {
    process.stderr.write(`retrap: a second ${signal} has ended the process, before the run was at its end\n`)
    process.exit(128 + constants.signals[signal])
  }
  setTimeout(end, LAST_MS).unref()
}

/** Debugs the machines of a session: gdb does, or an editor. */
export interface SessionDebugger {
  /** Called once, before the first machine. @param say - gets instructions for attaching @param kill - ends the session */
  open(say: SessionOutput, kill: () => void): Promise<void>
  /** Attaches to a machine that has not run yet. @throws CliError `ERR_USAGE` for a machine without a debugger */
  adopt(machine: Machine, runner: MachineRunner): Promise<void>
  /** The machine is reset in place: objects found in its memory no longer exist. */
  restarted?(): void
  /** The session is over. */
  close(): Promise<void>
}

/** The process's interface for a session, which tests can replace. */
export interface SessionHost {
  /** Debugs the machine in gdb's place. */
  readonly debugger?: SessionDebugger
  readonly createMachine: CreateMachine
  readonly disassemble: Disassemble
  readonly stdin: SessionInput
  readonly stdout: SessionOutput
  readonly stderr: SessionOutput
  /** Calls back when the process is asked to end; returns how to stop listening. */
  onSignal(listener: (signal: EndingSignal) => void): () => void
  /** Calls back with uncaught errors; returns a function that stops listening. */
  onUncaught(listener: (thrown: unknown) => void): () => void
  /** Calls back while the thread's event loop is blocked, with the duration so far; returns a function that stops listening. */
  onStuck(listener: (ms: number, exit: (code: number) => void) => void): () => void
  /** Runs a command line in a separate process. @returns the exit code, 0 once its machine exists */
  daemonize?(args: readonly string[], stderr: SessionOutput): Promise<number>
  /** Called when the run's first machine exists. */
  begun?(): void
  /** Ends the process as soon as its exit code is known, although output waits for its reader, or a device model is late. */
  abandon(): void
}

/** Source of typed input. */
export interface SessionInput {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
  on(event: 'data', listener: (bytes: Uint8Array) => void): unknown
  on(event: 'end', listener: () => void): unknown
  removeAllListeners(): unknown
  resume(): unknown
  pause(): unknown
  unref?(): unknown
}

/** Receiver of messages and a guest's output. */
export interface SessionOutput {
  readonly isTTY?: boolean
  /** Bytes that were written and that the reader has not taken. */
  readonly writableLength?: number
  /** Size of a terminal, in characters and rows. */
  readonly columns?: number
  readonly rows?: number
  write(data: Uint8Array | string): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  /** Reports a terminal's new size. */
  on(event: 'resize', listener: () => void): unknown
  off?(event: 'resize', listener: () => void): unknown
}
