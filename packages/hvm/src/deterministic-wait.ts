import { Instant } from '@retrap/device'
import type { RunLoopParts } from './run-loop-parts.ts'
import type { VirtualCpu } from './virtual-cpu.ts'

/** The loop that waits. */
export interface WaitingLoop {
  /** Whether something has happened since the loop last looked. */
  isWoken(): boolean
  /** Notes whether something has happened. */
  setWoken(woken: boolean): void
  /** The domain has an exit. */
  ended(): boolean
  /** Prepares a vCPU to go on. @returns whether it may */
  mayGoOn(vcpu: VirtualCpu): boolean
  /** 0: the event loop has one turn. `Infinity`: until something wakes the loop. */
  sleep(ms: number): Promise<unknown>
}

/** The wait for the host on deterministic time, while no vCPU executes and no time passes. */
export class DeterministicWait {
  readonly #parts: RunLoopParts
  readonly #loop: WaitingLoop
  /** A vCPU waits for memory, and tries again when anything has happened. */
  #stalled = false

  constructor(parts: RunLoopParts, loop: WaitingLoop) {
    this.#parts = parts
    this.#loop = loop
  }

  /** Whether an answer or an acknowledgement is still to come. */
  get pending(): boolean {
    const { vcpus, dispatch, invalidations } = this.#parts
    for (const { id } of vcpus) if (dispatch.unanswered(id) || invalidations.waits(id)) return true
    return false
  }

  /**
   * Waits until what is waited for may be there.
   *
   * @param stalled - a vCPU waits for memory: until anything has happened
   */
  begin(stalled: boolean): Promise<unknown> {
    const { vcpus, invalidations, dispatch } = this.#parts
    const loop = this.#loop
    loop.setWoken(false)
    this.#stalled = stalled
    // Notices of what has left the guest go out, by halted vCPUs too: what is waited for may wait for them.
    for (const vcpu of vcpus) {
      if (!invalidations.flagged(vcpu.id) || dispatch.unanswered(vcpu.id)) continue
      // A vCPU that may go on now is what was waited for.
      if (loop.mayGoOn(vcpu)) loop.setWoken(true)
    }
    return loop.sleep(0).then(this.#hostHadTurn)
  }

  /**
   * The event loop has had its turn since a vCPU began to wait. That turn is taken even where the answer is there: a model
   * may have more to do in promises of its own, at the virtual instant of its answer.
   */
  readonly #hostHadTurn = (): Promise<unknown> | void => {
    if (this.#loop.ended() || this.#loop.isWoken() || !(this.#stalled || this.pending)) return
    if (this.#stalled || !this.#heldByMappings()) return this.#loop.sleep(Infinity).then(this.#turnForHost)
    const { clock, timers } = this.#parts
    const deadline = new Instant()
    if (!timers.readNextDeadline(deadline)) return
    clock.skipTo(deadline)
    timers.expire()
  }

  readonly #turnForHost = (): Promise<unknown> | void => (this.#loop.ended() ? undefined : this.#loop.sleep(0))

  /**
   * Whether all that is waited for is the end of mappings that models of this process hold: their deterministic time goes
   * on, for it may be a timer of theirs that ends them. Nothing that the host does is waited for.
   */
  #heldByMappings(): boolean {
    const { clock, timers, vcpus, dispatch, invalidations } = this.#parts
    if (!clock.deterministic || timers.nextDeadlineNs === Infinity) return false
    return vcpus.every(
      ({ id }) => !dispatch.pending(id) || (invalidations.waits(id) && dispatch.invalidationHolder(id) !== undefined),
    )
  }
}
