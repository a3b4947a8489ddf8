import { savedDeadline, Stateful, type Timer, type Word64 } from '@retrap/device'
import type { TimerQueue } from '@retrap/device/host'

/** A vCPU that waits in a hypercall, in a saved state. */
interface SavedWait {
  readonly vcpu: number
  readonly ports: readonly number[]
  /** Nanoseconds on the domain's clock, 64 bits; null for no time. */
  readonly deadline: Word64 | null
}

/**
 * vCPUs blocked in a hypercall: for an interrupt or, when polling, for one of some event channels or a timeout. Unlike
 * HLT, wake-ups do not depend on RFLAGS.IF.
 */
export class BlockedVcpus extends Stateful {
  readonly #blocked: boolean[]
  /** By vCPU: the event channels that it polls. */
  readonly #ports: (readonly number[])[]
  readonly #timers: readonly Timer[]
  readonly #woken: () => void

  /** @param woken - called when a vCPU may resume */
  constructor(vcpus: number, timers: TimerQueue, woken: () => void) {
    super()
    this.#blocked = Array.from({ length: vcpus }, () => false)
    this.#ports = Array.from({ length: vcpus }, () => [])
    this.#timers = this.#blocked.map((_, vcpu) => timers.create(() => this.wake(vcpu)))
    this.#woken = woken
    this.keeps({
      version: 2,
      vcpus: { save: () => this.#waits(), restore: (waits: readonly SavedWait[]) => this.#wait(waits) },
    })
  }

  /** Whether the vCPU waits. */
  has(vcpu: number): boolean {
    return this.#blocked[vcpu] === true
  }

  /**
   * The vCPU waits from now on.
   *
   * @param ports - event channels that wake the vCPU
   * @param deadline - on the domain's clock; null for none
   */
  block(vcpu: number, ports: readonly number[], deadline: Readonly<Word64> | null): void {
    this.#blocked[vcpu] = true
    this.#ports[vcpu] = ports
    if (deadline !== null) this.#timers[vcpu]?.armAfter(0, deadline)
  }

  /** Something has happened that it is to look at. */
  wake(vcpu: number): void {
    if (!this.has(vcpu)) return
    this.#blocked[vcpu] = false
    this.#ports[vcpu] = []
    this.#timers[vcpu]?.cancel()
    this.#woken()
  }

  /** An event channel has become pending. */
  pending(port: number): void {
    for (const [vcpu, ports] of this.#ports.entries()) if (ports.includes(port)) this.wake(vcpu)
  }

  #waits(): SavedWait[] {
    const vcpus = [...this.#blocked.keys()].filter((vcpu) => this.has(vcpu))
    return vcpus.map((vcpu) => ({
      vcpu,
      ports: this.#ports[vcpu] ?? [],
      deadline: savedDeadline(this.#timers[vcpu] ?? null),
    }))
  }

  #wait(waits: readonly SavedWait[]): void {
    this.reset()
    for (const { vcpu, ports, deadline } of waits) this.block(vcpu, ports, deadline)
  }

  /** Power-on: nobody waits. */
  override reset(): void {
    for (const vcpu of this.#blocked.keys()) this.wake(vcpu)
  }
}
