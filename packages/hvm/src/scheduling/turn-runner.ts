import type { Word64 } from '@retrap/device'
import type { CpuExit, DebugWatch, Paravirtual, TurnWatch, VirtualCpu } from '../virtual-cpu.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'

/**
 * Decides when outside inputs enter a domain on deterministic time: keys, packets, a press of the power button. Rounds of
 * the vCPUs consult it between two of them, so that a replay gets the same inputs at the same instants.
 */
export interface OutsideInputs {
  /**
   * Delivers inputs to their models, before a round.
   *
   * @param moved - since the last call something has happened by itself: a vCPU has executed, a timer has fired, or time has
   *   gone on. This follows from what the guest executes, so that such calls can be counted
   * @returns a promise to wait for; the call is repeated then, with false. Null: the round begins
   */
  begin(moved: boolean): Promise<unknown> | null
  /**
   * All vCPUs wait, and no timer is armed: nothing happens without an input.
   *
   * @returns a promise to wait for; null: until an event wakes the domain
   */
  idle(): Promise<unknown> | null
  /** Whether a reset hides the events before it from `begin`, as in earlier releases. Absent: no. */
  readonly losesResets?: boolean
  /**
   * Called when all vCPUs wait for a timer, before time jumps to its deadline. Absent: time jumps.
   *
   * @returns host time to wait first, in milliseconds, or until something wakes the domain: a round follows, which begins at
   *   the time that it is then. 0: time goes on
   */
  early?(deadline: Readonly<Word64>): number
  /** The machine is about to wait for the host, which is busy with something that the guest asked for. */
  waits(): void
  /**
   * Limits a vCPU's budget, so that the others run earlier; it continues its turn afterwards.
   *
   * @param most - rest of its turn, which may be zero or less
   * @returns at most `most`; null where the domain has been stopped
   */
  budget(most: number): number | null
  /** The next instruction is executed alone: the domain is to stop soon, and exactly somewhere. Asked after `budget`. */
  readonly alone: boolean
}

/** Instructions of a vCPU's turn. */
export const TURN = 10_000
/**
 * Instructions of a turn on the host's clock that generated code cannot execute: they may take long, and a longer turn has
 * no more of them.
 */
export const MOST_CALLS: number = 4 * TURN

/** An instruction was finished, and its vCPU's turn continues even without budget: an event may follow. */
const FINISHED: CpuExit = { reason: 'yield' }

/** Executes one vCPU at a time, for a schedule that says which: its turns, and the instructions that wait for an answer. */
export class TurnRunner {
  readonly #domain: ScheduledDomain
  readonly #run: RunState
  readonly #mostCalls: number | undefined
  /** Whether no vCPU executes, while timers and models continue. */
  asleep = false
  /** Some vCPU has executed. Exceptions alone retire nothing, and write memory. */
  hasExecuted = false
  /** A hypervisor's own interface for guests: a hypercall may stop a vCPU. */
  paravirtual: Pick<Paravirtual, 'mayRun' | 'beforeTurn' | 'afterTurn'> | null = null
  /** Decides when inputs enter on deterministic time; null: as the host delivers them. */
  inputs: OutsideInputs | null = null
  /** Called for each turn; null: nothing observes it. */
  watch: TurnWatch | null = null
  /**
   * Takes the cost of an instruction that was finished outside of `execute`, and its exit, into the vCPU's turn. False: it is
   * not its turn. Null: time passes at once for what has retired.
   */
  takesCost: ((vcpu: VirtualCpu, cost: number, exit: CpuExit | undefined) => boolean) | null = null
  /** Called for vCPUs that stop for a debugger; null: no debugger. */
  debug: DebugWatch | null = null
  readonly #exits: Record<string, number> = {}
  /** Exits of the kind `blocked`, counted apart: every access that is waited for has one. */
  #blockedExits = 0

  constructor(domain: ScheduledDomain, run: RunState) {
    this.#domain = domain
    this.#run = run
    this.#mostCalls = domain.clock.deterministic ? undefined : MOST_CALLS
  }

  /** Exits by kind. */
  get exits(): Readonly<Record<string, number>> {
    return this.#blockedExits === 0 ? this.#exits : { ...this.#exits, blocked: this.#blockedExits }
  }

  /**
   * Executes a vCPU. Its exit, and the time that has passed, are the caller's to account for.
   *
   * @param how - `alone`: a single instruction, if the processor can execute just one; `finish`: the rest of the instruction
   * in progress
   */
  execute(vcpu: VirtualCpu, budget: number, how: 'turn' | 'alone' | 'finish' = 'turn'): CpuExit {
    const run = this.#run
    run.interrupted = false
    run.current = vcpu
    this.hasExecuted = true
    this.watch?.begin(vcpu)
    const { cpu } = vcpu
    const { memoryChanges } = this.#domain
    const exit =
      how === 'finish'
        ? (cpu.settle() ?? FINISHED)
        : ((how === 'alone' ? cpu.step?.() : undefined) ?? cpu.run(budget, this.#mostCalls))
    // The processor has come back: a stop by a watcher does not end the next turn.
    run.current = null
    this.watch?.end(vcpu)
    if (memoryChanges.isWaiting) memoryChanges.stopped()
    vcpu.turnEnded()
    return exit
  }

  /** Counts an exit, and handles it. @returns whether the vCPU can continue at once */
  count(vcpu: VirtualCpu, exit: CpuExit): boolean {
    if (exit.reason === 'blocked') {
      this.#blockedExits++
      return false
    }
    this.#exits[exit.reason] = (this.#exits[exit.reason] ?? 0) + 1
    return this.handle(vcpu, exit)
  }

  /** Does what an exit asks for. @returns whether the vCPU can go on at once */
  handle(vcpu: VirtualCpu, exit: CpuExit): boolean {
    switch (exit.reason) {
      case 'budget':
      case 'yield':
      case 'pause':
        return true
      case 'debug':
        this.#run.stop({ reason: 'pause' })
        this.debug?.stopped(vcpu)
        return true
      case 'shutdown':
        this.#run.stop({ reason: 'vcpu-shutdown', vcpu: vcpu.id })
        return false
      case 'error':
        this.#run.stop({ reason: 'internal-error', vcpu: vcpu.id, error: exit.error })
        return false
      default:
        // hlt, blocked, wait-for-sipi
        return false
    }
  }

  /**
   * Prepares a flagged vCPU to continue: completes its instruction, then sends the notice and waits for its acknowledgement.
   *
   * @returns whether the vCPU may continue
   */
  mayGoOn(vcpu: VirtualCpu): boolean {
    const { invalidations, secondLevel, dispatch } = this.#domain
    if (invalidations.waits(vcpu.id)) return false
    if (vcpu.cpu.busy) {
      const exit = this.settle(vcpu)
      if (exit !== undefined) {
        this.handle(vcpu, exit)
        // A vCPU that waits for memory, not for a response, may wait for the servers that the notice goes to.
        if (!secondLevel.waits(vcpu.id)) return false
      }
    }
    const may = invalidations.resume(vcpu.id)
    if (!may && !dispatch.requests.has(vcpu.id)) this.#run.wake()
    return may
  }

  /** Completes a vCPU's instruction in progress; the map does not change meanwhile. @returns as `VirtualProcessor.settle` */
  settle(vcpu: VirtualCpu): CpuExit | undefined {
    const { cpu } = vcpu
    const { cost, retired } = cpu
    const { memoryChanges } = this.#domain
    this.#run.current = vcpu
    const exit = cpu.settle()
    this.#run.current = null
    if (memoryChanges.isWaiting) memoryChanges.stopped()
    if (this.takesCost?.(vcpu, cpu.cost - cost, exit) !== true) this.#domain.clock.advance(cpu.retired - retired)
    return exit
  }
}
