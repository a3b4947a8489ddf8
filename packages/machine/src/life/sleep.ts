import type { Domain, DomainExit } from '@retrap/hvm'

/** The exits that a domain's owner sees. */
export type FinalExit = Exclude<DomainExit, { readonly reason: 'pause' | 'sleep' | 'wake' }>

/** A domain as {@link Sleep} sees it, of any processor. */
type SleepingDomain = Pick<Domain, 'asleep' | 'reset' | 'run' | 'stop'>

/** Exits that may come in the place of the one for which the guest has asked. */
const PAST_DEVICES: ReadonlySet<DomainExit['reason']> = new Set(['sleep', 'pause', 'stopped'])

/** What a machine lends its {@link Sleep}. */
export interface SleepHooks {
  /** Does what firmware does first when the machine wakes. @returns false: the guest has left no place to go on */
  resume(): Promise<boolean>
  /** Does what is to be done while no vCPU executes. */
  paused(): Promise<void>
  /** The guest sleeps, or has been woken. */
  changed(asleep: boolean): void
  /** Gives the event loop its turn. */
  turn(): Promise<void>
}

/**
 * Takes a domain through S3: its processors and devices are reset in place, its RAM stays, and nothing but timers and
 * models goes on until the power management wakes it. Each device model knows which of its state survives.
 */
export class Sleep {
  readonly #domain: SleepingDomain
  readonly #hooks: SleepHooks
  /** The power management wakes the machine, which may not be asleep yet. */
  #woken = false
  /** The guest has asked to sleep, and the domain has not been reset since. */
  #falling = false

  constructor(domain: SleepingDomain, hooks: SleepHooks) {
    this.#domain = domain
    this.#hooks = hooks
  }

  /** Whether it is to wake, and has not been run since. */
  get isWoken(): boolean {
    return this.#woken
  }

  set isWoken(woken: boolean) {
    this.#woken = woken
  }

  /** The guest has asked to sleep: an instruction that does so is under way. */
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
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (this.#woken && domain.asleep && !(await this.#wakeUp())) return { reason: 'reset' }
      // oxlint-disable-next-line no-await-in-loop
      const exit = await domain.run()
      // A stop that arrives meanwhile finds the machine asleep: the guest expects no further instruction.
      if (this.#falling && PAST_DEVICES.has(exit.reason)) this.#fallAsleep()
      if (exit.reason !== 'pause' && exit.reason !== 'sleep' && exit.reason !== 'wake') return exit
      // oxlint-disable-next-line no-await-in-loop
      await this.#hooks.paused()
      // A guest that is woken at once, and sleeps again, does not hold the host.
      // oxlint-disable-next-line no-await-in-loop
      await this.#hooks.turn()
    }
  }

  #fallAsleep(): void {
    this.#falling = false
    this.#domain.reset()
    this.#domain.asleep = true
    this.#hooks.changed(true)
  }

  async #wakeUp(): Promise<boolean> {
    const domain = this.#domain
    this.#woken = false
    const goesOn = await this.#hooks.resume()
    domain.asleep = false
    this.#hooks.changed(false)
    return goesOn
  }
}
