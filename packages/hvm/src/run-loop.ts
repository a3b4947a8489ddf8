import type { TimerQueue } from '@retrap/device/host'
import type { IoDispatch } from '@retrap/ioreq'
import type { DomainClock } from './clock.ts'
import type { DomainExit, DomainServer } from './domain-options.ts'
import type { Invalidations } from './invalidation.ts'
import type { SecondLevelFaults } from './second-level.ts'
import type { Paravirtual } from './paravirtual.ts'
import type { Sleeper } from './sleeper.ts'
import type { CpuExit, VirtualCpu } from './virtual-cpu.ts'

/** Instructions a vCPU runs before timers are looked at and the next one has its turn. */
const TURN = 100_000
/** The same where several take turns: what one asks of another, such as a TLB shootdown, waits for as many turns as there are. */
const SHARED_TURN = 10_000
/** Host time between two visits to the event loop. */
const EVENT_LOOP_NS = 4_000_000
/** On the deterministic clock, rounds between two visits. */
const EVENT_LOOP_ROUNDS = 32
/** Instructions between two looks at the host's clock, which takes as long as a round may; a round counts as so many. */
const LOOK = 4096
const ROUND_COST = 256
/** How long `finish` waits for an answer before it looks again by itself. */
const LOOK_AGAIN_MS = 50
/** Host time that devices have to answer what is under way when one of them stops the machine. */
const STOP_DEADLINE_MS = 1000

const BLOCKED: CpuExit = { reason: 'blocked' }
/** The next microtask. */
const NOW = Promise.resolve()

/** What {@link RunLoop} drives. */
export interface RunLoopParts {
  readonly vcpus: readonly VirtualCpu[]
  readonly clock: DomainClock
  readonly timers: TimerQueue
  readonly servers: readonly DomainServer[]
  readonly sleeper: Sleeper
  readonly dispatch: Pick<IoDispatch, 'pending' | 'invalidationHolder'>
  readonly invalidations: Pick<Invalidations, 'flagged' | 'resume' | 'waits'>
  readonly secondLevel: Pick<SecondLevelFaults, 'waits'>
  /** A vCPU has stopped executing: every vCPU is between two instructions, or waits for a device. */
  stopped(): void
}

/**
 * Runs a domain's vCPUs in turn, its timers, and its servers' events; and waits where nothing can go on.
 *
 * A device's answer may be one microtask away, and then nothing else is in between: neither a turn of the event loop nor
 * a timer of the host. The event loop has its turn every few milliseconds, and where an answer does not come without.
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
  /** Time has passed while nothing ran. */
  #slept = true
  /** Something has happened since all vCPUs were looked at; until then only those that were not asleep are. */
  #lookAtAll = true
  readonly #awake: VirtualCpu[] = []
  #awakeCount = 0
  /** vCPUs that did something in their last turns. */
  #busy = Infinity
  /** When the event loop is to have its turn. */
  #nextVisit = 0
  #rounds = 0
  /** Instructions, and what rounds count for, since the host's clock was looked at. */
  #unseen = 0
  /** `run` is under way. */
  running = false
  /** A hypervisor's own interface for guests: a hypercall may stop a vCPU. */
  paravirtual: Pick<Paravirtual, 'mayRun' | 'beforeTurn' | 'afterTurn'> | null = null
  /** The vCPU that is executing now. */
  current: VirtualCpu | null = null
  #ended: PromiseWithResolvers<DomainExit> | null = null
  readonly #exits: Record<string, number> = {}
  /** Of these, those that come with every access that is waited for. */
  #blockedExits = 0

  constructor(parts: RunLoopParts) {
    this.#parts = parts
  }

  /** Exits by kind. */
  get exits(): Readonly<Record<string, number>> {
    return this.#blockedExits === 0 ? this.#exits : { ...this.#exits, blocked: this.#blockedExits }
  }

  /** Whether a vCPU that waits should let another run: one that is busy, or may have something to do now. */
  get contended(): boolean {
    return this.#busy > 1 || this.#woken
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

  /** Ends `run` with this exit, the first one given. */
  stop(exit: DomainExit): void {
    this.#exit ??= exit
    for (const vcpu of this.#parts.vcpus) vcpu.cpu.stop()
    this.wake()
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
    this.#slept = true
    this.#go()
    try {
      const exit = await this.#ended.promise
      if (exit.reason === 'power-off' || exit.reason === 'reset' || exit.reason === 'debug-exit') {
        // A device that stops the machine has yet to answer the instruction that made it do so: that one retires first,
        // however far the device is, and so does what else is under way.
        await this.finish(STOP_DEADLINE_MS, false)
      }
      return exit
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
      do wait = this.#round()
      while (wait === null && !this.#waiting && this.#exit === null)
      if (this.#exit !== null) this.#ended?.resolve(this.#exit)
      else if (wait !== null) wait.then(this.#go, this.#broken)
    } catch (error) {
      this.#broken(error)
    }
  }

  readonly #broken = (error: unknown): void => this.#ended?.reject(error)

  /** One turn of every vCPU that has something to do. @returns what is to be awaited before the next round, or null */
  #round(): Promise<unknown> | null {
    const { vcpus, clock, timers, servers, invalidations, dispatch } = this.#parts
    const { paravirtual } = this
    this.#woken = false
    const visit = this.#lookAtTime()
    if (servers.length > 0) {
      const settled = this.#pump()
      if (settled !== null) return settled
    }
    const turn = vcpus.length > 1 ? SHARED_TURN : TURN
    let busy = 0
    let ready = 0
    let blocked = 0
    const awake = this.#awake
    // A paravirtual guest's vCPUs may be owed an event that could not be delivered before.
    const all = this.#lookAtAll || paravirtual !== null
    this.#lookAtAll = false
    const count = all ? vcpus.length : this.#awakeCount
    if (all) this.#awakeCount = 0
    for (let i = 0; i < count; i++) {
      const vcpu = (all ? vcpus[i] : awake[i]) as VirtualCpu
      if (this.#exit !== null) return null
      const flagged = invalidations.flagged(vcpu.id)
      if (all && (flagged || !vcpu.dormant)) awake[this.#awakeCount++] = vcpu
      if (flagged && !this.#mayGoOn(vcpu)) {
        if (dispatch.pending(vcpu.id)) blocked++
        continue
      }
      if (paravirtual?.mayRun(vcpu.id) === false) continue
      const { cpu } = vcpu
      if (vcpu.dormant) continue
      const before = cpu.retired
      this.current = vcpu
      paravirtual?.beforeTurn(vcpu.id)
      const exit = cpu.run(turn)
      this.current = null
      this.#parts.stopped()
      vcpu.turnEnded()
      const retired = cpu.retired - before
      clock.advance(retired)
      // Few that take long use the turn up as well.
      this.#unseen += exit.reason === 'budget' || exit.reason === 'yield' ? turn : retired
      paravirtual?.afterTurn(vcpu.id, exit.reason)
      if (exit.reason === 'blocked') {
        blocked++
        this.#blockedExits++
        if (retired > 0) busy++
        continue
      }
      this.#exits[exit.reason] = (this.#exits[exit.reason] ?? 0) + 1
      if (this.#handle(vcpu, exit)) ready++
      else if (retired > 0) busy++
    }
    this.#busy = ready + busy
    if (this.#exit !== null) return null
    // Who has just come to a halt may have made time pass.
    if (ready > 0 || this.#woken || (busy > 0 && blocked === 0)) {
      if (visit) return this.#sleep(0)
      // An answer that is a microtask away does not wait for the others' turns of the event loop.
      return blocked > 0 ? NOW : null
    }
    if (blocked > 0) {
      if (visit) return this.#sleep(0)
      this.#waiting = true
      this.#askTurn()
      return null
    }
    if (clock.deterministic && timers.nextDeadlineNs !== Infinity) {
      clock.skipTo(timers.nextDeadlineNs)
      return this.#sleep(0)
    }
    return this.#sleep(this.#msToDeadline())
  }

  /** Fires timers. @returns whether the event loop is to have its turn */
  #lookAtTime(): boolean {
    const { clock, timers } = this.#parts
    if (clock.deterministic) {
      timers.expire()
      return ++this.#rounds % EVENT_LOOP_ROUNDS === 0
    }
    this.#unseen += ROUND_COST
    if (!this.#slept && this.#unseen < LOOK) return false
    const now = clock.now()
    if (now >= timers.nextDeadlineNs) timers.expire()
    // Whoever has slept has been there.
    if (this.#slept) this.#nextVisit = now + EVENT_LOOP_NS
    this.#slept = false
    this.#unseen = 0
    return now >= this.#nextVisit
  }

  /** @returns what the models are still to say, where it must not depend on how quick their thread is; or null */
  #pump(): Promise<unknown> | null {
    const { clock, servers } = this.#parts
    for (const server of servers) {
      server.pump?.()
      // What they make of a timer.
      if (clock.deterministic && server.remote.unsettled) return server.remote.settle().catch(() => {})
    }
    return null
  }

  /** Before a flagged vCPU goes on: finishes what is in the middle, then has the notice sent and waits for its end. */
  #mayGoOn(vcpu: VirtualCpu): boolean {
    if (this.#parts.invalidations.waits(vcpu.id)) return false
    if (vcpu.cpu.busy) {
      const exit = this.#settle(vcpu)
      if (exit !== undefined) {
        this.#handle(vcpu, exit)
        // One that waits for its memory, and not for an answer, may wait for those who are to be told.
        if (!this.#parts.secondLevel.waits(vcpu.id)) return false
      }
    }
    const may = this.#parts.invalidations.resume(vcpu.id)
    if (!may && !this.#parts.dispatch.pending(vcpu.id)) this.wake()
    return may
  }

  /** Goes on with what a vCPU is in the middle of; nobody else changes the map meanwhile. */
  #settle(vcpu: VirtualCpu): CpuExit | undefined {
    const { cpu } = vcpu
    const before = cpu.retired
    this.current = vcpu
    const exit = cpu.settle()
    this.current = null
    this.#parts.stopped()
    this.#parts.clock.advance(cpu.retired - before)
    return exit
  }

  /** @returns whether it can go on at once */
  #handle(vcpu: VirtualCpu, exit: CpuExit): boolean {
    switch (exit.reason) {
      case 'budget':
      case 'yield':
      case 'pause':
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
    this.#slept = true
    if (!this.#waiting) return
    this.#waiting = false
    if (this.#heldByMappings()) {
      this.#parts.clock.skipTo(this.#parts.timers.nextDeadlineNs)
      this.#go()
    } else this.#sleep(this.#msToDeadline()).then(this.#go, this.#broken)
  }

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

  async #sleep(ms: number): Promise<void> {
    await this.#parts.sleeper.sleep(ms)
    this.#slept = true
  }

  #msToDeadline(): number {
    const { clock, timers } = this.#parts
    const deadline = timers.nextDeadlineNs
    // While a device takes its time, no deterministic time passes.
    if (deadline === Infinity || clock.deterministic) return Infinity
    return Math.max(0, (deadline - clock.now()) / 1e6)
  }

  // ---------------------------------------------------------------- ends

  /**
   * Lets every instruction that is under way get its answers and retire, and begins no other.
   *
   * @param deadlineMs - host time that devices may take
   * @param acknowledged - also has every device model let go of what has left the guest
   * @returns numbers of the vCPUs that still wait
   */
  async finish(deadlineMs: number, acknowledged: boolean): Promise<readonly number[]> {
    const { vcpus, servers, invalidations } = this.#parts
    const until = performance.now() + deadlineMs
    for (;;) {
      for (const server of servers) server.pump?.()
      const waiting: number[] = []
      for (const vcpu of vcpus) {
        const exit = invalidations.waits(vcpu.id) ? BLOCKED : this.#settle(vcpu)
        if (exit?.reason === 'blocked') {
          waiting.push(vcpu.id)
          if (this.#parts.secondLevel.waits(vcpu.id)) invalidations.resume(vcpu.id)
        } else if (exit !== undefined) this.#handle(vcpu, exit)
        else if (acknowledged && !invalidations.resume(vcpu.id)) waiting.push(vcpu.id)
      }
      const left = until - performance.now()
      if (waiting.length === 0 || left <= 0) return waiting
      await this.#sleep(Math.min(left, LOOK_AGAIN_MS))
    }
  }
}
