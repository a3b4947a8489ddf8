/** `SHUTDOWN_*` (public header sched.h). */
export const Shutdown = { POWEROFF: 0, REBOOT: 1, SUSPEND: 2, CRASH: 3, WATCHDOG: 4, SOFT_RESET: 5 } as const

/** Reason of a guest's shutdown, except power-off and restart. */
export type GuestShutdown = 'suspend' | 'crash' | 'watchdog' | 'soft-reset'

/** How a Xen guest has ended its domain. */
export type XenExit =
  | { readonly reason: 'power-off' }
  | { readonly reason: 'reset' }
  /** The guest told Xen; `vcpu` is the vCPU that did. */
  | { readonly reason: 'guest-shutdown'; readonly vcpu: number; readonly code: GuestShutdown }

const CODES: Readonly<Partial<Record<number, GuestShutdown>>> = {
  [Shutdown.SUSPEND]: 'suspend',
  [Shutdown.CRASH]: 'crash',
  [Shutdown.WATCHDOG]: 'watchdog',
  [Shutdown.SOFT_RESET]: 'soft-reset',
}

/** How a domain ends for one of Xen's reasons; an unknown reason counts as a crash. */
export function shutdownExit(vcpu: number, reason: number): XenExit {
  if (reason === Shutdown.POWEROFF) return { reason: 'power-off' }
  if (reason === Shutdown.REBOOT) return { reason: 'reset' }
  return { reason: 'guest-shutdown', vcpu, code: CODES[reason] ?? 'crash' }
}
