import { LONGEST_HOST_TIMER_MS } from '@retrap/device/host'
import type { DomainExit, Sleeper } from '../domain-options.ts'
import type { CpuExit, VcpuThreadControl } from '../virtual-cpu.ts'
import { DeterministicSchedule } from './deterministic-schedule.ts'
import { HostPace } from './host-pace.ts'
import { HostSchedule } from './host-schedule.ts'
import type { RunState, ScheduledDomain } from './run-state.ts'
import { TurnRunner } from './turn-runner.ts'
import type { ThreadedVcpus } from './threaded-vcpus.ts'

/** Host time that devices have to answer outstanding requests when a device stops the machine. */
const STOP_DEADLINE_MS = 1000
/** Milliseconds after which `finish` polls again for a response. */
const LOOK_AGAIN_MS = 50

/** Exits that a device asks for. */
const ENDS_AT_A_DEVICE: ReadonlySet<DomainExit['reason']> = new Set(['power-off', 'reset', 'debug-exit', 'sleep'])

const BLOCKED: CpuExit = { reason: 'blocked' }

/** Runs a domain by its schedule, and waits when the schedule says so. */
export class RunLoop {
  readonly #domain: ScheduledDomain
  readonly #run: RunState
  readonly #threads: VcpuThreadControl | undefined
  readonly #pace: HostPace
  /** Executes the vCPUs. */
  readonly turns: TurnRunner
  readonly #host: HostSchedule | null
  /** The schedule of deterministic time; null on the host's clock. */
  readonly deterministic: DeterministicSchedule | null
  /** Determines the turns in which vCPUs execute. */
  readonly schedule: HostSchedule | DeterministicSchedule
  #ended: PromiseWithResolvers<DomainExit> | null = null

  constructor(domain: ScheduledDomain, run: RunState, sleeper: Sleeper, threads: VcpuThreadControl | undefined) {
    this.#domain = domain
    this.#run = run
    this.#threads = threads
    this.#pace = new HostPace(domain.vcpus, sleeper)
    this.turns = new TurnRunner(domain, run)
    const { deterministic } = domain.clock
    const loop = { go: this.#go, fail: this.#broken }
    this.deterministic = deterministic ? new DeterministicSchedule(domain, run, this.turns, this.#pace) : null
    const parts = [domain, run, this.turns, this.#pace, loop] as const
    const host = (): HostSchedule =>
      threads === undefined ? new HostSchedule(...parts) : (threads as ThreadedVcpus).schedule(...parts)
    this.#host = deterministic ? null : host()
    this.schedule = (this.deterministic ?? this.#host)!
  }

  /** Power-on: the next round is the first. The caller's requests stay. */
  reset(): void {
    this.#run.reset()
    this.deterministic?.reset()
  }

  /** Runs until the domain exits. */
  async run(): Promise<DomainExit> {
    this.#run.running = true
    this.#host?.begin()
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
      return this.#run.exit ?? exit
    } finally {
      this.#ended = null
      this.#run.running = false
    }
  }

  /**
   * Goes on until the schedule has to wait; whatever ends the wait comes here again. No `await`: while a guest and a device
   * take turns, that would be half of what the loop does.
   */
  readonly #go = (): void => {
    const run = this.#run
    const schedule = this.schedule
    try {
      let wait: Promise<unknown> | null
      do wait = schedule.advance()
      while (wait === null && !schedule.waiting && run.exit === null)
      if (run.exit !== null && (wait === null || schedule.ends)) {
        this.deterministic?.ended()
        this.#ended?.resolve(run.exit)
      } else if (wait !== null) wait.then(this.#go, this.#broken)
    } catch (error) {
      this.#broken(error)
    }
  }

  /**
   * Stops every vCPU between two instructions. On deterministic time the schedule pauses, and continues later as if it had not
   * paused. Must not be called while `run` is under way.
   *
   * @param deadlineMs - host time that devices may take
   * @returns numbers of the vCPUs that still wait
   */
  async settle(deadlineMs: number): Promise<readonly number[]> {
    const run = this.#run
    const asked = run.exit
    if (this.deterministic?.isUnderWay === true && (asked === null || asked.reason === 'stopped')) {
      const late: DomainExit = { reason: 'stopped' }
      run.exit = { reason: 'pause' }
      const timer = setTimeout(() => run.stop(late), Math.min(deadlineMs, LONGEST_HOST_TIMER_MS))
      const exit = await this.run()
      clearTimeout(timer)
      // Another reason to end is left to the next run, and so is a stop that was requested before the pause.
      if (exit.reason === 'pause' || exit === late) run.exit = asked
      const waiting = this.#domain.vcpus.filter(({ cpu }) => cpu.busy)
      if (waiting.length > 0) return waiting.map(({ id }) => id)
    }
    const waiting = await this.finish(deadlineMs, true)
    // The last instruction of a guest that has ended its machine may have been finished here.
    this.deterministic?.ended()
    return waiting
  }

  readonly #broken = (error: unknown): void => this.#ended?.reject(error)

  /**
   * Completes all instructions in progress, and begins no other.
   *
   * @param deadlineMs - host time that devices may take
   * @param acknowledged - also makes every device model release the removed memory
   * @returns numbers of the vCPUs that still wait
   */
  async finish(deadlineMs: number, acknowledged: boolean): Promise<readonly number[]> {
    const { vcpus, servers, invalidations, secondLevel } = this.#domain
    const { turns } = this
    const until = performance.now() + deadlineMs
    for (;;) {
      for (const server of servers) server.pump?.()
      const waiting: number[] = []
      this.#threads?.kick()
      this.#threads?.serve()
      for (const vcpu of vcpus) {
        if (this.#threads?.isRunning(vcpu.id) === true) {
          waiting.push(vcpu.id)
          continue
        }
        const exit = invalidations.waits(vcpu.id) ? BLOCKED : turns.settle(vcpu)
        if (exit?.reason === 'blocked') {
          waiting.push(vcpu.id)
          if (secondLevel.waits(vcpu.id)) invalidations.resume(vcpu.id)
        } else if (exit !== undefined) turns.handle(vcpu, exit)
        else if (acknowledged && !invalidations.resume(vcpu.id)) waiting.push(vcpu.id)
      }
      const left = until - performance.now()
      if (waiting.length === 0 || left <= 0) return waiting
      await this.#pace.sleep(Math.min(left, LOOK_AGAIN_MS))
    }
  }
}
