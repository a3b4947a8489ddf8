import { DeterministicWait } from './deterministic-wait.ts'
import type { DomainExit } from './domain-options.ts'
import { HostPace, LOOK, MOST_CALLS } from './host-pace.ts'
import { ModelSettling } from './model-settling.ts'
import type { OutsideInputs } from './outside-inputs.ts'
import type { Paravirtual } from './paravirtual.ts'
import { PendingInstructions } from './pending-instructions.ts'
import type { RunLoopParts } from './run-loop-parts.ts'
import type { CpuExit, DebugWatch, TurnWatch, VirtualCpu } from './virtual-cpu.ts'
import { VirtualRounds, type RoundsHost, type RoundState } from './virtual-rounds.ts'

/** A timer that is due within this time makes the turn shorter, so that it is not late by a whole one. */
const SOON_NS = 200_000
const SOON_TURN = 2000
/** A round counts as so many instructions. */
const ROUND_COST = 256
/** Host time that devices have to answer what is under way when one of them stops the machine. */
const STOP_DEADLINE_MS = 1000

/** Exits that a device asks for. */
const ENDS_AT_A_DEVICE: ReadonlySet<DomainExit['reason']> = new Set(['power-off', 'reset', 'debug-exit', 'sleep'])

/** Whether the machine goes on by itself after an exit. */
const passes = ({ reason }: DomainExit): boolean => reason === 'sleep' || reason === 'wake' || reason === 'pause'

/** The next microtask. */
const NOW = Promise.resolve()

/**
 * Runs a domain's vCPUs in turn, its timers, and its servers' events; and waits where nothing can go on.
 *
 * On the host's clock a device's answer may be one microtask away, and then nothing else is in between: neither a turn of
 * the event loop nor a timer of the host. The event loop has its turn every few milliseconds of host time, whatever the
 * guest executes, and where an answer does not come without. On deterministic time {@link VirtualRounds} has the order.
 */
export class RunLoop {
  readonly #parts: RunLoopParts
  #exit: DomainExit | null = null
  /** Something has happened since the round began. */
  #woken = false
  /** Waits for an answer, or for anything else that wakes it. */
  #waiting = false
  /** A turn of the event loop has been asked for, for the sake of an answer. */
  #turnAsked = false
  /** Something has happened since all vCPUs were looked at; until then only those that were not asleep are. */
  #lookAtAll = true
  readonly #awake: VirtualCpu[] = []
  #awakeCount = 0
  /** vCPUs that did something in their last turns. */
  #busy = Infinity
  /** A timer is due within a short turn or two. */
  #timerSoon = false
  /** The vCPU that executes has been stopped for a model elsewhere, and not because its turn is over. */
  #interrupted = false
  readonly #rounds: VirtualRounds | null
  readonly #settling: ModelSettling
  readonly #pace: HostPace
  readonly #instructions: PendingInstructions
  readonly #wait: DeterministicWait
  /** `run` is under way. */
  running = false
  /** No vCPU executes. Timers, models and the waits for them go on. */
  asleep = false
  /** A hypervisor's own interface for guests: a hypercall may stop a vCPU. */
  paravirtual: Pick<Paravirtual, 'mayRun' | 'beforeTurn' | 'afterTurn'> | null = null
  /** Decides when inputs come on deterministic time; null: they come when the host has them. */
  inputs: OutsideInputs | null = null
  /** Told of each turn; null: nobody looks. */
  turns: TurnWatch | null = null
  /** Told of vCPUs that stop for a debugger; null: there is none. */
  debug: DebugWatch | null = null
  /** The vCPU that is executing now. */
  current: VirtualCpu | null = null
  #ended: PromiseWithResolvers<DomainExit> | null = null
  readonly #exits: Record<string, number> = {}
  /** Of these, those that come with every access that is waited for. */
  #blockedExits = 0

  constructor(parts: RunLoopParts) {
    this.#parts = parts
    this.#settling = new ModelSettling(parts)
    this.#pace = new HostPace(parts.vcpus)
    this.#instructions = new PendingInstructions(parts, {
      setCurrent: (vcpu) => {
        this.current = vcpu
      },
      wake: () => this.wake(),
      handle: (vcpu, exit) => this.#handle(vcpu, exit),
      sleep: (ms) => this.#sleep(ms),
    })
    this.#wait = new DeterministicWait(parts, {
      isWoken: () => this.#woken,
      setWoken: (woken) => {
        this.#woken = woken
      },
      ended: () => this.#ends,
      mayGoOn: (vcpu) => this.#instructions.mayGoOn(vcpu),
      sleep: (ms) => this.#sleep(ms),
    })
    this.#rounds = parts.clock.deterministic ? new VirtualRounds(this.#roundsHost()) : null
  }

  #roundsHost(): RoundsHost {
    const { vcpus, clock, timers, invalidations, secondLevel } = this.#parts
    return {
      vcpus,
      clock,
      timers,
      inputs: () => this.inputs,
      ended: () => this.#ends,
      pauses: () => this.#exit?.reason === 'pause' && !vcpus.some(({ cpu }) => cpu.busy),
      settle: () => this.#settling.begin(),
      waitsForHost: () => this.#wait.pending,
      waitsForMemory: (id) => secondLevel.waits(id),
      waitForHost: (stalled) => this.#wait.begin(stalled),
      visitDue: (instructions) => {
        this.#pace.unseen += instructions
        return this.#pace.lookDue && this.#pace.look(performance.now() * 1e6)
      },
      sleep: (ms) => this.#sleep(ms),
      flagged: (id) => invalidations.flagged(id),
      mayGoOn: (vcpu) => this.#instructions.mayGoOn(vcpu),
      holds: (vcpu) => this.debug?.holds(vcpu.id) === true,
      mayRun: (vcpu) => !this.asleep && this.paravirtual?.mayRun(vcpu.id) !== false && !vcpu.dormant,
      execute: (vcpu, budget, alone) => this.execute(vcpu, budget, alone),
      interrupted: (vcpu) => this.#interrupted || this.#exit !== null || invalidations.flagged(vcpu.id),
      handle: (vcpu, exit) => {
        if (exit.reason === 'blocked') this.#blockedExits++
        else this.#count(vcpu, exit)
      },
      beginTurn: ({ id }) => this.paravirtual?.beforeTurn(id),
      endTurn: ({ id }, reason) => this.paravirtual?.afterTurn(id, reason),
    }
  }

  /** Whether `run` ends now. On deterministic time a pause has its instant: see {@link VirtualRounds}. */
  get #ends(): boolean {
    return this.#exit !== null && (this.#rounds === null || this.#exit.reason !== 'pause')
  }

  /** Where the round of deterministic time is; null on the host's clock. */
  saveRound(): RoundState | null {
    return this.#rounds?.save() ?? null
  }

  /** Goes on in a round that was saved; null, and on the host's clock: in a new one. */
  restoreRound(state: RoundState | null): void {
    if (state !== null) this.#rounds?.restore(state)
  }

  /** Exits by kind. */
  get exits(): Readonly<Record<string, number>> {
    return this.#blockedExits === 0 ? this.#exits : { ...this.#exits, blocked: this.#blockedExits }
  }

  /** Whether the vCPU that executes PAUSE is to end its turn: for another one, or for what only the event loop can bring. */
  endsAtPause(): boolean {
    return this.#isContended || (this.#rounds === null && this.#pace.noteSpin(this.#parts.clock))
  }

  /** Another vCPU is busy, or may have something to do now. */
  get #isContended(): boolean {
    // On deterministic time this is a matter of the vCPUs alone: a guest may not notice what the host does, and when.
    if (this.#rounds !== null) {
      for (const vcpu of this.#parts.vcpus) if (vcpu !== this.current && !vcpu.dormant) return true
      return false
    }
    return this.#busy > 1 || this.#woken
  }

  /** A model elsewhere has been given something to do: on deterministic time no instruction is executed before it is done. */
  interrupt(): void {
    this.#interrupted = true
    this.current?.cpu.stop()
  }

  /** Something has happened that a waiting loop must look at. */
  wake(): void {
    this.#woken = true
    this.#lookAtAll = true
    if (this.#waiting) {
      this.#waiting = false
      void NOW.then(this.#go)
    }
    this.#parts.sleeper.wake()
  }

  /**
   * A vCPU's request has its answer.
   *
   * @param mayRun - the caller has nothing left to do: the vCPU runs on in its stead, if the loop waits for nothing else
   */
  answered(mayRun: boolean): void {
    if (!mayRun || !this.#waiting) return this.wake()
    this.#waiting = false
    // It is one of those that are awake.
    this.#go()
  }

  /** Ends `run` with the first exit given. An exit after which the machine goes on by itself gives way to any other. */
  stop(exit: DomainExit): void {
    if (this.#exit === null || (passes(this.#exit) && !passes(exit))) this.#exit = exit
    // The others look before they execute anything.
    this.current?.cpu.stop()
    this.#settling.stop()
    this.wake()
  }

  /** Power-on: the next round is the first. What the caller has asked for stays. */
  reset(): void {
    if (this.#exit?.reason !== 'stopped') this.#exit = null
    this.#rounds?.reset()
  }

  /** Forgets an exit that was given. */
  clear(): void {
    this.#exit = null
  }

  /** Runs until there is an exit. */
  async run(): Promise<DomainExit> {
    this.running = true
    this.#lookAtAll = true
    this.#ended = Promise.withResolvers<DomainExit>()
    this.#pace.slept = true
    this.#go()
    try {
      const exit = await this.#ended.promise
      if (ENDS_AT_A_DEVICE.has(exit.reason)) {
        // A device that stops the machine has yet to answer the instruction that made it do so: that one retires first,
        // however far the device is, and so does what else is under way.
        await this.finish(STOP_DEADLINE_MS, false)
      }
      return this.#exit ?? exit
    } finally {
      this.#ended = null
      this.running = false
    }
  }

  /**
   * Runs rounds until they have to wait; whatever ends the wait comes here again. No `await`: while a guest and a device
   * take turns, that would be half of what the loop does.
   */
  readonly #go = (): void => {
    try {
      let wait: Promise<unknown> | null
      do wait = this.#rounds === null ? this.#round() : this.#rounds.run()
      while (wait === null && !this.#waiting && this.#exit === null)
      if (this.#exit !== null && (wait === null || this.#ends)) this.#ended?.resolve(this.#exit)
      else if (wait !== null) wait.then(this.#go, this.#broken)
    } catch (error) {
      this.#broken(error)
    }
  }

  readonly #broken = (error: unknown): void => this.#ended?.reject(error)

  /** Executes a vCPU. Its exit, and the time that has passed, are the caller's to account for. */
  execute(vcpu: VirtualCpu, budget: number, alone = false): CpuExit {
    this.#interrupted = false
    this.current = vcpu
    this.turns?.begin(vcpu)
    const { cpu } = vcpu
    const stepped = alone ? cpu.step?.() : undefined
    const exit = stepped ?? (this.#rounds === null ? cpu.run(budget, MOST_CALLS) : cpu.run(budget))
    this.turns?.end(vcpu)
    this.current = null
    this.#parts.memoryChanges.stopped()
    vcpu.turnEnded()
    return exit
  }

  /** Lets servers take what their clients have sent. */
  #pump(): void {
    for (const server of this.#parts.servers) server.pump?.()
  }

  /** Counts an exit other than `blocked`, and does what it asks for. @returns whether the vCPU can go on at once */
  #count(vcpu: VirtualCpu, exit: CpuExit): boolean {
    this.#exits[exit.reason] = (this.#exits[exit.reason] ?? 0) + 1
    return this.#handle(vcpu, exit)
  }

  /** One turn of every vCPU that has something to do. @returns what is to be awaited before the next round, or null */
  #round(): Promise<unknown> | null {
    const { vcpus, invalidations, dispatch } = this.#parts
    const { paravirtual } = this
    const pace = this.#pace
    this.#woken = false
    pace.unseen += ROUND_COST
    const visit = pace.lookDue && this.#lookAtTime()
    const turn = this.#timerSoon ? Math.min(pace.turn, SOON_TURN) : pace.turn
    if (this.#parts.servers.length > 0) this.#pump()
    let busy = 0
    let ready = 0
    let blocked = 0
    const awake = this.#awake
    // Of a Xen guest's some are owed an event that could not be delivered before.
    const all = this.#lookAtAll || paravirtual !== null
    this.#lookAtAll = false
    const count = all ? vcpus.length : this.#awakeCount
    if (all) this.#awakeCount = 0
    for (let i = 0; i < count; i++) {
      const vcpu = (all ? vcpus[i] : awake[i]) as VirtualCpu
      if (this.#exit !== null) return null
      const flagged = invalidations.flagged(vcpu.id)
      if (all && (flagged || !vcpu.dormant)) awake[this.#awakeCount++] = vcpu
      if (flagged && !this.#instructions.mayGoOn(vcpu)) {
        if (dispatch.pending(vcpu.id)) blocked++
        continue
      }
      if (paravirtual?.mayRun(vcpu.id) === false) continue
      if (vcpu.dormant || this.asleep || this.debug?.holds(vcpu.id) === true) continue
      const before = vcpu.cpu.retired
      paravirtual?.beforeTurn(vcpu.id)
      const exit = this.execute(vcpu, turn)
      const retired = vcpu.cpu.retired - before
      paravirtual?.afterTurn(vcpu.id, exit.reason)
      if (exit.reason === 'blocked') {
        pace.unseen += retired
        blocked++
        this.#blockedExits++
        if (retired > 0) busy++
        continue
      }
      // A turn that is used up by few slow instructions also has the clock looked at.
      if (exit.reason === 'budget') pace.usedUp = true
      pace.unseen += exit.reason === 'budget' || exit.reason === 'yield' ? LOOK : retired
      if (this.#count(vcpu, exit)) ready++
      else if (retired > 0) busy++
    }
    this.#busy = ready + busy
    if (this.#exit !== null) return null
    // A vCPU that has just halted may have made time pass.
    if (ready > 0 || this.#woken || (busy > 0 && blocked === 0)) {
      if (visit || pace.spins) return this.#sleep(0)
      // An answer that is a microtask away does not wait for the others' turns of the event loop.
      return blocked > 0 ? NOW : null
    }
    if (blocked > 0) {
      if (visit) return this.#sleep(0)
      this.#waiting = true
      this.#askTurn()
      return null
    }
    return this.#sleep(this.#msToDeadline())
  }

  /** Fires timers that are due. @returns whether the event loop is to have its turn */
  #lookAtTime(): boolean {
    const { clock, timers } = this.#parts
    let now = clock.now()
    const stalled = this.#pace.stalled(now)
    if (stalled > 0) {
      clock.hold(stalled)
      now = clock.now()
    }
    const visit = this.#pace.look(now)
    if (now >= timers.nextDeadlineNs) timers.expire()
    this.#timerSoon = timers.nextDeadlineNs < now + SOON_NS
    return visit
  }

  /** @returns whether it can go on at once */
  #handle(vcpu: VirtualCpu, exit: CpuExit): boolean {
    switch (exit.reason) {
      case 'budget':
      case 'yield':
      case 'pause':
        return true
      case 'debug':
        this.stop({ reason: 'pause' })
        this.debug?.stopped(vcpu)
        return true
      case 'shutdown':
        this.stop({ reason: 'vcpu-shutdown', vcpu: vcpu.id })
        return false
      case 'error':
        this.stop({ reason: 'internal-error', vcpu: vcpu.id, error: exit.error })
        return false
      default:
        // hlt, blocked, wait-for-sipi
        return false
    }
  }

  /** Some vCPU waits for a device, and no other can go on: the answer may need the event loop. */
  #askTurn(): void {
    if (this.#turnAsked) return
    this.#turnAsked = true
    void this.#parts.sleeper.sleep(0).then(this.#turnTaken)
  }

  /** The event loop has had its turn: where an answer is still to come, it takes more than microtasks. */
  readonly #turnTaken = (): void => {
    this.#turnAsked = false
    this.#pace.slept = true
    if (!this.#waiting) return
    this.#waiting = false
    this.#sleep(this.#msToDeadline()).then(this.#go, this.#broken)
  }

  async #sleep(ms: number): Promise<void> {
    await this.#parts.sleeper.sleep(ms)
    this.#pace.slept = true
  }

  #msToDeadline(): number {
    const { clock, timers } = this.#parts
    const deadline = timers.nextDeadlineNs
    // While a device takes its time, no deterministic time passes.
    if (deadline === Infinity || clock.deterministic) return Infinity
    return Math.max(0, (deadline - clock.now()) / 1e6)
  }

  /**
   * Lets every instruction that is under way get its answers and retire, and begins no other.
   *
   * @param deadlineMs - host time that devices may take
   * @param acknowledged - also has every device model let go of what has left the guest
   * @returns numbers of the vCPUs that still wait
   */
  finish(deadlineMs: number, acknowledged: boolean): Promise<readonly number[]> {
    return this.#instructions.finish(deadlineMs, acknowledged)
  }
}
