import { Instant } from '@retrap/device'
import { HvmError } from '../errors.ts'
import type { CpuExit, VirtualCpu } from '../virtual-cpu.ts'
import type { HostPace } from './host-pace.ts'
import { ModelSettling } from './model-settling.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'
import { TURN, type TurnRunner } from './turn-runner.ts'

/** A device access that is waited for costs a turn as much as this many instructions. */
const WAIT_COST = 100

/** A round's state: the present vCPU and the rest of its turn. */
export interface RoundState {
  /** Version of this shape. */
  readonly version: 1
  /** Index of the vCPU whose turn is next; equal to the number of vCPUs at the end of a round. */
  readonly next: number
  /** The timers of this round have fired. */
  readonly begun: boolean
  /** Whether its turn has begun. */
  readonly inTurn: boolean
  /** Instructions that are left of the turn; 0 between turns. */
  readonly left: number
  /** Instructions that the turn has taken, and that the clock has not counted yet. */
  readonly spent: number
  /** In this round, a vCPU has executed something. */
  readonly ran: boolean
  /** Something has happened since inputs were asked for; absent: no. */
  readonly moved?: boolean
  /** Whether the turn cannot end before the next instruction, even if its budget is used up; absent: false. */
  readonly goesOn?: boolean
}

/**
 * The schedule on deterministic time: timers that are due, then each vCPU's turn, round by round. It
 * follows from what the guest executes, and from nothing that the host does or how long it takes:
 *
 * - a device model is asked, and the machine waits for its answer: no vCPU executes, and no time passes. A write that
 *   nobody waits for, and a timer's notice, are waited for in the same way when the model is in another thread or process;
 * - when the answer is there, the same vCPU goes on with what is left of its turn;
 * - a pause comes when models have finished what they were last given to do, and no instruction is under way: what comes
 *   after it is as if it had not been. An instruction that is under way is finished in its vCPU's turn;
 * - the event loop may have its turn between any two turns of vCPUs, as often as the host's clock says. Nothing of the
 *   guest's moves meanwhile.
 */
export class DeterministicSchedule {
  readonly #domain: ScheduledDomain
  readonly #run: RunState
  readonly #turns: TurnRunner
  readonly #pace: HostPace
  readonly #settling: ModelSettling
  /** The schedule waits for promises only. */
  readonly waiting = false
  /** Index of the vCPU whose turn is next; equal to the number of vCPUs at the end of a round. */
  #next = 0
  /** The timers of this round have fired. */
  #begun = false
  #inTurn = false
  /** Remaining budget of the present turn; it may be negative between two steps. */
  #left = 0
  /** The part of the turn that is spent. */
  #spent = 0
  /** In this round, a vCPU has executed something. */
  #ran = false
  /** Whether any event of the domain has occurred since the inputs were last queried. */
  #moved = false
  /** vCPUs that have had to wait for memory in this round. */
  #stalled = 0
  /** Whether the turn was saved at a place where it cannot end: the restored processor is notified. */
  #forcesOn = false
  /** Time to which the clock jumps when all vCPUs wait. */
  readonly #deadline = new Instant()

  /** A vCPU waits for memory, and tries again when anything has happened. */
  #waitsForMemory = false

  constructor(domain: ScheduledDomain, run: RunState, turns: TurnRunner, pace: HostPace) {
    this.#domain = domain
    this.#run = run
    this.#turns = turns
    this.#pace = pace
    this.#settling = new ModelSettling(domain)
    run.onStop = () => this.#settling.stop()
    turns.takesCost = this.#takesCost
  }

  /** See `Domain.spent`. */
  get spent(): number {
    return this.#spent
  }

  /** Whether the run ends now: a pause and a sleep have their instant. */
  get ends(): boolean {
    return this.#run.exit !== null && !this.#isToStandStill
  }

  /** Whether the run ends as soon as no instruction is in progress. */
  get #isToStandStill(): boolean {
    const reason = this.#run.exit?.reason
    return reason === 'pause' || reason === 'sleep'
  }

  /**
   * The run ends. A device elsewhere stops it while an instruction waits for the answer, or once that has come, as the host
   * has it: the time of the turn counts either way.
   */
  ended(): void {
    if (this.ends && this.#run.exit?.reason !== 'stopped') this.#account()
  }

  /** Whether a vCPU has had a turn, or waits for one: pending work ends only within a round. */
  get isUnderWay(): boolean {
    return this.#begun || this.#inTurn || this.#next > 0 || this.#moved
  }

  /** Whether the domain has to pause, and no instruction is in progress. */
  get #pauses(): boolean {
    return this.#isToStandStill && !this.#domain.vcpus.some(({ cpu }) => cpu.busy)
  }

  /**
   * Whether a PAUSE instruction ends the vCPU's turn, for another vCPU. This depends on the vCPUs alone, because the host's
   * timing must not affect a guest.
   */
  endsAtPause(): boolean {
    const { current } = this.#run
    for (const vcpu of this.#domain.vcpus) if (vcpu !== current && !vcpu.dormant) return true
    return false
  }

  /** Waits until models have finished their work, without executing instructions. */
  async settleModels(): Promise<void> {
    for (let wait = this.#settling.begin(); wait !== null; wait = this.#settling.begin()) await wait
  }

  /** A vCPU's request has its answer. */
  answered(): void {
    this.#run.wake()
  }

  /** Goes on until something is to be awaited. @returns it; null: the domain has an exit */
  advance(): Promise<unknown> | null {
    const { vcpus, timers } = this.#domain
    const pace = this.#pace
    let units = 0
    this.#run.hostHasTurn = false
    while (!this.ends) {
      const { inputs } = this.#turns
      const settled = this.#settling.begin()
      // A message of a remote model may have stopped the machine just now.
      if (this.ends) return null
      const waits = settled !== null || this.#waitsForHost
      if (waits) inputs?.waits()
      if (settled !== null) return settled
      if (waits) return this.#waitForHost(false)
      if (this.#pauses) return null
      pace.unseen += units
      if (pace.lookDue && pace.look(performance.now() * 1e6)) return this.#leave(pace.sleep(0))
      units = 0
      if (!this.#begun) {
        const moved = this.#moved
        this.#moved = false
        const wait = inputs?.begin(moved) ?? null
        if (wait !== null) return this.#leave(wait)
        if (this.ends) return null
        this.#begun = true
        // A model continues in its promise before the guest executes again.
        if (timers.expire() > 0) {
          this.#moved = true
          return pace.sleep(0)
        }
        // Work that `begin` asked for comes before anything is executed: nothing is due then.
        if (this.#pauses) return null
      }
      const vcpu = vcpus[this.#next]
      if (vcpu !== undefined) units = this.#turn(vcpu)
      else {
        const wait = this.#endRound()
        if (wait !== null) return this.#leave(wait)
      }
    }
    return null
  }

  /** Leaves the event loop its turn, while no model has been asked for anything. */
  #leave(wait: Promise<unknown>): Promise<unknown> {
    this.#run.hostHasTurn = true
    return wait
  }

  /** @returns a promise to wait for if no event of the domain is left */
  #endRound(): Promise<unknown> | null {
    const { vcpus, secondLevel, timers, clock } = this.#domain
    const { inputs } = this.#turns
    const stalled = this.#stalled
    this.#next = 0
    this.#begun = false
    this.#stalled = 0
    const ran = this.#ran
    this.#ran = false
    this.#moved ||= ran
    if (ran) return null
    if (stalled > 0) {
      // The memory may have come since: then nothing else may be there to end a wait.
      const waiting = vcpus.filter(({ id }) => secondLevel.waits(id)).length
      return waiting < stalled ? null : this.#waitForHost(true)
    }
    if (!timers.readNextDeadline(this.#deadline)) {
      // A timer has fired: inputs are counted in rounds, and the next one has not begun.
      if (inputs !== null && this.#moved) return null
      return inputs?.idle() ?? this.#pace.sleep(Infinity)
    }
    if (inputs?.early !== undefined) {
      // Count the effects of timers before a possible wait: inputs are delivered in a round of their own.
      if (this.#moved) return null
      const earlyMs = inputs.early(this.#deadline)
      if (earlyMs > 0) return this.#pace.sleep(earlyMs)
    }
    clock.skipTo(this.#deadline)
    this.#moved = true
    return null
  }

  /** Runs a vCPU until its turn is over, or it waits for the host. @returns what that took, in instructions */
  #turn(vcpu: VirtualCpu): number {
    const { invalidations, secondLevel } = this.#domain
    const turns = this.#turns
    const { inputs } = turns
    if (invalidations.flagged(vcpu.id) && !turns.mayGoOn(vcpu)) {
      // If the round does not wait for the host, another event of it has to happen first.
      if (!this.#waitsForHost) {
        this.#ran = true
        this.#end(vcpu, 'blocked')
      }
      return TURN
    }
    // The model's work may have stopped the machine.
    if (this.ends) return 0
    if (turns.debug?.holds(vcpu.id) === true) {
      if (this.#inTurn) this.#end(vcpu, 'budget')
      else this.#next++
      return 0
    }
    if (!this.#inTurn && !this.#beginTurn(vcpu)) {
      this.#account()
      this.#next++
      return 0
    }
    if (this.#forcesOn) {
      this.#forcesOn = false
      vcpu.cpu.turnMayEnd = false
    }
    const before = vcpu.cpu.cost
    const left = this.#left
    // A debugger has stopped it where its turn is over: no instruction follows, and an event may be delivered still.
    const isOver = left <= 0 && vcpu.cpu.turnMayEnd !== false
    const budget = inputs === null || isOver ? left : inputs.budget(left)
    if (budget === null) return 0
    const alone = !isOver && inputs?.alone === true && vcpu.cpu.step !== undefined
    vcpu.cpu.laterBudget = left - budget
    // A machine that is to stand still begins nothing new.
    const finishes = this.#isToStandStill && vcpu.cpu.busy
    const exit = turns.execute(vcpu, budget, finishes ? 'finish' : alone ? 'alone' : 'turn')
    let cost = vcpu.cpu.cost - before
    turns.count(vcpu, exit)
    // A vCPU that was stopped before its first instruction gets its turn before time advances.
    if (exit.reason === 'budget' || exit.reason === 'pause') this.#ran = true
    const stalled = exit.reason === 'blocked' && secondLevel.waits(vcpu.id)
    if (exit.reason === 'blocked' && !stalled) cost += this.#waitCost(vcpu.id)
    this.#spend(cost)
    // A vCPU that waits for memory yields to the others, which may free some.
    if (stalled) this.#stalled++
    if (stalled || !this.#goesOn(vcpu, exit, alone, budget < left)) this.#end(vcpu, exit.reason)
    else vcpu.cpu.goOn?.()
    // A turn that was stopped early may have taken any time of the host: a hypercall is one instruction of much work, and ends
    // its turn as PAUSE does.
    const { reason } = exit
    const early = reason === 'yield' || reason === 'pause' || stalled || (reason === 'budget' && cost < budget)
    return Math.max(cost, early ? TURN : 1)
  }

  /** Begins a vCPU's turn, unless it has nothing to execute. @returns whether it has begun */
  #beginTurn(vcpu: VirtualCpu): boolean {
    const { asleep, paravirtual } = this.#turns
    if (asleep || paravirtual?.mayRun(vcpu.id) === false || vcpu.dormant) return false
    paravirtual?.beforeTurn(vcpu.id)
    this.#inTurn = true
    this.#left = TURN - this.#spent
    return true
  }

  /**
   * Whether a vCPU continues its turn after the host's work.
   *
   * @param alone - whether the vCPU has executed a single instruction
   * @param isCut - whether its budget was less than the rest of the turn
   */
  #goesOn(vcpu: VirtualCpu, exit: CpuExit, alone: boolean, isCut: boolean): boolean {
    if (exit.reason === 'yield') return true
    if (exit.reason === 'budget') {
      // After a stop where its turn cannot end, the vCPU continues as without the stop.
      const isLeft = this.#left > 0 || vcpu.cpu.turnMayEnd === false
      return isLeft && (alone || isCut || this.#isInterrupted(vcpu))
    }
    if (exit.reason === 'debug') return true
    // Where the answer would have been there at once, the turn would not have ended in the instruction.
    return exit.reason === 'blocked' && (this.#left > 0 || this.#waitCost(vcpu.id) === 0)
  }

  /** Whether the vCPU was interrupted for a model, and resumes when its work is done. */
  #isInterrupted({ id }: VirtualCpu): boolean {
    const { interrupted, exit } = this.#run
    return interrupted || exit !== null || this.#domain.invalidations.flagged(id)
  }

  /** An instruction was finished for the sake of a notice to device models, of which the guest may not see anything. */
  readonly #takesCost = (vcpu: VirtualCpu, cost: number, exit: CpuExit | undefined): boolean => {
    const { vcpus, secondLevel } = this.#domain
    if (this.ends || vcpus[this.#next] !== vcpu) return false
    // The instruction is the first of the turn that would have come for it.
    if (!this.#inTurn) this.#beginTurn(vcpu)
    this.#spend(exit?.reason === 'blocked' && !secondLevel.waits(vcpu.id) ? cost + this.#waitCost(vcpu.id) : cost)
    return true
  }

  #waitCost(vcpu: number): number {
    for (const { remote } of this.#domain.servers) if (remote.waitsForNothing(vcpu)) return 0
    return WAIT_COST
  }

  #spend(cost: number): void {
    this.#spent += cost
    this.#left -= cost
  }

  #end(vcpu: VirtualCpu, reason: string): void {
    this.#account()
    this.#turns.paravirtual?.afterTurn(vcpu.id, reason)
    this.#inTurn = false
    this.#next++
  }

  /** Advances time by a turn's cost. */
  #account(): void {
    if (this.#spent > 0) this.#ran = true
    this.#domain.clock.advance(this.#spent)
    this.#spent = 0
  }

  // ---------------------------------------------------------------- the host, while no vCPU executes and no time passes

  /** Whether an answer or an acknowledgement is still to come. */
  get #waitsForHost(): boolean {
    const { vcpus, dispatch, invalidations } = this.#domain
    for (const { id } of vcpus) if (dispatch.requests.unanswered(id) || invalidations.waits(id)) return true
    return false
  }

  /**
   * Waits for the host's event that the domain needs.
   *
   * @param stalled - a vCPU waits for memory: until anything has happened
   */
  #waitForHost(stalled: boolean): Promise<unknown> {
    const { vcpus, invalidations, dispatch } = this.#domain
    const run = this.#run
    run.woken = false
    this.#waitsForMemory = stalled
    // Send notices of removed frames, also by halted vCPUs: the awaited event may depend on the acknowledgement.
    for (const vcpu of vcpus) {
      if (!invalidations.flagged(vcpu.id) || dispatch.requests.unanswered(vcpu.id)) continue
      // A vCPU that may continue ends the wait.
      if (this.#turns.mayGoOn(vcpu)) run.woken = true
    }
    return this.#pace.sleep(0).then(this.#hostHadTurn)
  }

  /**
   * The event loop has had its turn since a vCPU began to wait. That turn is taken even where the answer is there: a model
   * may have more to do in promises of its own, at the virtual instant of its answer.
   */
  readonly #hostHadTurn = (): Promise<unknown> | void => {
    if (this.ends || this.#run.woken || !(this.#waitsForMemory || this.#waitsForHost)) return
    if (this.#waitsForMemory || !this.#heldByMappings())
      return this.#pace.sleep(Infinity).then(() => (this.ends ? undefined : this.#pace.sleep(0)))
    const { clock, timers } = this.#domain
    const deadline = new Instant()
    if (!timers.readNextDeadline(deadline)) return
    clock.skipTo(deadline)
    timers.expire()
  }

  /**
   * Whether all that is waited for is the end of mappings that models of this process hold: their deterministic time goes
   * on, for it may be a timer of theirs that ends them. Nothing that the host does is waited for.
   */
  #heldByMappings(): boolean {
    const { timers, vcpus, dispatch, invalidations } = this.#domain
    if (timers.nextDeadlineNs === Infinity) return false
    return vcpus.every(
      ({ id }) => !dispatch.requests.has(id) || (invalidations.waits(id) && dispatch.requests.holder(id) !== undefined),
    )
  }

  // ---------------------------------------------------------------- the round, to be saved

  /** Where the round is that is under way, by name; no vCPU waits for an answer. */
  save(): RoundState {
    // The domain may have been restored, and not have run since.
    const mustGoOn = this.#forcesOn || this.#domain.vcpus[this.#next]?.cpu.turnMayEnd === false
    const goesOn = this.#inTurn && mustGoOn
    return {
      version: 1,
      next: this.#next,
      begun: this.#begun,
      inTurn: this.#inTurn,
      left: this.#inTurn ? this.#left : 0,
      spent: this.#spent,
      ran: this.#ran,
      ...(this.#moved && { moved: true }),
      ...(goesOn && { goesOn }),
    }
  }

  /** Goes on in the round that was saved. @throws HvmError `ERR_STATE` for a state of another version */
  restore(state: RoundState): void {
    if (state?.version !== 1)
      throw new HvmError('ERR_STATE', `state of a round of version ${String(state?.version)}: expected 1`)
    this.#spent = 0
    this.reset()
    this.#next = state.next
    this.#begun = state.begun
    this.#inTurn = state.inTurn
    this.#left = state.left
    this.#spent = state.spent
    this.#ran = state.ran
    this.#moved = state.moved ?? false
    this.#forcesOn = state.goesOn ?? false
  }

  /** Resets at power-on: pending work is dropped, but its time counts. */
  reset(): void {
    this.#account()
    this.#next = 0
    this.#begun = false
    this.#inTurn = false
    // The round that the reset ends counts: inputs before and after the reset are in different rounds.
    this.#moved = (this.#moved || this.#ran) && this.#turns.inputs?.losesResets !== true
    this.#ran = false
    this.#stalled = 0
    this.#forcesOn = false
  }
}
