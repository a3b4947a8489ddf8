import { performance } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'

/** Bytes that may wait for readers before the machine waits too. */
const FULL_BYTES = 1 << 20
/** Below this the machine goes on. */
const DRAINED_BYTES = 1 << 16
const LOOK_MS = 20
/** Between two looks where nothing waits. */
const EMPTY_LOOK_MS = 100
/** The same while the machine is idle: a look wakes the host, and may cost as much as a tick of the guest. */
const IDLE_LOOK_MS = 1000
/** An idle machine takes less of the time than this, even where the host is busy. */
const IDLE_SHARE = 0.1

/** A stream that a guest's output goes to. */
export interface WatchedOutput {
  /** Bytes that were written and that the reader has not taken. */
  readonly writableLength?: number
}

/** Watches streams for readers that take less than the guest writes. */
export class OutputWatch {
  readonly #outputs: readonly WatchedOutput[]
  #timer: NodeJS.Timeout

  /**
   * @param onFull - called again and again while too much waits
   * @param busyShare - returns the share of the time since its last call in which the process did not wait
   */
  constructor(outputs: readonly WatchedOutput[], onFull: () => void, busyShare: () => number = eventLoopShare()) {
    this.#outputs = outputs
    // Every writer is seen by this, a debug console and a trace among them. It also keeps the process while a guest is halted.
    const look = (): void => {
      const pending = this.pendingBytes
      const emptyMs = busyShare() < IDLE_SHARE ? IDLE_LOOK_MS : EMPTY_LOOK_MS
      this.#timer = globalThis.setTimeout(look, pending > 0 ? LOOK_MS : emptyMs)
      if (pending > FULL_BYTES) onFull()
    }
    this.#timer = globalThis.setTimeout(look, LOOK_MS)
  }

  /** Bytes that wait for their readers. */
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
      // oxlint-disable-next-line no-await-in-loop -- a look at the streams, again and again
      await setTimeout(LOOK_MS)
    }
  }

  /**
   * Waits until nothing waits for the readers of some outputs.
   *
   * @returns how many bytes still wait when `signal` has ended it
   */
  async empty(outputs: readonly WatchedOutput[], signal: AbortSignal): Promise<number> {
    while (pendingOf(outputs) > 0 && !signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop
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

/** Returns a function that tells for which share of the time since its last call the event loop was busy. */
function eventLoopShare(): () => number {
  let last = performance.eventLoopUtilization()
  return () => {
    const before = last
    last = performance.eventLoopUtilization()
    return performance.eventLoopUtilization(last, before).utilization
  }
}
