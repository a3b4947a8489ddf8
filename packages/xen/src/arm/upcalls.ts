import { Stateful } from '@retrap/device'
import type { Upcalls } from '../architecture.ts'
import type { SharedInfo } from '../shared/shared-info.ts'
import type { XenArmDomain } from './domain.ts'

/**
 * How an Arm vCPU hears that its `evtchn_upcall_pending` was set: by a private interrupt, whose level follows the flag.
 * The guest clears the flag by a store, which nobody sees: the level is brought up to date before the guest looks at its
 * interrupt controller, and so before an interrupt is acknowledged or ends. There is no mask beside the controller's.
 *
 * Source: Xen's public/arch-arm.h; public/hvm/params.h, HVM_PARAM_CALLBACK_TYPE_PPI.
 */
export class ArmUpcalls extends Stateful implements Upcalls {
  readonly #domain: XenArmDomain
  readonly #info: SharedInfo
  readonly #intid: number
  readonly #r

  constructor(domain: XenArmDomain, info: SharedInfo, intid: number) {
    super()
    this.#domain = domain
    this.#info = info
    this.#intid = intid
    this.#r = this.keeps({
      version: 2,
      callbackLo: 0,
      callbackHi: 0,
      vectors: [] as number[],
      owed: [] as boolean[],
      /** The interrupt's level as it was driven last, by vCPU. */
      asserted: domain.vcpus.map(() => false),
    })
  }

  raise(vcpu: number): void {
    // The flag was clear meanwhile: a guest that has the interrupt sensitive to edges is to see one.
    if (this.#r.asserted[vcpu] === true) this.#drive(vcpu, false)
    this.#drive(vcpu, true)
  }

  /** The guest may have cleared a vCPU's flag. */
  settle(vcpu: number): void {
    if (this.#r.asserted[vcpu] === true && !this.#info.upcallPending(vcpu)) this.#drive(vcpu, false)
  }

  #drive(vcpu: number, level: boolean): void {
    this.#r.asserted[vcpu] = level
    this.#domain.setPrivateInterrupt(vcpu, this.#intid, level)
  }

  retry(): void {}

  override reset(): void {
    for (const [vcpu, asserted] of this.#r.asserted.entries()) if (asserted) this.#drive(vcpu, false)
  }

  /** Takes a saved state in place of a reset one; the levels come with the interrupt controller's. */
  override restore(state: unknown): void {
    super.restore(state)
    for (const { id } of this.#domain.vcpus) this.#drive(id, this.#r.asserted[id] === true)
  }
}
