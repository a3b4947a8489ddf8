import type { InputBackend, InputClient, InputEvent } from '@retrap/device'

/** This many events are offered at once. */
const BATCH = 64
/** Number of taken events from which on they are removed. */
const COMPACT_FROM = 4096

/** A {@link Keyboard}'s or {@link Mouse}'s events that the guest's device has not taken yet, in their order. */
export abstract class InputQueue implements InputBackend {
  #client: InputClient | null = null
  #events: InputEvent[] = []
  /** Events at the front of `#events` that were taken. */
  #first = 0
  /** Total of events queued and taken since the beginning. */
  #queued = 0
  #taken = 0
  #offering = false
  #waiters: readonly { readonly upTo: number; readonly settle: (taken: boolean) => void }[] = []

  /** Connects the guest's device: see `InputBackend`. A machine that starts anew connects its new one. */
  connect(client: InputClient): void {
    const { unread = [] } = this.#client ?? {}
    this.#events = [...unread, ...this.#events.slice(this.#first)]
    this.#first = 0
    this.#taken -= unread.length
    this.#client = client
    this.ready()
  }

  /** Events that the guest has not taken yet. */
  get waiting(): number {
    return this.#events.length - this.#first
  }

  /**
   * Queues events.
   *
   * @returns resolves with true when the device has taken the events, with false if they are dropped
   */
  protected queue(events: readonly InputEvent[]): Promise<boolean> {
    for (const event of events) this.#events.push(event)
    this.#queued += events.length
    const upTo = this.#queued
    this.ready()
    if (this.#taken >= upTo) return Promise.resolve(true)
    return new Promise((settle) => (this.#waiters = [...this.#waiters, { upTo, settle }]))
  }

  /** Drops events that wait. */
  clear(): void {
    this.#events = []
    this.#first = 0
    this.#taken = this.#queued
    const waiters = this.#waiters
    this.#waiters = []
    for (const { settle } of waiters) settle(false)
  }

  /** The guest's device has room: see `InputBackend`. */
  ready(): void {
    // A device that moves events on at once says within `input` that it has room again.
    if (this.#offering || this.#client === null) return
    this.#offering = true
    while (this.waiting > 0) {
      const count = this.#client.input(this.#events.slice(this.#first, this.#first + BATCH))
      if (count === 0) break
      this.#first += count
      this.#taken += count
    }
    if (this.waiting === 0 || this.#first >= COMPACT_FROM) {
      this.#events = this.#events.slice(this.#first)
      this.#first = 0
    }
    this.#offering = false
    const done = this.#waiters.filter(({ upTo }) => upTo <= this.#taken)
    if (done.length === 0) return
    this.#waiters = this.#waiters.filter(({ upTo }) => upTo > this.#taken)
    for (const { settle } of done) settle(true)
  }
}
