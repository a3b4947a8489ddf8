import type { InputBackend, InputClient, InputEvent } from '@retrap/device'

/*
 * Input of a board that runs in another thread: the machine's thread has the back end, the board's thread the model.
 */

/** This many events may be on their way, or wait for the model, before the back end waits. */
const MOST_OUTSTANDING = 64

/** Where the board's models tell what they say to their back ends. */
export interface InputHooks {
  /** The model has taken this many events. */
  taken(count: number): void
  /** See `InputBackend.setLeds`. */
  setLeds(leds: Parameters<NonNullable<InputBackend['setLeds']>>[0]): void
  /** See `InputBackend.setPointer`. */
  setPointer(kind: 'none' | 'relative' | 'absolute'): void
}

/** The board's end: a back end that keeps events until the model has room for them. */
export class InputRelay implements InputBackend {
  readonly #hooks: InputHooks
  #client: InputClient | null = null
  #waiting: readonly InputEvent[] = []
  #offering = false

  constructor(hooks: InputHooks) {
    this.#hooks = hooks
  }

  connect(client: InputClient): void {
    this.#client = client
  }

  /** Events that the model has no room for. */
  get waiting(): readonly InputEvent[] {
    return this.#waiting
  }

  /** Puts such events back; the model has been restored. */
  restoreWaiting(events: readonly InputEvent[]): void {
    this.#waiting = events
  }

  receive(events: readonly InputEvent[]): void {
    this.#waiting = [...this.#waiting, ...events]
    this.ready()
  }

  ready(): void {
    // A model that moves events on at once says within `input` that it has room again.
    if (this.#offering || this.#client === null) return
    this.#offering = true
    let count = 0
    while (this.#waiting.length > 0) {
      const taken = this.#client.input(this.#waiting)
      if (taken === 0) break
      this.#waiting = this.#waiting.slice(taken)
      count += taken
    }
    this.#offering = false
    if (count > 0) this.#hooks.taken(count)
  }

  setLeds(leds: Parameters<InputHooks['setLeds']>[0]): void {
    this.#hooks.setLeds(leds)
  }

  setPointer(kind: 'none' | 'relative' | 'absolute'): void {
    this.#hooks.setPointer(kind)
  }
}

/** The machine's end: a model for the back end, which sends events on. */
export class RemoteInput implements InputClient {
  readonly #backend: InputBackend
  readonly #send: (events: readonly InputEvent[]) => void
  #outstanding = 0

  constructor(backend: InputBackend, send: (events: readonly InputEvent[]) => void) {
    this.#backend = backend
    this.#send = send
    backend.connect(this)
  }

  input(events: readonly InputEvent[]): number {
    const count = Math.min(events.length, MOST_OUTSTANDING - this.#outstanding)
    if (count === 0) return 0
    this.#outstanding += count
    this.#send(events.slice(0, count))
    return count
  }

  taken(count: number): void {
    this.#outstanding -= count
    this.#backend.ready()
  }
}
