import { Command, type ExecOptions, type ExecResult } from './command.ts'
import { connectCommand, connectionOf, FIND_PROGRAM, type GuestConnection, textOf } from './connection.ts'
import { GuestError } from './errors.ts'
import { GuestFiles } from './files.ts'
import { type ForwardOptions, type GuestForward, listen } from './forward.ts'
import type { GuestProcess } from './guest-process.ts'
import { quote } from './lines.ts'
import type { GuestPort } from './stream.ts'
import { Session } from './session.ts'
import { GuestStreams } from './streams.ts'

/** Options of {@link connectGuest}. */
export interface GuestOptions {
  /** The agent has this many milliseconds to answer first, in which the guest may boot; default 60,000. */
  readonly connectTimeoutMs?: number
  /** The milliseconds that the agent has for each answer; default 30,000. */
  readonly answerTimeoutMs?: number
  /** Bytes that a command may print; default 16 MiB. */
  readonly maxOutputBytes?: number
  /** Numbers from 0 to below 1, for names of sessions; default `Math.random`. */
  readonly random?: () => number
}

const CONNECT_MS = 60_000
const ANSWER_MS = 30_000
const MOST_OUTPUT_BYTES = 16 << 20
/** The agent runs this many commands at a time. */
const PLACES = 8
const MOST_PORT = 0xffff
/** The longest time of a timer. */
const MOST_MS = 2 ** 31 - 1

/**
 * Connects to the agent of a guest: at first, again after the machine was restored, or to a clone of it. Commands of
 * connections before are ended.
 *
 * @param port - the stream to the agent
 * @throws GuestError `ERR_GUEST_TIMEOUT` where no agent answers, `ERR_GUEST_PROTOCOL`, `ERR_GUEST_OPTION`
 */
export async function connectGuest(port: GuestPort, options: GuestOptions = {}): Promise<Guest> {
  return Guest.connect(port, options)
}

/** A guest that runs commands, up to eight at a time. Made by {@link connectGuest}. */
export class Guest {
  /** The guest's files. */
  readonly files: GuestFiles
  readonly #session: Session
  readonly #maxBytes: number
  readonly #streams: GuestStreams
  /** The program that connects, found at the first connection. */
  #connects: Promise<string> | undefined
  /** The agent's free slots for commands. */
  readonly #free: number[] = Array.from({ length: PLACES }, (_, i) => PLACES - 1 - i)
  /** Calls that wait for a free slot. */
  readonly #waiting: ((place: number) => void)[] = []

  private constructor(session: Session, maxBytes: number) {
    this.#session = session
    this.#maxBytes = maxBytes
    this.#streams = new GuestStreams(session)
    this.files = new GuestFiles((command, options) => this.exec(command, options))
  }

  /** See {@link connectGuest}. */
  static async connect(port: GuestPort, options: GuestOptions): Promise<Guest> {
    const connectMs = checked('connectTimeoutMs', options.connectTimeoutMs ?? CONNECT_MS, MOST_MS)
    const answerMs = checked('answerTimeoutMs', options.answerTimeoutMs ?? ANSWER_MS, MOST_MS)
    const maxBytes = checked('maxOutputBytes', options.maxOutputBytes ?? MOST_OUTPUT_BYTES)
    const session = new Session(port, { random: options.random ?? Math.random, answerMs })
    try {
      await session.synchronise(connectMs)
    } catch (error) {
      session.close()
      throw error
    }
    return new Guest(session, maxBytes)
  }

  /**
   * Runs a command in a shell of its own (`sh`), and waits for its end. Other calls may run commands meanwhile.
   *
   * @param command - text for the shell, of any length
   * @throws GuestError `ERR_GUEST_TIMEOUT`, `ERR_GUEST_OUTPUT`, `ERR_GUEST_PROTOCOL`, `ERR_GUEST_FILE` without room for the
   *   input, `ERR_GUEST_CLOSED`, `ERR_GUEST_OPTION`; or the reason of `signal`
   */
  async exec(command: string, options: ExecOptions = {}): Promise<ExecResult> {
    if (command.includes('\0')) throw new GuestError('ERR_GUEST_OPTION', 'a command with a character of code 0')
    if (options.timeoutMs !== undefined) checked('timeoutMs', options.timeoutMs, MOST_MS)
    const maxBytes = checked('maxOutputBytes', options.maxOutputBytes ?? this.#maxBytes)
    const place = this.#free.pop() ?? (await this.#nextPlace(options.signal))
    try {
      return await this.#synchronous(() => {
        options.signal?.throwIfAborted()
        return new Command(this.#session, place, options, maxBytes).run(command)
      })
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(place)
      else next(place)
    }
  }

  /**
   * Starts a command in a shell of its own, with streams: write its input and read its outputs while it runs. At most 32 run
   * at a time, besides commands of `exec`; further calls wait.
   *
   * @throws GuestError `ERR_GUEST_OPTION` for an agent of an older version; otherwise as `exec`
   */
  async spawn(command: string): Promise<GuestProcess> {
    if (command.includes('\0')) throw new GuestError('ERR_GUEST_OPTION', 'a command with a character of code 0')
    return this.#synchronous(() => this.#streams.start(command))
  }

  /**
   * Connects to a TCP port of the guest, by a program in it: socat, the nc of BusyBox or OpenBSD, or perl.
   *
   * @param options - `address`: an IPv4 address or a name in the guest; default 127.0.0.1
   * @throws GuestError as `spawn`, `ERR_GUEST_CONNECT` without such a program; a failed connection ends `readable`
   */
  async connect(port: number, options: { readonly address?: string } = {}): Promise<GuestConnection> {
    const { address = '127.0.0.1' } = options
    checked('port', port, MOST_PORT)
    if (!/^[\w.-]{1,253}$/.test(address))
      throw new GuestError('ERR_GUEST_OPTION', `address '${address}': expected an IPv4 address or a name`)
    const looking = (this.#connects ??= this.#findProgram())
    try {
      const { text, isProgram } = connectCommand(await looking, address, port)
      const process = await this.#synchronous(() => this.#streams.start(text, isProgram))
      return connectionOf(process, port)
    } catch (error) {
      // The guest may get such a program later.
      this.#connects = undefined
      throw error
    }
  }

  /** Looks for a program that connects, which takes longer than connecting. */
  async #findProgram(): Promise<string> {
    const process = await this.spawn(FIND_PROGRAM)
    const found = await textOf(process.stdout)
    await process.ended
    return found.trim()
  }

  /**
   * Forwards a port of this host to a TCP port of the guest. In a page, which has no ports, use `connect`.
   *
   * @throws GuestError `ERR_GUEST_OPTION` if the host cannot listen at the address
   */
  async forward(port: number, options: ForwardOptions = {}): Promise<GuestForward> {
    checked('port', port, MOST_PORT)
    const { guestAddress } = options
    return listen(() => this.connect(port, guestAddress === undefined ? {} : { address: guestAddress }), options)
  }

  /**
   * Waits for an answer of the agent.
   *
   * @throws GuestError `ERR_GUEST_TIMEOUT`, `ERR_GUEST_PROTOCOL`, `ERR_GUEST_CLOSED`
   */
  async ping(): Promise<void> {
    return this.#synchronous(async () => {
      const { words } = await this.#session.request(this.#session.name, ['ping'])
      if (words[0] !== 'ok' || words.length !== 1)
        throw new GuestError('ERR_GUEST_PROTOCOL', `the agent answers '${quote(words)}' to 'ping': expected 'ok'`)
    })
  }

  /**
   * Sets the guest's clock, by its program `date`: that of a clone, or of a machine that was restored, goes on from the instant
   * that it has come from.
   *
   * @param seconds - since 1970; default the host's time, to within the time that the command takes
   * @throws GuestError `ERR_GUEST_TIME` where the guest cannot, `ERR_GUEST_OPTION`; as {@link Guest.exec}
   */
  async setTime(seconds: number = Math.round(Date.now() / 1000)): Promise<void> {
    checked('seconds', seconds)
    const { exitCode, stderr } = await this.exec(`date -u -s @${seconds}`)
    if (exitCode !== 0)
      throw new GuestError('ERR_GUEST_TIME', `the guest's clock cannot be set: ${stderr.trim() || `date: ${exitCode}`}`)
  }

  /** Ends the connection, and the commands that run; calls that wait reject with `ERR_GUEST_CLOSED`. */
  close(): void {
    this.#session.close()
  }

  /** Waits until a command has ended. @throws the reason of the signal */
  #nextPlace(signal: AbortSignal | undefined): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const aborted = (): void => {
      this.#waiting.splice(this.#waiting.indexOf(given), 1)
      reject(signal?.reason)
    }
    const given = (place: number): void => {
      signal?.removeEventListener('abort', aborted)
      resolve(place)
    }
    this.#waiting.push(given)
    signal?.addEventListener('abort', aborted)
    if (signal?.aborted === true) aborted()
    return promise
  }

  /** Calls the agent, with a new session if necessary. */
  async #synchronous<T>(call: () => Promise<T>): Promise<T> {
    await this.#session.synchronise()
    const { name } = this.#session
    try {
      return await call()
    } catch (error) {
      const isLost = error instanceof GuestError && error.code === 'ERR_GUEST_PROTOCOL'
      if (isLost && this.#session.name === name) this.#session.lose()
      throw error
    }
  }
}

function checked(name: string, value: number, most: number = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  throw new GuestError('ERR_GUEST_OPTION', `${name} ${value}: expected a whole number from 1 to ${most}`)
}
