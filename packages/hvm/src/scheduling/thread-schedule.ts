import type { ThreadScheduleParts, ThreadedVcpus } from './threaded-vcpus.ts'
import { HostSchedule } from './host-schedule.ts'

/** Calls that are served before the event loop has its turn. */
const MOST_CALLS = 64

/** Host time for which a domain that is to stop waits for vCPUs whose devices do not answer. */
const PARKING_MS = 1000
/** Host time between two looks at vCPUs that are late. */
const LOOK_AGAIN_MS = 20
/** Host time for which it waits for any vCPU: a busy host takes long. */
const LONGEST_PARKING_MS = 30_000

/**
 * The schedule of vCPUs that have threads of their own: here, on the domain's thread, device models and timers. A party that needs
 * vCPUs to stand still has all of them park first; they take turns then, as without threads.
 */
export class ThreadSchedule extends HostSchedule {
  readonly #vcpus: ThreadedVcpus
  /** When a domain that is to stop waits no longer. */
  #until = Infinity

  constructor(vcpus: ThreadedVcpus, ...parts: ThreadScheduleParts) {
    super(...parts)
    this.#vcpus = vcpus
  }

  /** Whether the run ends now. */
  override get ends(): boolean {
    if (this.run.exit === null) return false
    const late = performance.now() - this.#until
    return !this.#vcpus.areRunning || late > (this.#vcpus.areWaiting ? 0 : LONGEST_PARKING_MS - PARKING_MS)
  }

  /** A run begins. */
  override begin(): void {
    this.#until = Infinity
    super.begin()
  }

  /** Whether something needs the vCPUs parked. */
  get #isPauseWanted(): boolean {
    const { memoryChanges } = this.domain
    const { asleep, debug, watch } = this.turns
    return (
      this.run.exit !== null ||
      this.#vcpus.isPauseRequested ||
      memoryChanges.isWaiting ||
      asleep ||
      debug !== null ||
      watch !== null
    )
  }

  /** Does what there is to do. @returns a promise to wait for, or null */
  override advance(): Promise<unknown> | null {
    const vcpus = this.#vcpus
    if (!vcpus.areRunning) {
      if (this.run.areThreadsRunning) this.#parked()
      // A thread may end, or not start, while no vCPU runs.
      if (vcpus.failure !== null) this.#fail(vcpus.failure)
      if (this.#isPauseWanted || !vcpus.mayResume()) return super.advance()
      this.run.areThreadsRunning = true
      vcpus.resume()
    }
    const run = this.run
    run.woken = false
    const { servers, clock, timers } = this.domain
    for (let i = 0; i < servers.length; i++) servers[i]!.pump?.()
    if (clock.now() >= timers.nextDeadlineNs) timers.expire()
    let served = 0
    for (let calls = vcpus.serve(); calls > 0 && served < MOST_CALLS; calls = vcpus.serve()) served += calls
    if (vcpus.failure !== null) this.#fail(vcpus.failure)
    if (this.#isPauseWanted) {
      if (run.exit !== null) this.#until = Math.min(this.#until, performance.now() + PARKING_MS)
      vcpus.kick()
    }
    return this.pace.sleep(run.woken || served >= MOST_CALLS ? 0 : this.msToDeadline())
  }

  /** All vCPUs have parked. */
  #parked(): void {
    this.#vcpus.isPauseRequested = false
    this.run.areThreadsRunning = false
    this.domain.memoryChanges.stopped()
    super.begin()
  }

  #fail({ vcpu, reason, error }: NonNullable<ThreadedVcpus['failure']>): void {
    this.#vcpus.failure = null
    if (reason === 'shutdown') this.run.stop({ reason: 'vcpu-shutdown', vcpu })
    else this.run.stop({ reason: 'internal-error', vcpu, error })
  }

  protected override msToDeadline(): number {
    const left = this.#until - performance.now()
    return Math.min(super.msToDeadline(), left > 0 ? left : LOOK_AGAIN_MS)
  }
}
