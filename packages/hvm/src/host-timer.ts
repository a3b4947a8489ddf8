/** The longest time that a host timer takes; longer ones would fire at once. */
const LONGEST_TIMER_MS = 0x7fff_ffff

/** Calls back after host time, if that is not longer than timers can be. @returns how to cancel */
export function afterHostTime(ms: number, callback: () => void): () => void {
  if (ms > LONGEST_TIMER_MS) return () => {}
  const timer = setTimeout(callback, ms)
  return () => clearTimeout(timer)
}
