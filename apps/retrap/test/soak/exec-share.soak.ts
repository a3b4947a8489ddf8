// Calls in folders of `retrap exec`, of the host and of memory, and in the guest's root, beside a folder of the host: each of the probe's
// calls, in parts, and sequences of drawn calls of three processes.
import type { Soak } from '@retrap/tooling/soak'
import { compareCalls, PROBE_PLACES } from '../support/exec-share.ts'

const PARTS = 8

export const soak: Soak = {
  name: 'exec-share',
  count: 2 * PARTS * PROBE_PLACES.length,
  async step(rng, index) {
    const turn = Math.floor(index / PROBE_PLACES.length)
    const [place, part] = [PROBE_PLACES[index % PROBE_PLACES.length]!, (turn >> 1) % PARTS]
    const args = turn % 2 === 0 ? [PARTS, part] : ['draw', rng.u32(), rng.between(100, 400)]
    rng.note('calls', `${place} ${args.join(' ')}`)
    const [other] = await compareCalls(place, args)
    return other
  },
}
