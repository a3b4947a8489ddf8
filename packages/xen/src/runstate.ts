/** RUNSTATE_* (public/vcpu.h). */
export const Runstate: { readonly running: 0; readonly runnable: 1; readonly blocked: 2; readonly offline: 3 } = {
  running: 0,
  runnable: 1,
  blocked: 2,
  offline: 3,
}

const STATES = 4
/** The state is 64 bits wide where what follows is aligned to it. */
const ENTRY_64 = 8
const ENTRY_32 = 4
export const RUNSTATE_BYTES_64 = 48
export const RUNSTATE_BYTES_32 = 44

/** Saved form of a {@link VcpuRunstate}. */
export interface RunstateState {
  readonly state: number
  /** When it was entered. */
  readonly since: number
  /** Nanoseconds in each state before that. */
  readonly spent: readonly number[]
}

/** A vCPU's times in each state, in nanoseconds of system time. */
export class VcpuRunstate {
  state: number
  #since: number
  readonly #spent = new Float64Array(STATES)

  constructor(state: number, now: number) {
    this.state = state
    this.#since = now
  }

  enter(state: number, now: number): void {
    this.#spent[this.state]! += now - this.#since
    this.state = state
    this.#since = now
  }

  /** struct vcpu_runstate_info, as it is at `now`. */
  encode(compat: boolean, now: number): Uint8Array {
    const entry = compat ? ENTRY_32 : ENTRY_64
    const bytes = new Uint8Array(compat ? RUNSTATE_BYTES_32 : RUNSTATE_BYTES_64)
    const view = new DataView(bytes.buffer)
    view.setInt32(0, this.state, true)
    view.setBigUint64(entry, BigInt(Math.floor(this.#since)), true)
    for (let i = 0; i < STATES; i++) {
      const spent = this.#spent[i]! + (i === this.state ? now - this.#since : 0)
      view.setBigUint64(entry + 8 + 8 * i, BigInt(Math.floor(spent)), true)
    }
    return bytes
  }

  save(): RunstateState {
    return { state: this.state, since: this.#since, spent: [...this.#spent] }
  }

  restore({ state, since, spent }: RunstateState): void {
    this.state = state
    this.#since = since
    this.#spent.set(spent)
  }
}
