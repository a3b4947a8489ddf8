import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { constants } from 'node:os'
import type { Duplex, Readable } from 'node:stream'
import { isPromise } from '@retrap/device/host'

/** The descriptor of a program's end of the socket; its environment has it as `RETRAP_DEVICE_FD`. */
export const DEVICE_FD = 3
/** Time that a program has to end by itself when its socket has ended, before SIGTERM, and again before SIGKILL. */
const GRACE_MS = 500
/** Time for the last words of a program that has ended, and of its socket, where a process that it has left behind keeps them. */
const LAST_WORDS_MS = 200
const ON_WINDOWS = process.platform === 'win32'
/** The statuses of a shell that cannot start a program. */
const NOT_STARTED: Readonly<Record<number, string>> = {
  126: 'the shell may not execute it: is it a program, with its permission set?',
  127: 'the shell finds no such program: check its name and path',
}

/** Programs that this process has started and that have not ended. */
const running = new Set<ProgramGroup>()
/** Ends all groups with this process. If the process is killed, they see the end of their sockets. */
const endAll = (): void => running.forEach((group) => group.signal('SIGKILL'))

type TakeOutput = (bytes: Uint8Array, fd: 1 | 2) => void | Promise<void>

function read(from: Readable, take: (bytes: Uint8Array) => void | Promise<void>): void {
  // A pipe that breaks says no more than its end.
  from.on('error', () => {})
  from.on('close', () => void take(new Uint8Array(0)))
  from.on('data', (bytes: Uint8Array) => {
    const taken = take(bytes)
    // A caller in JavaScript may return any value.
    if (!isPromise(taken)) return
    from.pause()
    void Promise.resolve(taken).then(() => from.resume())
  })
}

/** The end of a program. */
export interface ProgramEnd {
  /** The end in words, behind a subject: "ended with status 1". */
  readonly how: string
  /** The signal that ended the program. */
  readonly signal: NodeJS.Signals | null
}

/** A program that a shell runs in a process group of its own, and all processes that it starts in the group. */
export class ProgramGroup {
  /** This process's end of the socket; null: the program cannot be started. */
  readonly socket: Duplex | null
  /** Settles when the program has ended. */
  readonly ended: Promise<ProgramEnd>
  readonly #child: ChildProcess
  #timer: NodeJS.Timeout | undefined

  /** @param onOutput - see `DeviceProgramOptions` */
  constructor(command: string, onOutput: TakeOutput) {
    const { promise, resolve } = Promise.withResolvers<ProgramEnd>()
    this.ended = promise
    const child = spawn(command, optionsOf())
    this.#child = child
    // There is no stdio where this process may open no more files.
    const [, stdout, stderr, socket] = (child.stdio as typeof child.stdio | undefined) ?? []
    this.socket = (socket as Duplex | undefined) ?? null
    if (stdout !== undefined) read(stdout as Readable, (bytes) => onOutput(bytes, 1))
    if (stderr !== undefined) read(stderr as Readable, (bytes) => onOutput(bytes, 2))
    child.once('error', ({ message }) => {
      this.#over()
      resolve({ how: `cannot be started: ${message}`, signal: null })
    })
    child.once('exit', (code, signal) => {
      this.#over()
      // A shell that waits for its program reports the signal by this status.
      const said = Object.entries(constants.signals).find(([, number]) => number + 128 === code)?.[0]
      const by = signal ?? (said as NodeJS.Signals | undefined) ?? null
      const why = NOT_STARTED[code ?? 0]
      const ended = by === null ? `ended with status ${code}` : `was ended by ${by}`
      const how = why === undefined ? ended : `cannot be started: ${why}`
      const timer = setTimeout(() => {
        for (const part of [stdout, stderr, socket]) part?.destroy()
      }, LAST_WORDS_MS)
      // All output of the program has been read.
      child.once('close', () => {
        clearTimeout(timer)
        resolve({ how, signal: by })
      })
    })
    if (child.pid === undefined) return
    if (running.size === 0) process.on('exit', endAll)
    running.add(this)
  }

  /** Sends all processes of the group a signal. */
  signal(name: NodeJS.Signals): void {
    const { pid } = this.#child
    try {
      if (ON_WINDOWS || pid === undefined) this.#child.kill(name)
      else process.kill(-pid, name)
    } catch {
      // No process of the group is left.
    }
  }

  /** Ends the program, whose socket has ended: first it may end by itself. */
  end(): void {
    if (!running.has(this) || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.signal('SIGTERM')
      this.#timer = setTimeout(() => this.signal('SIGKILL'), GRACE_MS)
    }, GRACE_MS)
  }

  /** The program has ended: the processes that it started end as well. */
  #over(): void {
    clearTimeout(this.#timer)
    if (!running.delete(this)) return
    if (running.size === 0) process.off('exit', endAll)
    if (!ON_WINDOWS) this.signal('SIGKILL')
  }
}

const optionsOf = (): SpawnOptions => ({
  shell: true,
  detached: !ON_WINDOWS,
  stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  env: { ...process.env, RETRAP_DEVICE_FD: String(DEVICE_FD) },
})
