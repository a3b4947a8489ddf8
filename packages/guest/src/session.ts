import { GuestError } from './errors.ts'
import { type Answer, AnswerDecoder, encodeRequest, quote } from './lines.ts'
import type { GuestPort } from './stream.ts'

/** A request that is not answered is sent again after this long, then after twice as long, up to the most. */
const [FIRST_RETRY_MS, MOST_RETRY_MS] = [1000, 4000]
/** Intervals of synchronisation attempts while the agent may not have been started. */
const [FIRST_SYNC_MS, MOST_SYNC_MS] = [100, 1000]
/** Versions of the protocol: 2 has streams, 3 sends files as they are, 5 starts programs without a shell; 4 and 6 do so at a port that is no terminal. */
const VERSIONS = ['1', '2', '3', '4', '5', '6']
/** Blocks of a `load`, by version: Linux keeps 64 KiB that no process has read from a terminal. */
const LOAD_BLOCKS = [0, 0, 0, 15, 256, 15, 256]

/** The time that the agent has for each answer to one caller. */
export interface AnswerLimit {
  milliseconds: number
}

/** A command's listener for the agent's unrequested messages. */
export interface SessionListener {
  /** Receives the agent's words about the command, without the slot. */
  noted(words: readonly string[]): void
  /** The session was closed. */
  closed(): void
}

interface Pending {
  readonly id: number
  readonly limit: AnswerLimit | undefined
  readonly bytes: Uint8Array
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: GuestError) => void
  deadlineMs: number
  readonly mostRetryMs: number
  retryMs: number
}

/**
 * Requests to the agent, one at a time: callers wait for each other. A request is repeated until its response arrives;
 * the agent executes it once. Responses of another session, such as one from before a restore, are dropped.
 */
export class Session {
  readonly #port: GuestPort
  readonly #decoder = new AnswerDecoder((answer) => this.#answered(answer))
  readonly #random: () => number
  readonly #answerMs: number
  #name = ''
  #version = 0
  #lastId = 0
  #pending: Pending | undefined
  #timer: unknown
  /** The port has room. */
  #hasRoom = true
  /** The port has taken all bytes since the last were queued, perhaps at once. */
  #isDrained = false
  #isSynchronous = false
  #isClosed = false
  /** Resolves with the last request. */
  #last: Promise<unknown> = Promise.resolve()
  #synchronising: Promise<void> | undefined
  /** Listeners by place. */
  readonly #listeners = new Map<number, SessionListener>()

  constructor(port: GuestPort, options: { readonly random: () => number; readonly answerMs: number }) {
    this.#port = port
    this.#random = options.random
    this.#answerMs = options.answerMs
    port.onTransmit((bytes) => {
      if (!this.#isClosed) this.#decoder.push(bytes)
    })
    port.onDrain(() => (this.#hasRoom = this.#isDrained = true))
  }

  /** Whether {@link close} was called. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** The name of the session. The agent ends all commands of a session when another one begins. */
  get name(): string {
    return this.#name
  }

  /** The agent's version of the protocol. */
  get version(): number {
    return this.#version
  }

  /** Most blocks of a `load`; 0: not supported. */
  get loadBlocks(): number {
    return LOAD_BLOCKS[this.#version]!
  }

  /** Passes messages about the command in a slot to a listener. @returns a function that unsubscribes */
  listen(place: number, listener: SessionListener): () => void {
    this.#listeners.set(place, listener)
    return () => void this.#listeners.delete(place)
  }

  /** Limits the time for the agent's pending answer to a caller, and for each later one. */
  hurry(limit: AnswerLimit, milliseconds: number): void {
    limit.milliseconds = milliseconds
    const pending = this.#pending
    if (pending?.limit !== limit) return
    pending.deadlineMs = Math.min(pending.deadlineMs, performance.now() + milliseconds)
    clearTimeout(this.#timer)
    this.#watch(pending)
  }

  /** Begins a new session with the next request, as the state of the agent is unknown. */
  lose(): void {
    this.#isSynchronous = false
  }

  /**
   * Begins a session if there is none: the agent ends its work, and both sides count from one.
   *
   * @throws GuestError `ERR_GUEST_TIMEOUT`, `ERR_GUEST_PROTOCOL`, `ERR_GUEST_CLOSED`
   */
  async synchronise(timeoutMs: number = this.#answerMs): Promise<void> {
    if (this.#isSynchronous) return
    this.#synchronising ??= this.#inTurn(() => this.#begin(timeoutMs)).finally(() => (this.#synchronising = undefined))
    return this.#synchronising
  }

  async #begin(timeoutMs: number): Promise<void> {
    this.#name = Array.from({ length: 16 }, () => Math.floor(this.#random() * 16).toString(16)).join('')
    this.#lastId = 0
    const { words } = await this.#send(['sync'], undefined, undefined, timeoutMs, FIRST_SYNC_MS, MOST_SYNC_MS)
    const [ok, version = '', ...more] = words
    if (ok !== 'ok' || !VERSIONS.includes(version) || more.length > 0)
      throw new GuestError(
        'ERR_GUEST_PROTOCOL',
        `the agent answers '${quote(words)}' to 'sync': expected 'ok' and ${VERSIONS.join(' or ')}`,
      )
    this.#version = Number(version)
    this.#isSynchronous = true
  }

  /**
   * Sends a request after the requests of earlier callers.
   *
   * @param name - name of the request's session
   * @param limit - the caller's time limit
   * @throws GuestError `ERR_GUEST_TIMEOUT`, `ERR_GUEST_CLOSED`; `ERR_GUEST_PROTOCOL` where another session has begun meanwhile
   */
  async request(name: string, words: readonly string[], payload?: Uint8Array, limit?: AnswerLimit): Promise<Answer> {
    return this.#inTurn(() => {
      if (name !== this.#name)
        throw new GuestError('ERR_GUEST_PROTOCOL', 'the agent was lost meanwhile, and has ended all commands')
      return this.#send(
        words,
        payload,
        limit,
        Math.min(this.#answerMs, limit?.milliseconds ?? Infinity),
        payload === undefined && words[0] !== 'take' ? FIRST_RETRY_MS : MOST_RETRY_MS,
        MOST_RETRY_MS,
      )
    })
  }

  async #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(action)
    this.#last = turn.catch(() => {})
    return turn
  }

  #send(
    words: readonly string[],
    payload: Uint8Array | undefined,
    limit: AnswerLimit | undefined,
    timeoutMs: number,
    retryMs: number,
    mostRetryMs: number,
  ): Promise<Answer> {
    if (this.#isClosed) return Promise.reject(closed())
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const bytes = encodeRequest(this.#name, id, words, payload)
      const deadlineMs = performance.now() + timeoutMs
      this.#pending = { id, limit, bytes, resolve, reject, retryMs, mostRetryMs, deadlineMs }
      this.#transmit(this.#pending)
    })
  }

  #transmit(pending: Pending): void {
    this.#decoder.giveUp()
    // Without room the guest has not taken the request: repeating it would only add another copy.
    if (this.#hasRoom) {
      this.#isDrained = false
      this.#hasRoom = this.#port.receive(pending.bytes) || this.#isDrained
    }
    this.#watch(pending)
    pending.retryMs = Math.min(2 * pending.retryMs, pending.mostRetryMs)
  }

  #watch(pending: Pending): void {
    const leftMs = pending.deadlineMs - performance.now()
    this.#timer = setTimeout(() => this.#waited(pending), Math.max(0, Math.min(pending.retryMs, leftMs)))
  }

  #waited(pending: Pending): void {
    if (performance.now() < pending.deadlineMs) return this.#transmit(pending)
    this.#pending = undefined
    this.#isSynchronous = false
    pending.reject(
      new GuestError('ERR_GUEST_TIMEOUT', 'the agent has not answered in time: is it running on this port?'),
    )
  }

  #answered(answer: Answer): void {
    const { session, id, words } = answer
    if (session !== this.#name) return
    if (id === 0) {
      const [kind = '', place = '', ...more] = words
      return this.#listeners.get(/^\d{1,2}$/.test(place) ? Number(place) : NaN)?.noted([kind, ...more])
    }
    const pending = this.#pending
    // An answer to a request that was sent twice comes twice.
    if (pending === undefined || id !== pending.id) return
    this.#pending = undefined
    clearTimeout(this.#timer)
    pending.resolve(answer)
  }

  /** Fails waiting calls with `ERR_GUEST_CLOSED`, asks the agent to end its command, and releases the port. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#timer)
    if (this.#isSynchronous) this.#port.receive(encodeRequest(this.#name, ++this.#lastId, ['sync']))
    this.#port.onTransmit(() => {})
    this.#port.onDrain(() => {})
    this.#pending?.reject(closed())
    this.#pending = undefined
    for (const listener of [...this.#listeners.values()]) listener.closed()
  }
}

/** The error of everything behind {@link Session.close}. */
export function closed(): GuestError {
  return new GuestError('ERR_GUEST_CLOSED', 'the connection to the guest was closed')
}
