import { TWO_32 } from '@retrap/basics'
import type { Pc } from '@retrap/machine'

/** Has a machine's clock go on by this many milliseconds at once. The machine stands still meanwhile. */
export function addTime(clock: Pc['domain']['clock'], ms: number): void {
  const state = clock.save()
  const ns = state.time.hi * TWO_32 + state.time.lo + Math.round(ms * 1e6)
  clock.restore({ ...state, time: { lo: (ns % TWO_32) >>> 0, hi: Math.floor(ns / TWO_32) } })
}

/** Interval between two checks. */
const LOOK_MS = 1000
/** A smaller jump is an adjustment of the host's wall clock. */
const LEAST_MS = 5000

/**
 * Tells when this computer has slept. The exact clock of a browser, which machines follow, stands still meanwhile on most systems,
 * and the wall clock does not.
 *
 * @param slept - gets the milliseconds that the exact clock has missed
 * @returns a function that ends the watch
 */
export function watchHostSleep(slept: (ms: number) => void): () => void {
  const difference = (): number => Date.now() - performance.now()
  let before = difference()
  const timer = setInterval(() => {
    const now = difference()
    const missed = now - before
    before = now
    if (missed >= LEAST_MS) slept(missed)
  }, LOOK_MS)
  return () => clearInterval(timer)
}
