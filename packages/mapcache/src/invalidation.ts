/**
 * One invalidation, until nothing that was mapped before it can reach the old frames: the acknowledgement is due when
 * it is done.
 *
 * Nothing here blocks. A holder must release its mapping before it waits for an invalidation of the same frames, or it waits
 * for itself.
 */
export interface Invalidation {
  /** Whether the acknowledgement may be sent. */
  readonly done: boolean
  /** Held mappings that the invalidation still waits for. */
  readonly pending: number
  /** Calls back on completion, at once if already complete. */
  onDone(callback: () => void): void
  /** Resolves on completion. */
  settled(): Promise<void>
}

/** An {@link Invalidation} that counts down. */
export class PendingInvalidation implements Invalidation {
  pending: number = 0
  #callbacks: (() => void)[] = []

  get done(): boolean {
    return this.pending === 0
  }

  onDone(callback: () => void): void {
    if (this.pending === 0) callback()
    else this.#callbacks.push(callback)
  }

  settled(): Promise<void> {
    return new Promise((resolve) => this.onDone(resolve))
  }

  /** Called when a mapping that the invalidation waits for is released. */
  released(): void {
    if (--this.pending > 0) return
    const callbacks = this.#callbacks
    this.#callbacks = []
    for (const callback of callbacks) callback()
  }
}

/** The invalidation that no mapping was in the way of. */
export const NOTHING_HELD: Invalidation = new PendingInvalidation()
