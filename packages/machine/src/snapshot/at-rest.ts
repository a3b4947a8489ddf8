import type { Domain } from '@retrap/hvm'

/**
 * Whether a machine on deterministic time that is saved just now goes on as if it had not been: no model has anything under
 * way, and no timer is due that a model would look at before its turn.
 */
export const isAtRest = ({ devices, timers, clock }: Pick<Domain, 'clock' | 'devices' | 'timers'>): boolean =>
  devices.isAtRest() && timers.nextDeadlineNs > clock.now()
