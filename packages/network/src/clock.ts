/** The time and the event loop of a network. Tests pass a clock that they control. */
export interface NetworkClock {
  /** Milliseconds from some start; never goes back. */
  now(): number
  /** Calls back once, this many milliseconds from now. @returns a function that cancels the call */
  after(milliseconds: number, callback: () => void): () => void
  /** Calls back when the present call has returned. */
  soon(callback: () => void): void
}

/** The host's time. */
export const HOST_CLOCK: NetworkClock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds)
    // Without unref Node would wait for keep-alive timers at its end; open sockets keep the process alive.
    ;(timer as { unref?: () => void }).unref?.()
    return () => clearTimeout(timer)
  },
  soon: (callback) => queueMicrotask(callback),
}

/** A timer that is set again and again. To move its deadline back costs nothing, as for each segment that is sent. */
export class Alarm {
  readonly #clock: NetworkClock
  readonly #callback: () => void
  /** Time of the call; Infinity: never. */
  #deadline = Infinity
  #fires = Infinity
  #cancel: (() => void) | null = null

  constructor(clock: NetworkClock, callback: () => void) {
    this.#clock = clock
    this.#callback = callback
  }

  get isSet(): boolean {
    return this.#deadline !== Infinity
  }

  /** Sets the alarm, in place of an earlier deadline. */
  set(milliseconds: number): void {
    this.#deadline = this.#clock.now() + milliseconds
    if (this.#deadline >= this.#fires) return
    this.#cancel?.()
    this.#start()
  }

  clear(): void {
    this.#deadline = Infinity
  }

  /** Gives the host's timer back. */
  close(): void {
    this.#deadline = this.#fires = Infinity
    this.#cancel?.()
    this.#cancel = null
  }

  #start(): void {
    this.#fires = this.#deadline
    this.#cancel = this.#clock.after(Math.max(0, this.#deadline - this.#clock.now()), () => this.#fire())
  }

  #fire(): void {
    this.#fires = Infinity
    this.#cancel = null
    if (this.#deadline === Infinity) return
    // The deadline was moved since the host's timer was started. Timers of hosts may come a little early.
    if (this.#deadline > this.#clock.now() + 0.5) {
      this.#start()
      return
    }
    this.#deadline = Infinity
    this.#callback()
  }
}
