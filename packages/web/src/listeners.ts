/** Listeners by event, with the type of what each is told. */
export class Listeners<Events extends object> {
  readonly #listeners: { [K in keyof Events]?: Set<(value: Events[K]) => void> } = {}

  /** @returns takes the listener back */
  add<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void {
    const all = (this.#listeners[event] ??= new Set())
    // Added twice, it is called twice.
    const own = (value: Events[K]): void => listener(value)
    all.add(own)
    return () => void all.delete(own)
  }

  /** Tells all listeners of an event. A listener that throws keeps it from none of the others. */
  tell<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const listener of this.#listeners[event] ?? []) {
      try {
        listener(value)
      } catch (error) {
        reportError(error)
      }
    }
  }

  /** Whether anybody listens. */
  has(event: keyof Events): boolean {
    return (this.#listeners[event]?.size ?? 0) > 0
  }

  /** Forgets all listeners. */
  clear(): void {
    for (const event of Object.keys(this.#listeners) as (keyof Events)[]) delete this.#listeners[event]
  }
}
