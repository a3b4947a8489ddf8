import { Instant, type Clock, type Timer, type Word64 } from '@retrap/device'

/** Xen's system time: the domain's virtual time, exactly. */
export function systemTime(clock: Clock): bigint {
  const now = new Instant()
  clock.read(now)
  return now.toBigInt()
}

/** When a timer is due, to be saved; null: it is not armed. */
export function deadlineOf(timer: Timer): Word64 | null {
  const deadline = new Instant()
  return timer.readDeadline(deadline) ? deadline.save() : null
}
