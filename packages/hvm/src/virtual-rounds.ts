import { Instant } from '@retrap/device'
import type { TimerQueue } from '@retrap/device/host'
import type { DomainClock } from './clock.ts'
import { HvmError } from './errors.ts'
import type { OutsideInputs } from './outside-inputs.ts'
import type { CpuExit, VirtualCpu } from './virtual-cpu.ts'

/** Instructions of a vCPU's turn. */
export const TURN = 10_000
/** A device access that is waited for costs a turn as much as so many instructions. */
const WAIT_COST = 100

/** Holds where a round is: whose turn it is, and what is left of it. */
export interface RoundState {
  /** Version of this shape. */
  readonly version: 1
  /** The vCPU whose turn it is, by position; as many as there are: a round ends. */
  readonly next: number
  /** The timers of this round have fired. */
  readonly begun: boolean
  /** Its turn has begun. */
  readonly inTurn: boolean
  /** Instructions that are left of the turn. */
  readonly left: number
  /** Instructions that the turn has taken, and that the clock has not counted yet. */
  readonly spent: number
  /** In this round, a vCPU has executed something. */
  readonly ran: boolean
  /** Something has happened since inputs were asked for; absent: no. */
  readonly moved?: boolean
  /** The turn cannot end before the next instruction, even if nothing is left of it; absent: it can. */
  readonly goesOn?: boolean
}

/** What the rounds ask of the loop that they are part of. */
export interface RoundsHost {
  readonly vcpus: readonly VirtualCpu[]
  readonly clock: DomainClock
  readonly timers: TimerQueue
  /** What comes from outside, at instants of its own; null: when the host has it. */
  inputs(): OutsideInputs | null
  /** The domain has an exit. */
  ended(): boolean
  /** The domain is to pause, and no instruction is under way. */
  pauses(): boolean
  /** Lets models finish what they were last given to do. @returns what is to be awaited, or null: they have */
  settle(): Promise<unknown> | null
  /** Whether an answer or an acknowledgement is still to come. */
  waitsForHost(): boolean
  /** Whether a vCPU waits for memory that a pager or the release of other memory brings. */
  waitsForMemory(id: number): boolean
  /**
   * Waits until it may be there.
   *
   * @param stalled - a vCPU waits for memory: until anything has happened
   */
  waitForHost(stalled: boolean): Promise<unknown>
  /** Whether the event loop is to have its turn, after so many more instructions. */
  visitDue(instructions: number): boolean
  /** 0: the event loop has one turn. `Infinity`: until something wakes the loop. */
  sleep(ms: number): Promise<unknown>
  /** Whether something is to be done before a vCPU's next instruction. */
  flagged(id: number): boolean
  /** Does that. @returns whether the vCPU may go on */
  mayGoOn(vcpu: VirtualCpu): boolean
  /** Whether a debugger has a vCPU stay where it is. */
  holds(vcpu: VirtualCpu): boolean
  /** Whether a vCPU has something to execute. */
  mayRun(vcpu: VirtualCpu): boolean
  beginTurn(vcpu: VirtualCpu): void
  /** @param alone - one instruction, and no more */
  execute(vcpu: VirtualCpu, budget: number, alone: boolean): CpuExit
  /** Whether it was stopped for the sake of a model, and goes on when that is done. */
  interrupted(vcpu: VirtualCpu): boolean
  /** Counts an exit, and does what it asks for. */
  handle(vcpu: VirtualCpu, exit: CpuExit): void
  endTurn(vcpu: VirtualCpu, reason: string): void
}

/**
 * The order in which things happen on deterministic time: timers that are due, then each vCPU's turn, round by round. It
 * follows from what the guest executes, and from nothing that the host does or how long it takes:
 *
 * - a device model is asked, and the machine waits for its answer: no vCPU executes, and no time passes. A write that
 *   nobody waits for, and a timer's notice, are waited for in the same way when the model is in another thread or process;
 * - when the answer is there, the same vCPU goes on with what is left of its turn;
 * - a pause comes when models have finished what they were last given to do, and no instruction is under way: what comes
 *   after it is as if it had not been;
 * - the event loop may have its turn between any two turns of vCPUs, as often as the host's clock says. Nothing of the
 *   guest's moves meanwhile.
 */
export class VirtualRounds {
  readonly #host: RoundsHost
  /** The vCPU whose turn it is, by position; all have had theirs: a round ends. */
  #next = 0
  /** The timers of this round have fired. */
  #begun = false
  #inTurn = false
  /** What is left of the turn that is under way; it may be less than nothing where the vCPU is not between two steps. */
  #left = 0
  /** What it has taken. */
  #spent = 0
  /** In this round, a vCPU has executed something. */
  #ran = false
  /** Since the inputs were asked last, something has happened by itself. */
  #moved = false
  /** vCPUs that have had to wait for memory in this round. */
  #stalled = 0
  /** The turn was saved where it could not end: its processor is told when it is there. */
  #forcesOn = false
  /** Where time goes on to when all vCPUs wait. */
  readonly #deadline = new Instant()

  constructor(host: RoundsHost) {
    this.#host = host
  }

  /** Goes on until something is to be awaited. @returns it; null: the domain has an exit */
  run(): Promise<unknown> | null {
    const host = this.#host
    let units = 0
    while (!host.ended()) {
      const settled = host.settle()
      // A frame from a model elsewhere may have stopped the machine just now.
      if (host.ended()) return null
      const waits = settled !== null || host.waitsForHost()
      if (waits) host.inputs()?.waits()
      if (settled !== null) return settled
      if (waits) return host.waitForHost(false)
      if (host.pauses()) return null
      if (host.visitDue(units)) return host.sleep(0)
      units = 0
      if (!this.#begun) {
        const moved = this.#moved
        this.#moved = false
        const wait = host.inputs()?.begin(moved) ?? null
        if (wait !== null) return wait
        if (host.ended()) return null
        this.#begun = true
        // What a model goes on with in a promise, it does before the guest executes again.
        if (host.timers.expire() > 0) {
          this.#moved = true
          return host.sleep(0)
        }
        // What was asked for by `begin` comes before anything is executed: nothing is due then.
        if (host.pauses()) return null
      }
      const vcpu = host.vcpus[this.#next]
      if (vcpu !== undefined) units = this.#turn(vcpu)
      else {
        const wait = this.#endRound()
        if (wait !== null) return wait
      }
    }
    return null
  }

  /** @returns what is to be awaited where nothing is left that could happen by itself */
  #endRound(): Promise<unknown> | null {
    const host = this.#host
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
      const waiting = host.vcpus.filter(({ id }) => host.waitsForMemory(id)).length
      return waiting < stalled ? null : host.waitForHost(true)
    }
    if (!host.timers.readNextDeadline(this.#deadline)) {
      const inputs = host.inputs()
      // A timer has fired: inputs are counted in rounds, and the next one has not begun.
      if (inputs !== null && this.#moved) return null
      return inputs?.idle() ?? host.sleep(Infinity)
    }
    host.clock.skipTo(this.#deadline)
    this.#moved = true
    return null
  }

  /** Runs a vCPU until its turn is over, or it waits for the host. @returns what that took, in instructions */
  #turn(vcpu: VirtualCpu): number {
    const host = this.#host
    if (host.flagged(vcpu.id) && !host.mayGoOn(vcpu)) {
      // Where it waits for nobody, something else of this round has to happen first.
      if (!host.waitsForHost()) {
        this.#ran = true
        this.#end(vcpu, 'blocked')
      }
      return TURN
    }
    // What it was in the middle of may have stopped the machine.
    if (host.ended()) return 0
    if (host.holds(vcpu)) {
      if (this.#inTurn) this.#end(vcpu, 'budget')
      else this.#next++
      return 0
    }
    if (!this.#inTurn) {
      if (!host.mayRun(vcpu)) {
        this.#next++
        return 0
      }
      host.beginTurn(vcpu)
      this.#inTurn = true
      this.#left = TURN
    }
    if (this.#forcesOn) {
      this.#forcesOn = false
      vcpu.cpu.turnMayEnd = false
    }
    const before = vcpu.cpu.cost
    const left = this.#left
    const inputs = host.inputs()
    const budget = inputs === null ? left : inputs.budget(left)
    if (budget === null) return 0
    const alone = inputs?.alone === true && vcpu.cpu.step !== undefined
    const exit = host.execute(vcpu, budget, alone)
    let cost = vcpu.cpu.cost - before
    host.handle(vcpu, exit)
    // A vCPU that was stopped before it executed anything has its turn before time goes on.
    if (exit.reason === 'budget' || exit.reason === 'pause') this.#ran = true
    const stalled = exit.reason === 'blocked' && host.waitsForMemory(vcpu.id)
    if (exit.reason === 'blocked' && !stalled) cost += WAIT_COST
    this.#spent += cost
    this.#left -= cost
    // A vCPU that waits for memory leaves the others their turns: one of them may give some back.
    if (stalled) this.#stalled++
    if (stalled || !this.#goesOn(vcpu, exit, alone, budget < left)) this.#end(vcpu, exit.reason)
    else if (host.ended()) this.#account()
    // A turn that was stopped early may have taken any time of the host: a hypercall is one instruction of much work.
    const early = exit.reason === 'yield' || stalled || (exit.reason === 'budget' && cost < budget)
    return Math.max(cost, early ? TURN : 1)
  }

  /**
   * Whether a vCPU goes on with its turn when the host has done what it is to do.
   *
   * @param alone - it has executed one instruction
   * @param isCut - it was given less than what is left of the turn
   */
  #goesOn(vcpu: VirtualCpu, exit: CpuExit, alone: boolean, isCut: boolean): boolean {
    if (exit.reason === 'yield') return true
    if (alone && exit.reason === 'budget') return this.#left > 0 || vcpu.cpu.turnMayEnd === false
    if (exit.reason === 'budget') return this.#left > 0 && (isCut || this.#host.interrupted(vcpu))
    return (exit.reason === 'blocked' || exit.reason === 'debug') && this.#left > 0
  }

  #end(vcpu: VirtualCpu, reason: string): void {
    this.#account()
    this.#host.endTurn(vcpu, reason)
    this.#inTurn = false
    this.#next++
  }

  /** Time passes for what a turn has taken. */
  #account(): void {
    if (this.#spent > 0) this.#ran = true
    this.#host.clock.advance(this.#spent)
    this.#spent = 0
  }

  /** Where the round is that is under way, by name; no vCPU waits for an answer. */
  save(): RoundState {
    const goesOn = this.#inTurn && this.#host.vcpus[this.#next]?.cpu.turnMayEnd === false
    return {
      version: 1,
      next: this.#next,
      begun: this.#begun,
      inTurn: this.#inTurn,
      left: this.#left,
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

  /** Power-on: what was under way is no more. */
  reset(): void {
    this.#next = 0
    this.#begun = false
    this.#inTurn = false
    this.#spent = 0
    this.#ran = false
    this.#moved = false
    this.#stalled = 0
    this.#forcesOn = false
  }
}
