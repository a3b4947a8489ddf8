import { Instant } from '@retrap/device'
import type { XenCall } from './call.ts'
import { systemTime } from './system-time.ts'

const TWO_32 = 0x1_0000_0000n
/** About 13 days. */
const FAR_NS = 2n ** 50n
const SOON_NS = 100_000_000n

/**
 * `set_timer_op`: nanoseconds of system time, in two arguments for 32-bit callers; 0 for none. VIRQ_TIMER tells of it.
 * Guests have set timers far away, or in negative time, when they had work and when they had none: such a timer is due in
 * 100 ms.
 */
export function setTimerOp(call: XenCall): number {
  const words = call.compat ? call.argument(0) + call.argument(1) * TWO_32 : call.argument(0)
  const timeout = BigInt.asIntN(64, words)
  const now = systemTime(call.domain.clock)
  const odd = timeout < 0n || timeout - now > FAR_NS
  const deadline = timeout === 0n ? null : Instant.from(odd ? now + SOON_NS : timeout)
  call.xen.events.vcpus[call.vcpu.id]?.setSingleShot(deadline)
  return 0
}
