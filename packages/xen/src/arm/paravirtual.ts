import { XenCall } from '../call.ts'
import { DomainCalls } from '../domain-calls.ts'
import { type XenOptions, XenState } from '../xen-state.ts'
import { ARM_HYPERCALLS, armArchitecture } from './architecture.ts'
import type { XenArmCalls, XenArmDomain, XenArmPlaces } from './domain.ts'
import type { ArmUpcalls } from './upcalls.ts'
import type { XenGuest } from '../guest.ts'

/** XEN_HYPERCALL_TAG (public header arch-arm.h). */
const HYPERCALL_TAG = 0xea1

/** Xen as an Arm guest's domain calls it. */
class ArmParavirtual extends DomainCalls implements XenArmCalls {
  readonly hypercallTag: number = HYPERCALL_TAG
  readonly #xen: XenState<ArmUpcalls>
  readonly #calls: readonly XenCall[]

  constructor(xen: XenState<ArmUpcalls>) {
    super(xen)
    this.#xen = xen
    this.#calls = xen.architecture.vcpus.map((vcpu) => new XenCall(xen, vcpu, ARM_HYPERCALLS))
  }

  hypercall(vcpu: number): boolean {
    return this.#calls[vcpu]!.make()
  }

  interrupted(vcpu: number): void {
    this.#xen.blocked.wake(vcpu)
  }

  beforeInterruptAccess(vcpu: number): void {
    this.#xen.events.upcalls.settle(vcpu)
  }
}

/** Makes Xen's state of an Arm guest, and has its domain call it. */
export function plugArmState(
  domain: XenArmDomain,
  places: XenArmPlaces,
  options: XenOptions = {},
): XenState<ArmUpcalls> {
  const xen = new XenState(domain, armArchitecture(domain, places), options)
  domain.plug(new ArmParavirtual(xen))
  return xen
}

/**
 * Lets an Arm domain's guest see Xen: hypercalls by `HVC #0xEA1`, events, store, console.
 *
 * To be called once, before the domain runs and before its memory is populated to the last frame. The guest finds out by
 * its device tree, which is the board's: a node compatible with `xen,xen-4.17` and `xen,xen`.
 */
export function plugXenArm(domain: XenArmDomain, places: XenArmPlaces, options: XenOptions = {}): XenGuest {
  return plugArmState(domain, places, options)
}
