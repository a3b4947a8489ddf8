import { setTimeout } from 'node:timers/promises'

/** Bytes that may wait for readers before the machine waits too. */
const FULL_BYTES = 1 << 20
/** Bytes below which the machine goes on. */
const DRAINED_BYTES = 1 << 16
const LOOK_MS = 20
/** Between two looks where nothing has waited: an idle machine is to take next to nothing of the host. */
const IDLE_LOOK_MS = 100

/** A stream that a guest's output goes to. */
export interface WatchedOutput {
  /** Bytes that were written and that the reader has not taken. */
  readonly writableLength?: number
}

/** Watches streams for readers that take less than the guest writes. */
export class OutputWatch {
  readonly #outputs: readonly WatchedOutput[]
  #timer: NodeJS.Timeout

  /** @param onFull - called again and again while too much waits */
  constructor(outputs: readonly WatchedOutput[], onFull: () => void) {
    this.#outputs = outputs
    // Every writer is seen by this, a debug console and a trace among them. It also keeps the process while a guest is halted.
    const look = (): void => {
      const pending = this.pendingBytes
      this.#timer = globalThis.setTimeout(look, pending > 0 ? LOOK_MS : IDLE_LOOK_MS)
      if (pending > FULL_BYTES) onFull()
    }
    this.#timer = globalThis.setTimeout(look, LOOK_MS)
  }

  /** Number of bytes that wait for their readers. */
  get pendingBytes(): number {
    return pendingOf(this.#outputs)
  }

  /**
   * Waits until little waits for readers.
   *
   * @param signal - ends the wait
   * @param milliseconds - ends the wait too
   */
  async drained(signal: AbortSignal, milliseconds: number): Promise<void> {
    const started = performance.now()
    while (this.pendingBytes > DRAINED_BYTES && !signal.aborted && performance.now() - started < milliseconds) {
      await setTimeout(LOOK_MS)
    }
  }

  /**
   * Waits until nothing waits for the readers of some outputs.
   *
   * @returns how many bytes still wait after `signal` was aborted
   */
  async empty(outputs: readonly WatchedOutput[], signal: AbortSignal): Promise<number> {
    while (pendingOf(outputs) > 0 && !signal.aborted) {
      await setTimeout(LOOK_MS)
    }
    return pendingOf(outputs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}

const pendingOf = (outputs: readonly WatchedOutput[]): number =>
  outputs.reduce((sum, { writableLength = 0 }) => sum + writableLength, 0)
