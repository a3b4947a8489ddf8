import type { XenGuest } from '../guest.ts'
import type { XenOptions } from '../xen-state.ts'
import type { XenArmDomain, XenArmPlaces } from './domain.ts'
import { plugArmState } from './paravirtual.ts'

/**
 * Lets an Arm domain's guest see Xen: hypercalls by `HVC #0xEA1`, events, store, console.
 *
 * To be called once, before the domain runs and before its memory is populated to the last frame. The guest finds out by
 * its device tree, which is the board's: a node compatible with `xen,xen-4.17` and `xen,xen`.
 */
export function plugXenArm(domain: XenArmDomain, places: XenArmPlaces, options: XenOptions = {}): XenGuest {
  return plugArmState(domain, places, options)
}
