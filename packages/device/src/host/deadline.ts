import type { Word64 } from '../access.ts'
import { DeviceError } from '../errors.ts'
import type { Instant } from '../instant.ts'

/**
 * Sets `deadline` to `delayNs` after `from`, for a timer that a model arms. A deadline before power-on becomes 0.
 *
 * A deadline that compares with nothing would stop the timers of the whole machine; so all arguments are checked.
 *
 * @param deadline - may be `from`
 * @throws DeviceError `ERR_INVALID` for what is not a number, or NaN; `deadline` keeps its value
 */
export function setDeadline(deadline: Instant, delayNs: number, from: Readonly<Word64>): void {
  const { lo, hi } = from
  if (typeof delayNs !== 'number' || Number.isNaN(delayNs) || !Number.isInteger(lo) || !Number.isInteger(hi)) {
    const start = lo === 0 && hi === 0 ? '' : `, after the instant ${String(hi)}:${String(lo)}`
    throw new DeviceError(
      'ERR_INVALID',
      `a timer was armed for ${String(delayNs)}${start}: expected nanoseconds on the machine's clock, or Infinity`,
    )
  }
  deadline.set(from)
  deadline.add(delayNs)
  if (deadline.hi >= 0) return
  deadline.lo = 0
  deadline.hi = 0
}
