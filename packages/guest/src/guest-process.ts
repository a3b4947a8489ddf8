import { GuestError } from './errors.ts'
import { MOST_PUT_BYTES } from './lines.ts'

/** How a process has ended. */
export interface GuestProcessEnd {
  /** The shell's `$?`: 127 for an unknown command, 128 plus the signal's number after a signal. */
  readonly exitCode: number
}

/** The part of the streams of a guest that a process needs. */
export interface ProcessOwner {
  /** Called when there is work for the process. */
  wake(): void
  /** Sends a signal to the command. */
  kill(process: StreamProcess, signal: string): Promise<void>
  /** Ends and forgets the command. */
  abandon(process: StreamProcess): void
}

/** A part of the input, and its writer. */
interface InputPart {
  readonly bytes: Uint8Array
  /** Called when the last part that was written together has been sent. */
  readonly written?: () => void
}

/** One output, from the agent's parts to the reader. */
class ProcessOutput implements AsyncIterable<Uint8Array> {
  /** Number of parts fetched from the agent. */
  fetched = 0
  /** Parts that the agent knows of as taken. */
  freed = 0
  /** The part that waits for its reader: further parts are fetched after it. */
  #part: Uint8Array | undefined
  #isOver = false
  #error: unknown
  #arrived: () => void = () => {}
  readonly #taken: () => void

  /** @param taken - the reader has taken a part */
  constructor(taken: () => void) {
    this.#taken = taken
  }

  /** Whether a part may be fetched. */
  get wantsPart(): boolean {
    return this.#part === undefined && !this.#isOver
  }

  /** Takes a part of the agent. */
  give(part: Uint8Array): void {
    this.fetched++
    this.#part = part
    this.#arrived()
  }

  /** Ends the output; with an error, waiting data is dropped. */
  finish(error?: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    if (error !== undefined) this.#part = undefined
    this.#arrived()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const part = this.#part
      if (part !== undefined) {
        this.#part = undefined
        this.#taken()
        yield part
        continue
      }
      if (this.#error !== undefined) throw this.#error
      if (this.#isOver) return
      await new Promise<void>((resolve) => (this.#arrived = resolve))
    }
  }
}

/**
 * A running command with streams. Output is fetched as it is read: the guest blocks on unread output, so read both streams.
 * Made by {@link Guest.spawn}.
 */
export interface GuestProcess {
  /** The standard output, for one reader. Throws a GuestError if the connection is lost. */
  readonly stdout: AsyncIterable<Uint8Array>
  /** The standard error output, for one reader. */
  readonly stderr: AsyncIterable<Uint8Array>
  /** Settles when the command has ended and all output was read. Rejects with a GuestError. */
  readonly ended: Promise<GuestProcessEnd>
  /**
   * Writes to the standard input. Resolves when the data is in the guest's buffer of 48,000 bytes; data for a command
   * that has ended or has closed its input is dropped.
   */
  write(data: Uint8Array | string): Promise<void>
  /** Ends the standard input after all data is written. */
  end(): void
  /** Sends a signal to the command and its children: `TERM` (default), `INT`, `KILL` and others. */
  kill(signal?: string): Promise<void>
  /** Ends the command at once, and drops unread output. */
  abort(): void
}

/** A process as the streams of a guest serve it. */
export class StreamProcess implements GuestProcess {
  readonly stdout: AsyncIterable<Uint8Array>
  readonly stderr: AsyncIterable<Uint8Array>
  readonly ended: Promise<GuestProcessEnd>
  readonly outputs: readonly [ProcessOutput, ProcessOutput]
  /** Parts of the input that wait. */
  readonly input: InputPart[] = []
  /** Number of parts sent. */
  sent = 0
  /** Parts that the command was given. */
  given = 0
  /** Whether the input ends after the waiting data. */
  isEnding = false
  /** Whether the agent was notified of the input's end. */
  isEndSent = false
  #isOver = false
  readonly #owner: ProcessOwner
  readonly #settle: { resolve(end: GuestProcessEnd): void; reject(error: unknown): void }

  constructor(owner: ProcessOwner) {
    this.#owner = owner
    const wake = (): void => owner.wake()
    this.outputs = [new ProcessOutput(wake), new ProcessOutput(wake)]
    ;[this.stdout, this.stderr] = this.outputs
    const { promise, resolve, reject } = Promise.withResolvers<GuestProcessEnd>()
    this.ended = promise
    this.#settle = { resolve, reject }
    // A caller that only reads has the error from its output.
    promise.catch(() => {})
  }

  write(data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
    if (this.#isOver || this.isEnding || bytes.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      for (let at = 0; at < bytes.length; at += MOST_PUT_BYTES) {
        const isLast = at + MOST_PUT_BYTES >= bytes.length
        this.input.push({ bytes: bytes.subarray(at, at + MOST_PUT_BYTES), ...(isLast && { written: resolve }) })
      }
      this.#owner.wake()
    })
  }

  end(): void {
    this.isEnding = true
    this.#owner.wake()
  }

  kill(signal = 'TERM'): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    if (!/^[A-Z]{2,8}$/.test(signal))
      return Promise.reject(new GuestError('ERR_GUEST_OPTION', `signal '${signal}': expected a name such as TERM`))
    return this.#owner.kill(this, signal)
  }

  abort(): void {
    if (this.#isOver) return
    this.#owner.abandon(this)
    this.fail(new GuestError('ERR_GUEST_CLOSED', 'the command was aborted'))
  }

  /** Drops waiting input: the command takes no more. */
  dropInput(): void {
    for (const { written } of this.input.splice(0)) written?.()
    this.isEnding = this.isEndSent = true
  }

  /** Ends the stream: all output has been received. */
  finish(exitCode: number): void {
    this.#isOver = true
    this.dropInput()
    for (const output of this.outputs) output.finish()
    this.#settle.resolve({ exitCode })
  }

  /** Ends the process's streams with an error: the connection is closed. */
  fail(error: unknown): void {
    this.#isOver = true
    this.dropInput()
    for (const output of this.outputs) output.finish(error)
    this.#settle.reject(error)
  }
}
