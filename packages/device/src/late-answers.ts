import type { CancelSignal, Word64 } from './access.ts'
import type { DeviceContext } from './device-model.ts'
import { Instant } from './instant.ts'
import type { Timer } from './wires.ts'

/** Virtual time that a request takes. On deterministic time the guest waits for a slower host without noticing. */
const LATENCY_NS = 20_000
/** Requests that share a signal. */
const REQUESTS_A_SIGNAL = 64

/** Options of {@link LateAnswers}: how requests are made and answered. */
export interface LateAnswersOptions<Request, Answer> {
  /**
   * Asks the host. A rejection is a failure of the model: a request that can fail has an answer that says so.
   *
   * @param signal - aborts when the request is cancelled. Requests share signals: it may abort after this request's end
   */
  ask(request: Request, signal: CancelSignal): Answer | Promise<Answer>
  /** Takes the answer, in virtual time. It may start further requests, and cancel. */
  answer(request: Request, answer: Answer): void
  /**
   * Whether the guest may be answered now; `proceed` delivers the answers held back. Default: always.
   *
   * A PCI function passes its bus master bit: `PciFunction.mayMaster`.
   */
  mayAnswer?(): boolean
}

/** A request as plain data, for a saved state. */
export interface LateRequest<Request, Answer> {
  /** The argument of `start`. */
  readonly request: Request
  /** The host's answer; absent: the host is to be asked again. */
  readonly answer?: Answer | undefined
  /** The virtual instant of the answer. */
  readonly deadline: Readonly<Word64>
  /** Whether the deadline has passed while the guest could not be answered; absent: false. */
  readonly due?: boolean | undefined
}

interface Late<Request, Answer> {
  readonly request: Request
  readonly deadline: Instant
  readonly abort: AbortController
  cancelled: boolean
  outcome: { readonly answer: Answer } | { readonly error: unknown } | null
  /** The request's deadline has passed. */
  due: boolean
  /** The machine waits for the host. */
  wait: { readonly end: () => void; readonly fail: (error: unknown) => void } | null
}

/**
 * Requests of the host whose answers come later.
 *
 * - An answer takes effect at a virtual instant that is fixed when the request is made, or when the host has it, if that is
 *   later. On deterministic time the machine waits for the host at that instant.
 * - No two requests that are under way have the same instant, so that runs on deterministic time agree on the order, also of
 *   those that the machine waits for. On the host's clock requests that are over time are answered as the host has them.
 * - A request that is cancelled is not answered. As the host may be busy with it all the same, later requests wait for its
 *   end: a write that was cancelled must not come after one that follows.
 */
export class LateAnswers<Request, Answer> {
  readonly #options: LateAnswersOptions<Request, Answer>
  readonly #clock: DeviceContext['clock']
  readonly #timer: Timer
  /** Requests in order of their deadlines. */
  #open: Late<Request, Answer>[] = []
  /** Requests still processed by the host, including cancelled ones. */
  readonly #running = new Set<Promise<void>>()
  /** Resolves when all cancelled requests have ended. */
  #before: Promise<void> | null = null
  #paused = false
  /** A controller costs as much as a small request. Requests are cancelled together, so that several share one. */
  #abort = new AbortController()
  #begun = 0

  /** @param context - the model's context, for its clock and a timer */
  constructor(context: Pick<DeviceContext, 'clock' | 'timer'>, options: LateAnswersOptions<Request, Answer>) {
    this.#options = options
    this.#clock = context.clock
    this.#timer = context.timer(() => this.#expired())
  }

  /** Number of unanswered requests. */
  get count(): number {
    return this.#open.length
  }

  /** Whether the host is busy, with cancelled requests too. */
  get busy(): boolean {
    return this.#running.size > 0
  }

  /**
   * Whether a request may be answered without coming here: time is the host's, the guest may be answered, and the host is
   * not busy with cancelled requests.
   */
  get mayAnswerAtOnce(): boolean {
    return this.#clock.realTime === true && this.#before === null && !this.#paused && this.#mayAnswer
  }

  /** Whether any unanswered request passes a test. */
  some(test: (request: Request) => boolean): boolean {
    return this.#open.some(({ request }) => test(request))
  }

  /**
   * Makes a request.
   *
   * @param latencyNs - virtual time until the response; default 20 µs
   */
  start(request: Request, latencyNs: number = LATENCY_NS): void {
    const deadline = new Instant()
    this.#clock.read(deadline)
    this.#begin(request, deadline.add(latencyNs), null, false)
  }

  #begin(request: Request, deadline: Instant, outcome: Late<Request, Answer>['outcome'], due: boolean): void {
    if (++this.#begun % REQUESTS_A_SIGNAL === 0) this.#abort = new AbortController()
    const late: Late<Request, Answer> = {
      request,
      deadline,
      abort: this.#abort,
      cancelled: false,
      outcome,
      due,
      wait: null,
    }
    this.#insert(late)
    this.#arm()
    if (outcome === null) this.hold(this.#ask(late))
  }

  /** Inserts a request by deadline. Among equal instants it takes the next free one. */
  #insert(late: Late<Request, Answer>): void {
    const open = this.#open
    const { deadline } = late
    let at = open.length
    while (at > 0 && deadline.isBefore(open[at - 1]!.deadline)) at--
    for (; at > 0 && at <= open.length && deadline.equals(open[at - 1]!.deadline); at++) {
      deadline.add(1)
      if (at < open.length && deadline.isBefore(open[at]!.deadline)) break
    }
    open.splice(at, 0, late)
  }

  async #ask(late: Late<Request, Answer>): Promise<void> {
    const { request, abort } = late
    if (this.#before !== null) await this.#before
    if (late.cancelled) return
    try {
      late.outcome = { answer: await this.#options.ask(request, abort.signal) }
    } catch (error) {
      late.outcome = { error }
    }
    this.#settled(late)
  }

  /** Counts a promise as work of the host until it settles. */
  hold(promise: Promise<void>): void {
    const end = (): void => void this.#running.delete(running)
    const running = promise.then(end, end)
    this.#running.add(running)
  }

  #settled(late: Late<Request, Answer>): void {
    if (!late.due || late.cancelled) return
    // On deterministic time the machine may have begun to wait before it came to rest: that the host was late is in no state.
    if (!this.#paused || (late.wait !== null && this.#clock.realTime !== true)) this.#giveDue()
    if (!this.#paused && this.#mayAnswer) return
    // The host has done its part: the machine does not wait for the guest.
    for (const each of this.#open.filter(({ outcome }) => outcome !== null)) {
      each.wait?.end()
      each.wait = null
    }
  }

  get #mayAnswer(): boolean {
    return this.#options.mayAnswer?.() ?? true
  }

  #arm(): void {
    const next = this.#open.find(({ due }) => !due)
    if (next === undefined) this.#timer.cancel()
    else this.#timer.armAfter(0, next.deadline)
  }

  /** Ends all requests due by now, as a model in another process gets no second timer event before processors go on. */
  #expired(): void | Promise<void> {
    const waits: Promise<void>[] = []
    const now = new Instant()
    this.#clock.read(now)
    for (const late of this.#open) {
      if (late.due) continue
      if (late.deadline.since(now) > 0) break
      late.due = true
      if (late.outcome === null && !this.#paused) waits.push(new Promise((end, fail) => (late.wait = { end, fail })))
    }
    this.proceed()
    this.#arm()
    if (waits.length > 0) return Promise.all(waits).then(() => {})
  }

  /** Gives the answers that `mayAnswer` has held back, if the guest may have them now. */
  proceed(): void {
    if (!this.#paused) this.#giveDue()
  }

  /** Gives the answers that are due; on deterministic time up to the first that the host does not have. */
  #giveDue(): void {
    for (let i = 0; this.#mayAnswer && i < this.#open.length && this.#open[i]!.due;) {
      if (this.#open[i]!.outcome !== null) this.#give(this.#open[i]!)
      else if (this.#clock.realTime === true) i++
      else return
    }
  }

  #give(late: Late<Request, Answer>): void {
    const { request, outcome, wait } = late
    this.#open.splice(this.#open.indexOf(late), 1)
    try {
      if (outcome === null) throw new Error('a request is answered before the host has done it')
      if ('error' in outcome) throw outcome.error
      this.#options.answer(request, outcome.answer)
      wait?.end()
    } catch (error) {
      if (wait === null) throw error
      // The promise that the timer's callback returned tells the machine.
      wait.fail(error)
    }
  }

  /** Cancels all requests. */
  cancel(): void {
    const open = this.#open
    this.#open = []
    this.#timer.cancel()
    for (const late of open) {
      late.cancelled = true
      late.abort.abort()
      late.wait?.end()
    }
    if (this.#abort.signal.aborted) this.#abort = new AbortController()
    if (!this.busy) return
    const before = this.ended().then(() => {
      if (this.#before === before) this.#before = null
    })
    this.#before = before
  }

  /** Resolves when the host has ended its present work. */
  async ended(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** Answers nothing from now on. @returns settles when the host is busy with nothing */
  async pause(): Promise<void> {
    this.#paused = true
    while (this.busy) await this.ended()
  }

  /** Answers again, after `pause` or `restore`. */
  resume(): void {
    this.#paused = false
    this.proceed()
  }

  /** Waits until the host is busy with nothing, and gives every answer, before its time if need be. */
  async settle(): Promise<void> {
    for (;;) {
      // A response may free resources that later requests need: responses are delivered in order as they come.
      while (this.#open[0] !== undefined && this.#open[0].outcome !== null) this.#give(this.#open[0])
      if (!this.busy) break
      await Promise.race(this.#running)
    }
    this.#timer.cancel()
  }

  /** Returns the requests in the order of their instants. */
  save(): readonly LateRequest<Request, Answer>[] {
    return this.#open.map(({ request, outcome, deadline, due }) => ({
      request,
      ...(due && { due }),
      ...(outcome !== null && 'answer' in outcome && { answer: outcome.answer }),
      deadline: deadline.save(),
    }))
  }

  /** Cancels present requests, and restores saved ones; requests without a response are made again. */
  restore(requests: readonly LateRequest<Request, Answer>[]): void {
    this.cancel()
    for (const { request, answer, deadline, due = false } of requests)
      this.#begin(request, new Instant().set(deadline), answer === undefined ? null : { answer }, due)
  }
}
