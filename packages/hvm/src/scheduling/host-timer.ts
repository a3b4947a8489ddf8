import { LONGEST_HOST_TIMER_MS } from '@retrap/device/host'

/** Calls back after host time; never, where that is longer than a host timer can be. @returns how to cancel */
export function afterHostTime(ms: number, callback: () => void): () => void {
  if (ms > LONGEST_HOST_TIMER_MS) return () => {}
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}
