import type { EventUpcallsState, Upcalls } from '../architecture.ts'
import type { SharedInfo } from '../shared/shared-info.ts'
import type { XenArmDomain } from './domain.ts'

/**
 * How an Arm vCPU hears that its `evtchn_upcall_pending` was set: by a private interrupt, whose level follows the flag.
 * The guest clears the flag by a store, which nobody sees: the level is brought up to date before the guest looks at its
 * interrupt controller, and so before an interrupt is acknowledged or ends. There is no mask beside the controller's.
 *
 * Source: Xen's public/arch-arm.h; public/hvm/params.h, HVM_PARAM_CALLBACK_TYPE_PPI.
 */
export class ArmUpcalls implements Upcalls {
  readonly #domain: XenArmDomain
  readonly #info: SharedInfo
  readonly #intid: number
  /** The interrupt's level as it was driven last, by vCPU. */
  readonly #asserted: boolean[]

  constructor(domain: XenArmDomain, info: SharedInfo, intid: number) {
    this.#domain = domain
    this.#info = info
    this.#intid = intid
    this.#asserted = domain.vcpus.map(() => false)
  }

  raise(vcpu: number): void {
    // The flag was clear meanwhile: a guest that has the interrupt sensitive to edges is to see one.
    if (this.#asserted[vcpu] === true) this.#drive(vcpu, false)
    this.#drive(vcpu, true)
  }

  /** The guest may have cleared a vCPU's flag. */
  settle(vcpu: number): void {
    if (this.#asserted[vcpu] === true && !this.#info.upcallPending(vcpu)) this.#drive(vcpu, false)
  }

  #drive(vcpu: number, level: boolean): void {
    this.#asserted[vcpu] = level
    this.#domain.setPrivateInterrupt(vcpu, this.#intid, level)
  }

  retry(): void {}

  reset(): void {
    for (const [vcpu, asserted] of this.#asserted.entries()) if (asserted) this.#drive(vcpu, false)
  }

  save(): EventUpcallsState {
    return { version: 2, callbackLo: 0, callbackHi: 0, vectors: [], owed: [], asserted: [...this.#asserted] }
  }

  /** Takes a saved state in place of a reset one; the levels come with the interrupt controller's. */
  restore({ asserted }: EventUpcallsState): void {
    for (const { id } of this.#domain.vcpus) this.#drive(id, asserted[id] === true)
  }
}
