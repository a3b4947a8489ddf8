import { TWO_32 } from '@retrap/basics'
import { Instant, Stateful, type Word64 } from '@retrap/device'

/** RUNSTATE_* (public/vcpu.h). */
export const Runstate: { readonly running: 0; readonly runnable: 1; readonly blocked: 2; readonly offline: 3 } = {
  running: 0,
  runnable: 1,
  blocked: 2,
  offline: 3,
}

const STATES = 4
/** The state is 64 bits wide if the next field is 64-bit aligned. */
const ENTRY_64 = 8
const ENTRY_32 = 4
export const RUNSTATE_BYTES_64 = 48
export const RUNSTATE_BYTES_32 = 44

/** Adds the time from one instant to another, which no number need hold. */
function addTime(sum: Instant, from: Readonly<Word64>, to: Readonly<Word64>): Instant {
  return sum.add((to.hi - from.hi) * TWO_32).add(to.lo - from.lo)
}

function putWords(view: DataView, at: number, { lo, hi }: Readonly<Word64>): void {
  view.setUint32(at, lo, true)
  view.setUint32(at + 4, hi, true)
}

/** A vCPU's times in each state, in nanoseconds of system time. */
export class VcpuRunstate extends Stateful {
  readonly #r = this.keeps({
    state: 0,
    /** Time at which the state was entered. */
    since: new Instant(),
    /** Time in each state before `since`. */
    spent: Array.from({ length: STATES }, () => new Instant()),
  })

  constructor(state: number, now: Readonly<Word64>) {
    super()
    this.#r.state = state
    this.#r.since.set(now)
  }

  get state(): number {
    return this.#r.state
  }

  enter(state: number, now: Readonly<Word64>): void {
    addTime(this.#r.spent[this.state]!, this.#r.since, now)
    this.#r.state = state
    this.#r.since.set(now)
  }

  /** struct vcpu_runstate_info, as it is at `now`. */
  encode(compat: boolean, now: Readonly<Word64>): Uint8Array {
    const entry = compat ? ENTRY_32 : ENTRY_64
    const bytes = new Uint8Array(compat ? RUNSTATE_BYTES_32 : RUNSTATE_BYTES_64)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, this.state, true)
    putWords(view, entry, this.#r.since)
    for (let i = 0; i < STATES; i++) {
      const spent = new Instant().set(this.#r.spent[i]!)
      if (i === this.state) addTime(spent, this.#r.since, now)
      putWords(view, entry + 8 + 8 * i, spent)
    }
    return bytes
  }
}
