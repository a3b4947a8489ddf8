import type { DomainExit } from '../domain.ts'

/** `SHUTDOWN_*` (public header sched.h). */
export const Shutdown = { POWEROFF: 0, REBOOT: 1, SUSPEND: 2, CRASH: 3, WATCHDOG: 4, SOFT_RESET: 5 } as const

/** Why a guest has shut itself down, where that is no power-off and no restart. */
export type GuestShutdown = 'suspend' | 'crash' | 'watchdog' | 'soft-reset'

const CODES: Readonly<Partial<Record<number, GuestShutdown>>> = {
  [Shutdown.SUSPEND]: 'suspend',
  [Shutdown.CRASH]: 'crash',
  [Shutdown.WATCHDOG]: 'watchdog',
  [Shutdown.SOFT_RESET]: 'soft-reset',
}

/** How a domain ends for one of Xen's reasons; one that is unknown is a crash. */
export function shutdownExit(vcpu: number, reason: number): DomainExit {
  if (reason === Shutdown.POWEROFF) return { reason: 'power-off' }
  if (reason === Shutdown.REBOOT) return { reason: 'reset' }
  return { reason: 'guest-shutdown', vcpu, code: CODES[reason] ?? 'crash' }
}
