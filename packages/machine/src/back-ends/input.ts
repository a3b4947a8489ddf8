import type { InputBackend, InputClient, InputEvent } from '@retrap/device'
import { Feeder } from './feeder.ts'

/*
 * A keyboard or pointer that a model uses from elsewhere: from another thread, or from behind the gate of a recording. Events are on
 * their way as JSON.
 */

/** This many events may be on their way, or wait for the model, before the back end waits. */
const MOST_OUTSTANDING = 64

/** Callbacks through which the board's models reach their back ends. */
export interface InputHooks {
  /** The model has taken this many events. */
  taken(count: number): void
  /** See `InputBackend.setLeds`. */
  setLeds(leds: Parameters<NonNullable<InputBackend['setLeds']>>[0]): void
  /** See `InputBackend.setPointer`. */
  setPointer(kind: 'none' | 'relative' | 'absolute'): void
  /** See `InputBackend.setActive`. */
  setActive?(active: boolean): void
}

/** The model's end: a back end that keeps events until the model has room for them. */
export class InputRelay implements InputBackend {
  readonly setLeds: InputHooks['setLeds']
  readonly setPointer: InputHooks['setPointer']
  readonly setActive: NonNullable<InputHooks['setActive']>
  #client: InputClient | null = null
  /** The events that the model has no room for. */
  readonly feeder: Feeder<InputEvent>

  constructor(hooks: InputHooks) {
    this.setLeds = (leds) => hooks.setLeds(leds)
    this.setPointer = (kind) => hooks.setPointer(kind)
    this.setActive = (active) => hooks.setActive?.(active)
    this.feeder = new Feeder(
      (waiting) => this.#client?.input(waiting),
      (count) => hooks.taken(count),
    )
  }

  connect(client: InputClient): void {
    this.#client = client
  }

  /** Passes on bytes that the other end has sent. */
  receive(bytes: Uint8Array): void {
    this.feeder.push(...(JSON.parse(new TextDecoder().decode(bytes)) as readonly InputEvent[]))
  }

  ready(): void {
    this.feeder.ready()
  }
}

/** The other end: a model for the back end, which sends events on. */
export class RemoteInput implements InputClient {
  readonly #backend: InputBackend
  readonly #send: (bytes: Uint8Array) => void
  /** Events that the model has not taken. */
  readonly unread: InputEvent[] = []

  constructor(backend: InputBackend, send: (bytes: Uint8Array) => void) {
    this.#backend = backend
    this.#send = send
    backend.connect(this)
  }

  input(events: readonly InputEvent[]): number {
    const count = Math.min(events.length, MOST_OUTSTANDING - this.unread.length)
    if (count === 0) return 0
    const taken = events.slice(0, count)
    this.unread.push(...taken)
    this.#send(new TextEncoder().encode(JSON.stringify(taken)))
    return count
  }

  taken(count: number): void {
    this.unread.splice(0, count)
    this.#backend.ready()
  }
}
