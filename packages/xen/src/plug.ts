import type { XenDomain } from './domain.ts'
import type { XenGuest } from './guest.ts'
import { plugState } from './paravirtual.ts'
import type { XenOptions } from './xen-state.ts'

/**
 * Lets a domain's guest see Xen: CPUID leaves, MSR, hypercalls, events, store, console.
 *
 * To be called once, before the domain runs and before its memory is populated to the last frame: a few pages and guest
 * frames below 4 GiB are taken for what guest and hypervisor share.
 */
export function plugXen(domain: XenDomain, options: XenOptions = {}): XenGuest {
  return plugState(domain, options)
}
