import { Instant, type Word64 } from '@retrap/device'
import type { ApicTimer } from '@retrap/irqchip'
import type { ThreadClock } from './thread-clock.ts'
import { TWO_32 } from '@retrap/basics'

/** The timers of a vCPU's thread: its local APIC's, whose turn it is between two runs of the processor. */
export class ThreadTimer {
  readonly #clock: ThreadClock
  readonly #deadlines: { at: number; readonly fire: () => void }[] = []
  readonly #from = new Instant()

  constructor(clock: ThreadClock) {
    this.#clock = clock
  }

  /** Makes a timer: see `ApicClock`. */
  create(fire: () => void): ApicTimer {
    const one = { at: Infinity, fire }
    this.#deadlines.push(one)
    return {
      armAfter: (delayNs: number, from: Readonly<Word64>) => {
        this.#from.set(from)
        this.#from.add(delayNs)
        one.at = this.#from.hi * TWO_32 + this.#from.lo
      },
      cancel: () => {
        one.at = Infinity
      },
    }
  }

  /** Fires what is due. @returns nanoseconds to the next deadline */
  expire(): number {
    let next = Infinity
    for (const one of this.#deadlines) if (one.at < next) next = one.at
    if (next === Infinity) return next
    const now = this.#clock.now()
    if (now < next) return next - now
    for (const one of this.#deadlines) {
      if (one.at > now) continue
      one.at = Infinity
      one.fire()
    }
    return this.expire()
  }
}
