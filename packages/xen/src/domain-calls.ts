import type { XenDomainCalls, XenKept } from './architecture.ts'
import type { XenState } from './xen-state.ts'

/** Xen as every guest's domain calls it: turns, events, messages. An instruction set adds what its processors ask. */
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
    return this.#xen.events.mayRun(vcpu)
  }

  beforeTurn(vcpu: number): void {
    this.#xen.events.beforeTurn(vcpu)
  }

  afterTurn(vcpu: number, reason: string): void {
    this.#xen.events.afterTurn(vcpu, reason)
  }

  takesMessage(address: number, data: number): boolean {
    return this.#xen.takesMessage(address, data)
  }

  reset(): void {
    this.#xen.reset()
  }
}
