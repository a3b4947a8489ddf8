import { GuestError } from './errors.ts'
import { type Answer, BLOCK_BYTES, escapeArgument, MOST_PUT_BYTES, quote, RAW_BLOCK_BYTES } from './lines.ts'
import { Output } from './output.ts'
import { type AnswerLimit, closed, type Session } from './session.ts'

/** Options of {@link Guest.exec}. */
export interface ExecOptions {
  /** The standard input; default empty. */
  readonly stdin?: Uint8Array | string
  /** Ends the command after this many milliseconds of the host; default never. */
  readonly timeoutMs?: number
  /** Ends the command when it is aborted; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Bytes that both outputs may have together; default that of the connection. */
  readonly maxOutputBytes?: number
  /** Gets parts of the standard output as they arrive. */
  readonly onStdout?: (bytes: Uint8Array) => void
  /** Gets parts of the standard error output as they arrive. */
  readonly onStderr?: (bytes: Uint8Array) => void
}

/** The exit code of a command, and its output. */
export interface ExecResult {
  /** The shell's `$?`: 127 for an unknown command, 128 plus the signal's number after a signal. */
  readonly exitCode: number
  /** The signal that `exitCode` stands for, such as `SIGKILL`; null for other codes. */
  readonly signal: string | null
  /** The standard output as text, read as UTF-8. */
  readonly stdout: string
  /** The standard error output as text, read as UTF-8. */
  readonly stderr: string
  /** The bytes of the standard output. */
  readonly stdoutBytes: Uint8Array
  /** The bytes of the standard error output. */
  readonly stderrBytes: Uint8Array
}

/** First delay before the agent is polled, which doubles up to the maximum. The agent reports a command's end by itself. */
const [FIRST_POLL_MS, MOST_POLL_MS] = [200, 1000]
/** Time for a command to end after SIGTERM; then it is killed. */
const GRACE_MS = 1000
/** The agent has this long for each answer when a command is to end. */
const PATIENCE_MS = 5000
/** The time for which a command's children may hold its outputs open. */
const DRAIN_MS = 500
/** A longer command goes to a file first: the agent's shell reads its requests byte by byte. */
const MOST_INLINE_CHARACTERS = 1000

/** Linux on x86, Arm and most others, from 1. Source: signal(7). */
const SIGNALS =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  )

/** Thrown where a command ends early; the reason is kept with the command. */
const STOPPED = Symbol('stopped')

/** The agent's report of a command. */
interface State {
  readonly kind: 'running' | 'exited' | 'end'
  /** `$?` of its shell. */
  readonly exitCode: number
  /** Numbers of the outputs with bytes, as digits, fetched or not. */
  readonly printed: string
}

/** @throws GuestError `ERR_GUEST_PROTOCOL` */
function stateOf(words: readonly string[]): State {
  const [, running, exitCode = '0', printed = ''] =
    /^(?:(running|exited)|end (\d{1,3})) (0|12?|2)$/.exec(words.join(' ')) ?? []
  if (printed === '' || Number(exitCode) > 255)
    throw new GuestError('ERR_GUEST_PROTOCOL', `the agent says '${quote(words)}' of a command`)
  return { kind: (running ?? 'end') as State['kind'], exitCode: Number(exitCode), printed }
}

/** One command in a guest, from start to end. */
export class Command {
  readonly #session: Session
  /** The name of the session at its start. */
  readonly #sessionName: string
  /** The agent's slot for the command. */
  readonly #place: number
  readonly #limit: AnswerLimit = { milliseconds: Infinity }
  readonly #options: ExecOptions
  readonly #maxBytes: number
  readonly #outputs: readonly [Output, Output]
  /** Why the command is to end early. */
  #stop: { readonly reason: () => unknown; readonly signal: 'TERM' | 'KILL' } | undefined
  /** The agent's last unasked report. */
  #note: readonly string[] | undefined
  #wake: () => void = () => {}
  #deadlineMs = Infinity

  /** @param place - the agent's slot, exclusive to this command */
  constructor(session: Session, place: number, options: ExecOptions, maxBytes: number) {
    this.#session = session
    this.#sessionName = session.name
    this.#place = place
    this.#options = options
    this.#maxBytes = maxBytes
    this.#outputs = [new Output(options.onStdout), new Output(options.onStderr)]
  }

  /**
   * Runs the command.
   *
   * @throws GuestError, or the reason of the options' signal
   */
  async run(text: string): Promise<ExecResult> {
    const { timeoutMs, signal } = this.#options
    const aborted = (): void => this.#end(() => signal?.reason as unknown, 'TERM')
    if (timeoutMs !== undefined) this.#deadlineMs = performance.now() + timeoutMs
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#timedOut(), timeoutMs)
    const unlisten = this.#session.listen(this.#place, {
      closed: () => this.#wake(),
      noted: (words) => {
        if (words[0] !== 'end' || this.#session.name !== this.#sessionName) return
        this.#note = words
        this.#wake()
      },
    })
    signal?.addEventListener('abort', aborted)
    try {
      await this.#start(text)
      return await this.#untilEnd()
    } catch (error) {
      if (this.#stop === undefined || this.#session.isClosed) throw error
      // An agent that does not answer has ended nothing: the next call begins a new session, which does.
      if (error !== STOPPED && this.#session.name === this.#sessionName) this.#session.lose()
      throw this.#stop.reason()
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      unlisten()
    }
  }

  #timedOut(): void {
    const message = `the command ran for longer than ${this.#options.timeoutMs} ms`
    this.#end(() => this.#error('ERR_GUEST_TIMEOUT', message), 'TERM')
  }

  #error(code: 'ERR_GUEST_TIMEOUT' | 'ERR_GUEST_OUTPUT', message: string): GuestError {
    const [stdout, stderr] = this.#outputs
    return new GuestError(code, message, { stdout: stdout.bytes, stderr: stderr.bytes })
  }

  /** Ends the command; the first reason counts. */
  #end(reason: () => unknown, signal: 'TERM' | 'KILL'): void {
    this.#stop ??= { reason, signal }
    this.#session.hurry(this.#limit, PATIENCE_MS)
    this.#wake()
  }

  async #start(text: string): Promise<void> {
    const { stdin } = this.#options
    if (stdin !== undefined) await this.#put('in', typeof stdin === 'string' ? new TextEncoder().encode(stdin) : stdin)
    // An argument is at least one character, and not the word for a command in a file.
    const inline = escapeArgument(new TextEncoder().encode(text === '' || text === 'staged' ? `${text}\n` : text))
    const isStaged = inline.length > MOST_INLINE_CHARACTERS
    if (isStaged) await this.#put('script', new TextEncoder().encode(text))
    if (this.#stop !== undefined) throw STOPPED
    // One block more than is allowed, so that excess output can be detected.
    const blocks = Math.floor(this.#maxBytes / BLOCK_BYTES) + 1
    const input = stdin === undefined ? 'none' : 'staged'
    await this.#ask('exec', String(blocks), input, isStaged ? 'staged' : inline)
  }

  async #put(file: string, bytes: Uint8Array): Promise<void> {
    const most = file === 'in' ? this.#session.loadBlocks * RAW_BLOCK_BYTES : 0
    for (let at = 0; at === 0 || at < bytes.length;) {
      if (this.#stop !== undefined) throw STOPPED
      const left = bytes.length - at
      const raw = Math.min(most, left - (left % RAW_BLOCK_BYTES))
      const part = bytes.subarray(at, at + (raw || MOST_PUT_BYTES))
      const put = ['put', file, at === 0 ? 'begin' : 'go-on']
      const load = ['load', String(at / RAW_BLOCK_BYTES), String(raw / RAW_BLOCK_BYTES)]
      const { words } = await this.#request(raw > 0 ? load : put, part)
      if (words[0] !== 'ok')
        throw new GuestError('ERR_GUEST_FILE', `the guest has no room for ${bytes.length} bytes of input`)
      at += Math.max(1, part.length)
    }
  }

  /** Sends a request about the command's slot. */
  #request([operation = '', ...more]: readonly string[], payload?: Uint8Array): Promise<Answer> {
    const words = [operation, String(this.#place), ...more]
    return this.#session.request(this.#sessionName, words, payload, this.#limit)
  }

  async #ask(...words: readonly string[]): Promise<void> {
    const { words: answer } = await this.#request(words)
    if (answer[0] !== 'ok' || answer.length !== 1)
      throw new GuestError('ERR_GUEST_PROTOCOL', `the agent answers '${quote(answer)}' to '${words[0]}': expected 'ok'`)
  }

  async #untilEnd(): Promise<ExecResult> {
    let pollMs = FIRST_POLL_MS
    let exitedMs: number | undefined
    for (;;) {
      await this.#sleep(pollMs, () => this.#note !== undefined || this.#stop !== undefined)
      if (this.#stop !== undefined) return this.#kill(this.#stop)
      const state = stateOf(this.#note ?? (await this.#request(['poll'])).words)
      pollMs = (await this.#fetch(state)) ? FIRST_POLL_MS : Math.min(2 * pollMs, MOST_POLL_MS)
      // A limit or a time limit may have been passed meanwhile.
      if (this.#stop !== undefined) continue
      if (state.kind === 'end') return this.#result(state.exitCode)
      if (state.kind === 'running') continue
      exitedMs ??= performance.now()
      if (performance.now() - exitedMs > DRAIN_MS) await this.#request(['kill', 'KILL'])
    }
  }

  /**
   * Fetches new output.
   *
   * @param isLast - whether the command was ended: output is fetched up to the limits, without errors for time
   * @returns whether new bytes were fetched
   */
  async #fetch({ kind, printed }: State, isLast = false): Promise<boolean> {
    const before = this.#total
    for (const [i, output] of this.#outputs.entries()) {
      const number = String(i + 1)
      let operation = 'fetch'
      for (let more = printed.includes(number); more;) {
        // Buffered responses would give timers no turn.
        if (performance.now() >= this.#deadlineMs) {
          if (isLast) return true
          this.#timedOut()
        }
        if (this.#stop !== undefined && !isLast) return true
        const isFull = output.take(await this.#request([operation, number, String(output.blockFor(operation))]))
        // Fetch the rest of a block.
        more = isFull || operation === 'take'
        // The report of the command's end must not interrupt the bytes being taken.
        const hasEnded = kind === 'end' || this.#note !== undefined
        operation = isFull && hasEnded && this.#session.loadBlocks > 0 ? 'take' : 'fetch'
        if (this.#total > this.#maxBytes) {
          const message = `the command has printed more than ${this.#maxBytes} bytes`
          this.#end(() => this.#error('ERR_GUEST_OUTPUT', message), 'KILL')
          if (isLast) return true
        }
      }
    }
    return this.#total > before
  }

  /** Total bytes of output received. */
  get #total(): number {
    return this.#outputs[0].length + this.#outputs[1].length
  }

  /** Ends the command and its children; then throws {@link STOPPED}. */
  async #kill({ signal }: { readonly signal: 'TERM' | 'KILL' }): Promise<never> {
    const begunMs = performance.now()
    this.#deadlineMs = begunMs + GRACE_MS + PATIENCE_MS
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(2 * pollMs, MOST_POLL_MS)) {
      const passedMs = performance.now() - begunMs
      if (performance.now() > this.#deadlineMs) {
        this.#session.lose()
        throw STOPPED
      }
      await this.#request(['kill', passedMs > GRACE_MS ? 'KILL' : signal])
      await this.#sleep(pollMs, () => this.#note !== undefined)
      const state = stateOf(this.#note ?? (await this.#request(['poll'])).words)
      if (state.kind !== 'end') continue
      // A command with too much output has already reached its limit.
      if (signal === 'TERM') await this.#fetch(state, true)
      throw STOPPED
    }
  }

  /** Waits until this much time has passed or `isAwake` returns true. @throws GuestError `ERR_GUEST_CLOSED` */
  async #sleep(milliseconds: number, isAwake: () => boolean): Promise<void> {
    if (!isAwake() && !this.#session.isClosed)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds)
        this.#wake = () => {
          if (!isAwake() && !this.#session.isClosed) return
          clearTimeout(timer)
          resolve()
        }
      })
    this.#wake = () => {}
    if (this.#session.isClosed) throw closed()
  }

  #result(exitCode: number): ExecResult {
    const [stdoutBytes, stderrBytes] = [this.#outputs[0].bytes, this.#outputs[1].bytes]
    const name = SIGNALS[exitCode - 128 - 1]
    return {
      exitCode,
      signal: name === undefined ? null : `SIG${name}`,
      stdout: new TextDecoder().decode(stdoutBytes),
      stderr: new TextDecoder().decode(stderrBytes),
      stdoutBytes,
      stderrBytes,
    }
  }
}
