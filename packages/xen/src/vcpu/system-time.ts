import { type Clock, Instant } from '@retrap/device'

/** Xen's system time: the domain's virtual time, exactly. */
export function systemTime(clock: Clock): bigint {
  const now = new Instant()
  clock.read(now)
  return now.toBigInt()
}
