import { TWO_32 } from '@retrap/basics'
import { Instant, type Word64 } from '@retrap/device'

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

/** Saved form of a {@link VcpuRunstate}. */
export interface RunstateState {
  readonly state: number
  /** Time at which the state was entered. */
  readonly since: Word64
  /** Nanoseconds in each state before `since`. */
  readonly spent: readonly Word64[]
}

/** Adds the time from one instant to another, which no number need hold. */
function addTime(sum: Instant, from: Readonly<Word64>, to: Readonly<Word64>): Instant {
  return sum.add((to.hi - from.hi) * TWO_32).add(to.lo - from.lo)
}

function putWords(view: DataView, at: number, { lo, hi }: Readonly<Word64>): void {
  view.setUint32(at, lo, true)
  view.setUint32(at + 4, hi, true)
}

/** A vCPU's times in each state, in nanoseconds of system time. */
export class VcpuRunstate {
  state: number
  readonly #since = new Instant()
  readonly #spent = Array.from({ length: STATES }, () => new Instant())

  constructor(state: number, now: Readonly<Word64>) {
    this.state = state
    this.#since.set(now)
  }

  enter(state: number, now: Readonly<Word64>): void {
    addTime(this.#spent[this.state]!, this.#since, now)
    this.state = state
    this.#since.set(now)
  }

  /** struct vcpu_runstate_info, as it is at `now`. */
  encode(compat: boolean, now: Readonly<Word64>): Uint8Array {
    const entry = compat ? ENTRY_32 : ENTRY_64
    const bytes = new Uint8Array(compat ? RUNSTATE_BYTES_32 : RUNSTATE_BYTES_64)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, this.state, true)
    putWords(view, entry, this.#since)
    for (let i = 0; i < STATES; i++) {
      const spent = new Instant().set(this.#spent[i]!)
      if (i === this.state) addTime(spent, this.#since, now)
      putWords(view, entry + 8 + 8 * i, spent)
    }
    return bytes
  }

  save(): RunstateState {
    return { state: this.state, since: this.#since.save(), spent: this.#spent.map((each) => each.save()) }
  }

  restore({ state, since, spent }: RunstateState): void {
    this.state = state
    this.#since.set(since)
    for (const [i, each] of this.#spent.entries()) each.set(spent[i]!)
  }
}
