import { type Clock, type DeviceContext, Instant, type Timer } from '@retrap/device'
import type { RequestChain } from './chain.ts'
import type { VirtioAnswer } from './virtio-device.ts'

/** Virtual time that a request of the host takes. On deterministic time the guest waits for a slower host without noticing. */
const LATENCY_NS = 20_000

/** A request that the host works at. */
interface Late {
  readonly chain: RequestChain
  readonly deadline: Instant
  answer: VirtioAnswer | undefined
  error: unknown
  settled: boolean
  /** Its virtual time is over. */
  due: boolean
  /** Ends the wait of deterministic time, or fails the model. */
  resolve: () => void
  reject: ((error: unknown) => void) | null
}

/**
 * Requests whose answers come later. An answer takes effect at a virtual instant that is fixed when the request is made, or
 * when the host has it, if that is later. No two of one device have the same instant, so that runs on deterministic time
 * agree on the order.
 */
export class LateAnswers {
  readonly #clock: Clock
  readonly #timer: Timer
  readonly #complete: (chain: RequestChain, answer: VirtioAnswer) => void
  readonly #idle: () => void
  /** In the order of their deadlines. */
  #waiting: Late[] = []
  readonly #last = new Instant()
  /** Requests that the host works at, those of cancelled chains among them. */
  #unsettled = 0
  #whenSettled: (() => void)[] = []

  /**
   * @param complete - takes an answer, in virtual time
   * @param idle - called when the host works at nothing any more
   */
  constructor(context: DeviceContext, complete: (chain: RequestChain, answer: VirtioAnswer) => void, idle: () => void) {
    this.#clock = context.clock
    this.#complete = complete
    this.#idle = idle
    this.#timer = context.timer(() => this.#expired())
  }

  /** Whether the host works at something. */
  get busy(): boolean {
    return this.#unsettled > 0
  }

  /** Waits for an answer. */
  begin(chain: RequestChain, promise: Promise<VirtioAnswer>): void {
    const deadline = new Instant()
    this.#clock.read(deadline)
    deadline.add(LATENCY_NS)
    if (!this.#last.isBefore(deadline)) deadline.set(this.#last).add(1)
    this.#last.set(deadline)
    const late: Late = {
      chain,
      deadline,
      answer: undefined,
      error: undefined,
      settled: false,
      due: false,
      resolve: nothing,
      reject: null,
    }
    this.#waiting.push(late)
    if (this.#waiting.length === 1) this.#timer.armAfter(0, deadline)
    this.hold(
      promise.then(
        (answer) => {
          late.answer = answer
          this.#settled(late)
        },
        (error: unknown) => {
          late.error = error ?? new Error('a request was rejected')
          this.#settled(late)
        },
      ),
    )
  }

  /** Counts a promise as work of the host. */
  hold(promise: Promise<void>): void {
    this.#unsettled++
    const settled = (): void => {
      this.#unsettled--
      for (const resolve of this.#whenSettled.splice(0)) resolve()
      if (this.#unsettled === 0) this.#idle()
    }
    void promise.then(settled, settled)
  }

  #settled(late: Late): void {
    late.settled = true
    if (late.due) this.#finish(late)
  }

  #expired(): void | Promise<void> {
    const late = this.#waiting.shift()
    if (late === undefined) return
    const [next] = this.#waiting
    if (next !== undefined) this.#timer.armAfter(0, next.deadline)
    late.due = true
    if (late.settled) return this.#finish(late)
    return new Promise((resolve, reject) => {
      late.resolve = resolve
      late.reject = reject
    })
  }

  #finish({ chain, answer, error, resolve, reject }: Late): void {
    if (chain.cancelled) return resolve()
    try {
      if (answer === undefined) throw error
      this.#complete(chain, answer)
      resolve()
    } catch (thrown) {
      // The promise that the timer's callback returned tells the machine.
      if (reject === null) throw thrown
      reject(thrown)
    }
  }

  /** Forgets the requests of cancelled chains. What the host works at still counts as work. */
  cancel(): void {
    this.#timer.cancel()
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  /** Waits until the host works at nothing, and gives every answer, before its time if need be. */
  async settle(): Promise<void> {
    for (;;) {
      // Answers free host memory that later requests wait for: they are given as they come, in order.
      while (this.#waiting[0]?.settled === true) this.#finish(this.#waiting.shift()!)
      if (!this.busy) break
      // oxlint-disable-next-line no-await-in-loop -- the end of one lets the next one begin
      await new Promise<void>((resolve) => this.#whenSettled.push(resolve))
    }
    this.#timer.cancel()
  }
}

const nothing = (): void => {}
