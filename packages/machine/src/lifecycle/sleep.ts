import type { Domain, DomainExit, Sleeper } from '@retrap/hvm'

/** The exits that a domain's owner sees. */
export type FinalExit = Exclude<DomainExit, { readonly reason: 'pause' | 'sleep' | 'wake' }>

/** A domain as {@link Sleep} sees it, of any processor. */
export type SleepingDomain = Pick<Domain, 'asleep' | 'hasEnded' | 'isBusy' | 'reset' | 'run' | 'settle' | 'stop'>

/** Exits that may come in the place of the one for which the guest has asked. */
const PAST_DEVICES: ReadonlySet<DomainExit['reason']> = new Set(['sleep', 'pause', 'stopped'])

/** Host time for the answer to the instruction by which a guest sleeps. */
const ASLEEP_DEADLINE_MS = 1000

/** The parts of a machine that sleep concerns. */
export interface SleepParts {
  /** Runs firmware's part of a wake from S3. False: the guest has left no waking vector. Absent: the machine has no sleep. */
  readonly boot?: { resume(): Promise<boolean> } | undefined
  /** Runs the actions of a pause while no vCPU executes. */
  readonly life: { paused(): Promise<void> }
  /** Called when the guest falls asleep, and when it is woken. */
  readonly onSleep?: ((asleep: boolean) => void) | undefined
  /** Yields to the event loop. */
  readonly sleeper: Sleeper
}

/**
 * Takes a domain through S3: its processors and devices are reset in place, its RAM stays, and nothing but timers and
 * models goes on until the power management wakes it. Each device model knows which of its state survives.
 */
export class Sleep {
  readonly #domain: SleepingDomain
  readonly #parts: SleepParts
  /** The power management wakes the machine, which may not be asleep yet. */
  #woken = false
  /** The guest has asked to sleep, and the domain has not been reset since. */
  #falling = false

  constructor(domain: SleepingDomain, parts: SleepParts) {
    this.#domain = domain
    this.#parts = parts
  }

  /** Whether the machine is to wake, and has not been run since. */
  get isWoken(): boolean {
    return this.#woken
  }

  set isWoken(woken: boolean) {
    this.#woken = woken
  }

  /** Begins the sleep that an instruction under way has requested. */
  begin(): void {
    this.#woken = false
    this.#falling = true
    this.#domain.stop({ reason: 'sleep' })
  }

  /** The power management wakes the machine. */
  end(): void {
    this.#woken = true
    if (this.#domain.asleep) this.#domain.stop({ reason: 'wake' })
  }

  /** Runs the domain, through sleep as well, until it exits for another reason. */
  async run(): Promise<FinalExit> {
    const domain = this.#domain
    for (;;) {
      if (this.#woken && domain.asleep && !(await this.#wakeUp())) return { reason: 'reset' }
      // The instruction by which the guest sleeps has not had its answer yet.
      if (this.#falling) domain.stop({ reason: 'sleep' })
      const exit = await domain.run()
      // A stop that arrives meanwhile finds the machine asleep: the guest expects no further instruction.
      if (this.#falling && domain.isBusy) await domain.settle(ASLEEP_DEADLINE_MS).catch(() => undefined)
      if (PAST_DEVICES.has(exit.reason)) this.settled()
      if (exit.reason !== 'pause' && exit.reason !== 'sleep' && exit.reason !== 'wake') return exit
      await this.#parts.life.paused()
      // A guest that is woken at once, and sleeps again, does not hold the host.
      await this.#parts.sleeper.sleep(0)
    }
  }

  /**
   * No vCPU executes: a guest that has asked to sleep does so, unless an instruction is under way. It expects no further
   * instruction, whatever has stopped the machine.
   */
  settled(): void {
    const domain = this.#domain
    if (!this.#falling || domain.hasEnded || domain.isBusy) return
    this.#falling = false
    domain.reset()
    domain.asleep = true
    this.#parts.onSleep?.(true)
  }

  async #wakeUp(): Promise<boolean> {
    const domain = this.#domain
    this.#woken = false
    const goesOn = (await this.#parts.boot?.resume()) === true
    domain.asleep = false
    this.#parts.onSleep?.(false)
    return goesOn
  }
}
