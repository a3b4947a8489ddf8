/** Commands of a sandbox, as they run. */
import { constants } from 'node:os'
import { resolve } from 'node:path/posix'
import type { ProgramPlace } from '@retrap/linux-guest/jobs/program'
import type { Frame } from './agent/frames.ts'
import { Answer, MOST_INPUT, MOST_REQUEST, MOST_RUNS, Request, RUN_INPUT, Stage } from './agent/protocol.ts'
import { type AgentLink, errnoName, numberOf } from './agent-link.ts'
import { SandboxError } from './errors.ts'

/** Options of all commands. */
export interface CommandOptions {
  /** Further variables, or other values for the sandbox's. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The working directory; a relative path begins at the sandbox's. */
  readonly cwd?: string | undefined
}

/** The end of a command. */
export interface CommandEnd {
  /** The exit code, or 128 plus the number of the signal that has ended the command. */
  readonly code: number
  /** The signal that has ended the command, such as `SIGKILL`. */
  readonly signal?: SandboxSignal
}

/** The name of a signal, such as `SIGKILL`. */
export type SandboxSignal = `SIG${string}`

/** Receives output of a command: descriptor 1 or 2, and bytes. */
export type HearOutput = (stream: 1 | 2, bytes: Uint8Array) => void

const SIGNALS: ReadonlyMap<number, SandboxSignal> = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as SandboxSignal]),
)
/** Most bytes of arguments and environment. */
const MOST_WORDS = MOST_REQUEST - 4096
/** The number of commands that run by each agent, and callers that wait for a free place. */
const places = new WeakMap<AgentLink, { taken: number; readonly waiting: (() => void)[] }>()

/** A running command. @internal */
export class Command {
  readonly #link: AgentLink
  readonly #id: number
  /** Settles at the command's end. @throws SandboxError */
  readonly ended: Promise<CommandEnd>
  /** The number of the command's process. @throws SandboxError `ERR_SANDBOX_COMMAND` */
  readonly started: Promise<number>
  #taken: (() => void) | undefined
  #isOver = false
  /** Whether the program still reads its input. */
  #isRead = true

  private constructor(
    link: AgentLink,
    words: readonly string[],
    request: Uint8Array,
    hear: HearOutput,
    free: () => void,
  ) {
    this.#link = link
    const ended = Promise.withResolvers<CommandEnd>()
    const started = Promise.withResolvers<number>()
    // A caller may wait for only one of the two.
    started.promise.catch(() => undefined)
    ended.promise.catch(() => undefined)
    this.ended = ended.promise
    this.started = started.promise
    const over = (error?: SandboxError, end?: CommandEnd): void => {
      this.#isOver = true
      this.#taken?.()
      free()
      if (end !== undefined) ended.resolve(end)
      else {
        started.reject(error)
        ended.reject(error)
      }
    }
    const heard = ({ type, payload }: Frame): void => {
      if (type === Answer.Output) hear(1, payload)
      else if (type === Answer.ErrorOutput) hear(2, payload)
      else if (type === Answer.Started) started.resolve(numberOf(payload))
      else if (type === Answer.Taken) {
        this.#isRead = payload.length === 0
        this.#taken?.()
      } else {
        link.close(this.#id)
        if (type === Answer.Exit) over(undefined, endOf(numberOf(payload)))
        else over(whyFailed(words, numberOf(payload), numberOf(payload, 1)))
      }
    }
    try {
      this.#id = link.open(Request.Run, { hear: heard, failed: over }, request)
    } catch (error) {
      free()
      throw error
    }
  }

  /**
   * Starts a command. With 32 that run, it waits until one has ended.
   *
   * @param words - a program and its arguments
   * @throws SandboxError `ERR_SANDBOX_OPTION`, `ERR_SANDBOX_CLOSED`, `ERR_SANDBOX_ENDED`
   */
  static async start(
    link: AgentLink,
    words: readonly string[],
    hasInput: boolean,
    place: ProgramPlace,
    options: CommandOptions,
    hear: HearOutput,
  ): Promise<Command> {
    const request = runRequest(words, hasInput, place, options)
    const room = places.get(link) ?? { taken: 0, waiting: [] }
    places.set(link, room)
    while (room.taken >= MOST_RUNS) await new Promise<void>((resume) => room.waiting.push(resume))
    room.taken++
    return new Command(link, words, request, hear, () => {
      room.taken--
      room.waiting.shift()?.()
    })
  }

  /** Writes to the command's input. @returns settles when the guest has taken all bytes */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#isOver; at += MOST_INPUT) {
      if (!this.#isRead) break
      const taken = new Promise<void>((resolve) => (this.#taken = resolve))
      this.#link.send(Request.Input, this.#id, bytes.subarray(at, at + MOST_INPUT))
      await taken
    }
    this.#taken = undefined
  }

  /** Closes the command's input. */
  end(): void {
    if (!this.#isOver) this.#link.send(Request.InputEnd, this.#id)
  }

  /** Sends a signal to the command's process group. */
  kill(signal: SandboxSignal): void {
    const number = constants.signals[signal as NodeJS.Signals]
    if (number === undefined) throw new SandboxError('ERR_SANDBOX_OPTION', `${signal} is no signal`)
    if (!this.#isOver) this.#link.send(Request.Kill, this.#id, number)
  }
}

/** Source: wait(2), `WIFEXITED` and others. */
function endOf(status: number): CommandEnd {
  const number = status & 0x7f
  if (number === 0) return { code: (status >>> 8) & 0xff }
  const signal = SIGNALS.get(number)
  return { code: 128 + number, ...(signal && { signal }) }
}

function whyFailed([name = '']: readonly string[], number: number, stage: number): SandboxError {
  const errno = errnoName(number)
  const what = stage === Stage.Folder ? 'its folder cannot be entered' : 'it cannot be started'
  return new SandboxError('ERR_SANDBOX_COMMAND', `${name}: ${what}: ${errno}`, { errno })
}

/** The payload of a request to run a command. */
function runRequest(
  words: readonly string[],
  hasInput: boolean,
  { env: own, uid, gid, workingDirectory }: ProgramPlace,
  { env: others = {}, cwd = '' }: CommandOptions,
): Uint8Array {
  const [name = ''] = words
  const names = new Set(Object.keys(others))
  const env = [
    ...own.filter((one) => !names.has(one.slice(0, one.indexOf('=')))),
    ...Object.entries(others).map(([key, value]) => `${key}=${value}`),
  ]
  const folder = resolve(workingDirectory, cwd)
  const path = env.find((one) => one.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  // The agent enters the folder first.
  const candidates = name.includes('/') ? [name] : path.split(':').map((one) => `${one || '.'}/${name}`)
  const texts = [folder, ...candidates, ...words, ...env]
  if (name === '' || texts.some((text) => text.includes('\0')))
    throw new SandboxError('ERR_SANDBOX_OPTION', 'a command: expected a program, and no character of code 0')
  const bytes = Buffer.from(texts.map((text) => `${text}\0`).join(''))
  if (bytes.length > MOST_WORDS)
    throw new SandboxError(
      'ERR_SANDBOX_OPTION',
      `${name}: its words and variables have over ${MOST_WORDS} bytes: write a file`,
    )
  const numbers = Uint32Array.of(uid, gid, hasInput ? RUN_INPUT : 0, candidates.length, words.length, env.length)
  return Buffer.concat([new Uint8Array(numbers.buffer), bytes])
}
