import { type DeviceContext, Instant, type Timer } from '@retrap/device'

/** Undefined: already ended. */
type Ended = Promise<unknown> | undefined

/**
 * The accesses of the guest's that have a late act come before its time, as on PCI: a write to the device is not passed by
 * another access, and the answer to a read pushes the device's writes into memory.
 */
export type PushedBy = 'accesses' | 'reads' | 'nothing'

/** Late acts that must precede an access: a device's own read of memory must not overtake its writes either. */
const PUSHED: Readonly<Record<'read' | 'write' | 'dma', readonly PushedBy[]>> = {
  read: ['accesses', 'reads'],
  write: ['accesses'],
  dma: ['reads'],
}

interface HeldAct {
  readonly deadline: Instant
  readonly pushedBy: PushedBy
  readonly release: () => unknown
}

/** Acts that are late: each comes at an instant of the guest's clock. */
export class HeldActs {
  readonly #clock: DeviceContext['clock']
  readonly #timer: Timer
  /** Held acts in order of their instants. */
  #held: HeldAct[] = []

  /** @param context - the model's context, for its clock and a timer */
  constructor(context: Pick<DeviceContext, 'clock' | 'timer'>) {
    this.#clock = context.clock
    this.#timer = context.timer((_, deadline) => {
      const due = this.#held.filter((each) => each.deadline.since(deadline) <= 0)
      return this.#release(due) as Promise<void> | undefined
    })
  }

  /**
   * Has an act come `ns` later.
   *
   * @returns drops the act
   */
  hold(ns: number, pushedBy: PushedBy, release: () => unknown): () => void {
    const deadline = new Instant()
    this.#clock.read(deadline)
    deadline.add(ns)
    const at = this.#held.findIndex((each) => deadline.isBefore(each.deadline))
    const act = { deadline, pushedBy, release }
    this.#held.splice(at < 0 ? this.#held.length : at, 0, act)
    this.#arm()
    return () => {
      this.#held = this.#held.filter((each) => each !== act)
      this.#arm()
    }
  }

  /**
   * The guest reads or writes the device, or the device reads memory: acts that must precede it come now.
   *
   * @returns resolves when the acts have ended
   */
  push(by: keyof typeof PUSHED): Ended {
    if (this.#held.length === 0) return
    return this.#release(this.#held.filter(({ pushedBy }) => PUSHED[by].includes(pushedBy)))
  }

  /** Releases all held acts now. @returns resolves when they have ended */
  releaseAll(): Ended {
    return this.#release(this.#held)
  }

  /** Drops all. */
  drop(): void {
    this.#held = []
    this.#timer.cancel()
  }

  #release(acts: readonly HeldAct[]): Ended {
    this.#held = this.#held.filter((each) => !acts.includes(each))
    this.#arm()
    let last: Ended
    for (const { release } of acts) {
      // In sequence: a write that waits for its device precedes the acts after it.
      const ended = last === undefined ? release() : last.then(release)
      if (ended instanceof Promise) last = ended
    }
    return last
  }

  #arm(): void {
    const next = this.#held[0]
    if (next === undefined) this.#timer.cancel()
    else this.#timer.armAfter(0, next.deadline)
  }
}
