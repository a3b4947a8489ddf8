import type { Soak } from '@retrap/tooling/soak'
import { move } from '../support/move.ts'

/** About what a migration sends. */
let bytes = 0

/**
 * Machines move while they run, and the connection is cut at a random byte, there or back: at no time do both sides run,
 * and no page of the guest is lost or stale wherever it goes on.
 */
export const soak: Soak = {
  name: 'migration',
  count: 1000,
  async setup() {
    bytes = (await move({}, { downtimeMs: 100_000 })).report!.bytes
  },
  async step(rng) {
    // The last frames are where it matters: they get as many cuts as all of memory.
    const nearEnd = Math.max(0, bytes - 1 - rng.below(50_000))
    const cutAfter = rng.pick([Infinity, rng.below(bytes), nearEnd])
    const cutBackAfter = rng.pick([Infinity, rng.below(61), 40 + rng.below(20)])
    rng.note('cut', `after ${cutAfter} bytes there, ${cutBackAfter} back`)
    const options = { downtimeMs: rng.pick([300, 5]), mostRounds: 4 }
    const { report, ran, result } = await move({ cutAfter, cutBackAfter }, options)
    if (ran.source && ran.destination) return 'both sides have run'
    if (report?.outcome === 'moved' && !ran.destination) return 'the machine was moved, and runs nowhere'
    if (!ran.source && report === undefined) return 'the machine was not moved, and does not run on'
    if (result !== 'whole') return `the guest's memory is ${result}`
    return undefined
  },
}
