import type { VirtualCpu } from '../virtual-cpu.ts'
import { type HostPace, LOOK } from './host-pace.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'
import type { TurnRunner } from './turn-runner.ts'

/** A timer due within this time shortens the turn, so that the timer is not late by a whole turn. */
const SOON_NS = 200_000
const SOON_TURN = 2000
/** Cost of a round, in instructions. */
const ROUND_COST = 256

/** The next microtask. */
const NOW = Promise.resolve()

/** The loop that a schedule is part of. */
export interface ScheduleLoop {
  /** Continues the loop. */
  readonly go: () => void
  /** Ends the loop with an error. */
  readonly fail: (error: unknown) => void
}

/**
 * The schedule on the host's clock.
 *
 * A device's answer may be one microtask away, and then nothing else is in between: neither a turn of the event loop nor a
 * timer of the host. The event loop has its turn every few milliseconds of host time, whatever the guest executes, and where
 * an answer does not come without.
 */
export class HostSchedule {
  protected readonly domain: ScheduledDomain
  protected readonly run: RunState
  protected readonly turns: TurnRunner
  protected readonly pace: HostPace
  readonly #loop: ScheduleLoop
  /** Waits for an answer, or for anything else that wakes it. */
  waiting = false
  /** A turn of the event loop has been asked for, for the sake of an answer. */
  #turnAsked = false
  /** Whether to check all vCPUs, because of an event; otherwise only those that are awake. */
  #lookAtAll = true
  readonly #awake: VirtualCpu[] = []
  #awakeCount = 0
  /** Number of vCPUs that did something in their last turns. */
  #busy = Infinity
  /** A timer is due within a short turn or two. */
  #timerSoon = false

  constructor(domain: ScheduledDomain, run: RunState, turns: TurnRunner, pace: HostPace, loop: ScheduleLoop) {
    this.domain = domain
    this.run = run
    this.turns = turns
    this.pace = pace
    this.#loop = loop
    run.onWake = this.#wake
  }

  /** A run begins. */
  begin(): void {
    this.#lookAtAll = true
  }

  /** Whether the run ends now. */
  get ends(): boolean {
    return this.run.exit !== null
  }

  /** Whether a PAUSE instruction ends the vCPU's turn, for another vCPU or for events of the event loop. */
  endsAtPause(): boolean {
    return this.#busy > 1 || this.run.woken || this.pace.noteSpin(this.domain.clock)
  }

  readonly #wake = (): void => {
    this.#lookAtAll = true
    if (!this.waiting) return
    this.waiting = false
    void NOW.then(this.#loop.go)
  }

  /**
   * Called when a vCPU's request has its response.
   *
   * @param mayRun - the caller has nothing left to do: the vCPU runs on in its stead, if the loop waits for nothing else
   */
  answered(mayRun: boolean): void {
    if (!mayRun || !this.waiting) return this.run.wake()
    this.waiting = false
    // The vCPU is awake: continue the loop.
    this.#loop.go()
  }

  /** Runs one turn of every vCPU with work. @returns a promise to wait for before the next round, or null */
  advance(): Promise<unknown> | null {
    const { vcpus, invalidations, dispatch, servers, clock } = this.domain
    const run = this.run
    const turns = this.turns
    const { paravirtual } = turns
    const pace = this.pace
    run.woken = false
    pace.unseen += ROUND_COST
    const visit = pace.lookDue && this.#lookAtTime()
    const turn = this.#timerSoon ? Math.min(pace.turn, SOON_TURN) : pace.turn
    // Servers process messages of their clients.
    for (let i = 0; i < servers.length; i++) servers[i]!.pump?.()
    let busy = 0
    let ready = 0
    let blocked = 0
    const awake = this.#awake
    // Some vCPUs of a Xen guest have a pending event that could not be delivered before.
    const all = this.#lookAtAll || paravirtual !== null
    this.#lookAtAll = false
    const count = all ? vcpus.length : this.#awakeCount
    if (all) this.#awakeCount = 0
    for (let i = 0; i < count; i++) {
      const vcpu = (all ? vcpus[i] : awake[i]) as VirtualCpu
      if (run.exit !== null) return null
      const flagged = invalidations.flagged(vcpu.id)
      if (all && (flagged || !vcpu.dormant)) awake[this.#awakeCount++] = vcpu
      if (flagged && !turns.mayGoOn(vcpu)) {
        if (dispatch.requests.has(vcpu.id)) blocked++
        continue
      }
      if (paravirtual?.mayRun(vcpu.id) === false) continue
      if (vcpu.dormant || turns.asleep || turns.debug?.holds(vcpu.id) === true) continue
      const before = vcpu.cpu.retired
      paravirtual?.beforeTurn(vcpu.id)
      clock.executing = true
      const exit = turns.execute(vcpu, turn)
      clock.executing = false
      const retired = vcpu.cpu.retired - before
      paravirtual?.afterTurn(vcpu.id, exit.reason)
      const isReady = turns.count(vcpu, exit)
      if (exit.reason === 'blocked') {
        pace.unseen += retired
        blocked++
        if (retired > 0) busy++
        continue
      }
      if (exit.reason === 'budget') pace.usedUp = true
      // Few instructions may have taken long: a hypercall is one of much work, and ends its turn as PAUSE does.
      const { reason } = exit
      pace.unseen += reason === 'budget' || reason === 'yield' || reason === 'pause' ? LOOK : retired
      if (isReady) ready++
      else if (retired > 0) busy++
    }
    this.#busy = ready + busy
    if (run.exit !== null) return null
    // A vCPU that has just halted may have made time pass.
    if (ready > 0 || run.woken || (busy > 0 && blocked === 0)) {
      if (visit || pace.spins) return pace.sleep(0)
      // An answer that is a microtask away does not wait for the others' turns of the event loop.
      return blocked > 0 ? NOW : null
    }
    if (blocked > 0) {
      if (visit) return pace.sleep(0)
      this.waiting = true
      this.#askTurn()
      return null
    }
    return pace.sleep(this.msToDeadline())
  }

  /** Fires timers that are due. @returns whether the event loop is to have its turn */
  #lookAtTime(): boolean {
    const { clock, timers } = this.domain
    clock.executing = !this.pace.slept
    let now = clock.now()
    clock.executing = false
    const visit = this.pace.look(now)
    if (now >= timers.nextDeadlineNs) {
      timers.expire()
      now = clock.now()
      this.pace.expired(now)
    }
    this.#timerSoon = timers.nextDeadlineNs < now + SOON_NS
    return visit
  }

  /** Some vCPU waits for a device, and no other can go on: the answer may need the event loop. */
  #askTurn(): void {
    if (this.#turnAsked) return
    this.#turnAsked = true
    void this.pace.sleep(0).then(this.#turnTaken)
  }

  /** The event loop has had its turn: where an answer is still to come, it takes more than microtasks. */
  readonly #turnTaken = (): void => {
    this.#turnAsked = false
    if (!this.waiting) return
    this.waiting = false
    this.pace.sleep(this.msToDeadline()).then(this.#loop.go, this.#loop.fail)
  }

  protected msToDeadline(): number {
    const { clock, timers } = this.domain
    const deadline = timers.nextDeadlineNs
    return deadline === Infinity ? Infinity : Math.max(0, (deadline - clock.now()) / 1e6)
  }
}
