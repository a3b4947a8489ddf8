import type { InputBackend, InputClient, InputEvent } from '@retrap/device'

/** A source of input that keeps what its model has no room for, and notes what the model says. */
export class TestInput implements InputBackend {
  readonly said: string[] = []
  #client: InputClient | null = null
  #waiting: InputEvent[] = []
  #offering = false

  connect(client: InputClient): void {
    this.#client = client
  }

  /** Gives events to the model, now or when it has room. */
  send(...events: readonly InputEvent[]): void {
    this.#waiting.push(...events)
    this.ready()
  }

  key(usage: number, down: boolean): void {
    this.send({ kind: 'key', usage, down })
  }

  /** What the model has had no room for. */
  get waiting(): readonly InputEvent[] {
    return this.#waiting
  }

  ready(): void {
    if (this.#offering || this.#client === null) return
    this.#offering = true
    for (;;) {
      const taken = this.#client.input(this.#waiting)
      this.#waiting = this.#waiting.slice(taken)
      if (taken === 0 || this.#waiting.length === 0) break
    }
    this.#offering = false
  }

  setPointer(kind: 'none' | 'relative' | 'absolute'): void {
    this.said.push(`pointer ${kind}`)
  }

  setLeds({ numLock, capsLock, scrollLock }: Parameters<NonNullable<InputBackend['setLeds']>>[0]): void {
    this.said.push(`leds ${numLock ? 'N' : '-'}${capsLock ? 'C' : '-'}${scrollLock ? 'S' : '-'}`)
  }
}
