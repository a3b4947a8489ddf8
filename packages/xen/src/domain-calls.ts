import type { XenDomainCalls, XenKept } from './architecture.ts'
import { Runstate } from './vcpu/runstate.ts'
import type { XenState } from './xen-state.ts'

/** The part of Xen that is common to all architectures: turns, events, messages. A subclass adds its processors' queries. */
export abstract class DomainCalls implements XenDomainCalls {
  readonly #xen: XenState

  readonly kept: XenKept

  constructor(xen: XenState) {
    this.#xen = xen
    this.kept = xen
  }

  blocks(vcpu: number): boolean {
    return this.#xen.blocked.has(vcpu)
  }

  mayRun(vcpu: number): boolean {
    const { vcpus, upcalls } = this.#xen.events
    if (vcpus[vcpu]?.down === true) return false
    upcalls.retry(vcpu)
    return true
  }

  beforeTurn(vcpu: number): void {
    this.#xen.events.vcpus[vcpu]?.enter(Runstate.running)
  }

  /** A vCPU has come back: it waits for its turn, or for something to happen. */
  afterTurn(vcpu: number, reason: string): void {
    const { vcpus } = this.#xen.events
    const state = vcpus[vcpu]
    if (state === undefined) return
    if (!this.blocks(vcpu) && (reason === 'budget' || reason === 'yield' || reason === 'pause')) {
      // With a single vCPU it resumes at once.
      if (vcpus.length > 1 || state.down) state.enter(state.down ? Runstate.offline : Runstate.runnable)
    } else state.enter(state.isUp ? Runstate.blocked : Runstate.offline)
  }

  /** Whether a device's message is the guest's event, and no interrupt controller's. */
  takesMessage(address: number, data: number): boolean {
    const { hasPirqs, pirqs } = this.#xen
    return hasPirqs && pirqs.message(address, data)
  }

  reset(): void {
    this.#xen.reset()
  }
}
