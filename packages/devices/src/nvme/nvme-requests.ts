import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type DeviceContext,
  Instant,
  type Timer,
  type Word64,
} from '@retrap/device'
import { type NvmeJob, perform } from './io-commands.ts'

/** Virtual time that a request of the medium takes. On deterministic time the guest waits for a slower host without noticing. */
const LATENCY_NS = 20_000

/** What the medium has answered: an error, or whether compared data is equal. `undefined`: nothing yet. */
export type NvmeAnswer = BlockErrorCode | boolean

interface Request {
  readonly job: NvmeJob
  readonly abort: AbortController
  readonly deadline: Instant
  answer: NvmeAnswer | undefined
  due: boolean
}

/** Saved form of a request. */
export interface NvmeRequestState {
  /** Submission queue and entry; null: the controller's own. */
  readonly command: { readonly queue: number; readonly bytes: readonly number[] } | null
  /** Absent: the medium is to be asked again. */
  readonly answer?: NvmeAnswer
  readonly deadline: Word64
}

/**
 * Requests of the medium that are under way at the same time. Each is answered at a virtual instant that is fixed when it is
 * made, or when the host has the answer, if that is later. No two have the same instant, so that runs on deterministic time
 * agree on the order; otherwise they are answered in any order.
 *
 * A request that is given up is cancelled, and its answer is dropped. As the host may be busy with it all the same, later
 * requests wait for its end: a write that was given up must not come after one that follows.
 */
export class NvmeRequests {
  readonly #medium: BlockBackend
  readonly #timer: Timer
  readonly #clock: DeviceContext['clock']
  readonly #answer: (job: NvmeJob, answer: NvmeAnswer) => void
  /** In the order of their deadlines. */
  #open: Request[] = []
  readonly #running = new Set<Promise<void>>()
  /** The end of what was given up. */
  #before: Promise<void> | null = null
  /** The latest deadline that was given. */
  readonly #last = new Instant()
  readonly #mayMaster: () => boolean
  /** Ends the wait of deterministic time. */
  #release: (() => void)[] = []
  #paused = false

  /**
   * @param mayMaster - whether the guest lets the function reach memory: nothing is answered meanwhile
   * @param answer - called with the outcome of each request, in virtual time
   */
  constructor(
    context: DeviceContext,
    medium: BlockBackend,
    mayMaster: () => boolean,
    answer: (job: NvmeJob, answer: NvmeAnswer) => void,
  ) {
    this.#medium = medium
    this.#mayMaster = mayMaster
    this.#clock = context.clock
    this.#answer = answer
    this.#timer = context.timer((_, deadline) => this.#expired(deadline))
  }

  /** Requests that have not been answered. */
  get count(): number {
    return this.#open.length
  }

  /** Whether a request of this submission queue has not been answered. */
  hasOf(queue: number): boolean {
    return this.#open.some(({ job }) => job.command?.queue === queue)
  }

  /** Begins a request. */
  start(job: NvmeJob): void {
    const deadline = new Instant()
    this.#clock.read(deadline)
    deadline.add(LATENCY_NS)
    if (!this.#last.isBefore(deadline)) deadline.set(this.#last).add(1)
    this.#last.set(deadline)
    this.#begin({ job, abort: new AbortController(), deadline, answer: undefined, due: false })
  }

  #begin(request: Request): void {
    this.#open.push(request)
    this.#arm()
    if (request.answer !== undefined) return
    const running = this.#ask(request)
    this.#running.add(running)
    void running.then(() => {
      this.#running.delete(running)
      if (request.due) this.#finishDue()
    })
  }

  async #ask(request: Request): Promise<void> {
    if (this.#before !== null) await this.#before
    if (request.abort.signal.aborted) return
    try {
      request.answer = await perform(request.job, this.#medium, request.abort.signal)
    } catch (error) {
      request.answer = error instanceof BlockError ? error.code : 'ERR_MEDIUM'
    }
  }

  #arm(): void {
    const next = this.#open.find(({ due }) => !due)
    if (next === undefined) this.#timer.cancel()
    else this.#timer.armAfter(0, next.deadline)
  }

  #expired(deadline: Readonly<Word64>): void | Promise<void> {
    for (const request of this.#open) if (!new Instant().set(deadline).isBefore(request.deadline)) request.due = true
    this.#finishDue()
    this.#arm()
    if (!this.#waitsForHost) return
    return new Promise((resolve) => this.#release.push(resolve))
  }

  get #waitsForHost(): boolean {
    return this.#open.some(({ due, answer }) => due && answer === undefined)
  }

  #finishDue(): void {
    if (!this.#paused && this.#mayMaster()) {
      const finished = this.#open.filter(({ due, answer }) => due && answer !== undefined)
      this.#open = this.#open.filter((request) => !finished.includes(request))
      for (const { job, answer } of finished) this.#answer(job, answer!)
    }
    if (!this.#waitsForHost) this.#releaseAll()
  }

  /** The guest lets the function reach memory again. */
  goOn(): void {
    this.#finishDue()
  }

  #releaseAll(): void {
    for (const release of this.#release.splice(0)) release()
  }

  /** Gives all requests up. */
  cancel(): void {
    for (const { abort } of this.#open) abort.abort()
    this.#open = []
    this.#timer.cancel()
    this.#releaseAll()
    if (this.#running.size === 0) return
    const before = this.ended().then(() => {
      if (this.#before === before) this.#before = null
    })
    this.#before = before
  }

  /** Settles when the host is busy with nothing of what there is now. */
  async ended(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** Answers nothing from now on. @returns settles when the host is busy with nothing */
  async pause(): Promise<void> {
    this.#paused = true
    await this.ended()
  }

  /** Goes on. */
  resume(): void {
    this.#paused = false
    this.#finishDue()
  }

  save(): readonly NvmeRequestState[] {
    return this.#open.map(({ job: { command, kind }, answer, deadline }) => ({
      command: command === null ? null : { queue: command.queue, bytes: [...command.bytes] },
      // What was read is not part of the state: it is read again.
      ...(answer !== undefined && !(kind === 'read' && answer === true) && { answer }),
      deadline: deadline.save(),
    }))
  }

  /** Takes requests of a saved state, in place of those that there are. */
  restore(requests: readonly { readonly job: NvmeJob; readonly state: NvmeRequestState }[]): void {
    this.cancel()
    for (const { job, state } of requests) {
      const deadline = new Instant(state.deadline.lo, state.deadline.hi)
      this.#begin({ job, abort: new AbortController(), deadline, answer: state.answer, due: false })
    }
  }
}
